"""Parts that a configuration names: found by an import string, called with options that are checked first."""

import importlib
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["call_factory"]


def call_factory(factory: Callable[..., Any] | str, options: Mapping[str, Any], *, name: str) -> Any:
    """What a factory builds, unknown or missing options refused in words before it runs.

    Args:
        factory: A callable; or where to import it from, as "package.module:attribute", which keeps heavy
            imports out of the way until now.
        options: Keyword arguments.
        name: What messages call the factory, such as "backbone 'compact'".

    Returns:
        The result of the factory.

    Raises:
        TypeError: If the factory does not take an option, or needs one that is not there.
    """
    function: Callable[..., Any]
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        function = operator.attrgetter(attribute)(importlib.import_module(module))
    else:
        function = factory
    signature = inspect.signature(function)
    try:
        signature.bind(**options)
    except TypeError as error:
        known = [parameter.name for parameter in signature.parameters.values()]
        raise TypeError(f"{name} takes the options {known}, got {sorted(options)}: {error}.") from None
    return function(**options)
