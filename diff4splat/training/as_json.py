"""Frozen dataclasses to JSON values and back, with errors that say where and what."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

__all__ = ["from_json", "to_json"]

_Kind = TypeVar("_Kind")


def to_json(value: Any) -> dict[str, Any]:
    """Fields of a dataclass, defaults included, so that a file means the same when a default changes.

    Args:
        value: The dataclass; its fields are numbers, texts, None, mappings, and tuples of these or of
            dataclasses.

    Returns:
        JSON values by name.
    """
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}


def from_json(kind: type[_Kind], values: Any, where: str) -> _Kind:
    """The dataclass of JSON values.

    Args:
        kind: Its class.
        values: What `to_json` gave.
        where: What errors say this is.

    Returns:
        The dataclass.

    Raises:
        ValueError: If a key is unknown or missing, or the class refuses a value.
        TypeError: If a value is of another type than it should be.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{where} must be an object, got {values!r}.")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ValueError(f"{where} must have keys of {', '.join(known)}, got {key!r}.")
    missing = [name for name, f in known.items() if _default(f) is MISSING and name not in values]
    if missing:
        raise ValueError(f"{where} must have {', '.join(missing)}, got {', '.join(values) or 'nothing'}.")
    where = f"{where} {values['name']!r}" if "name" in values else where
    read = {name: _read(known[name].type, value, name, where) for name, value in values.items()}
    try:
        return kind(**read)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _default(f: "Field[Any]") -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _read(kind: Any, value: Any, name: str, where: str) -> Any:
    """A value as the annotation of its field says."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Sequence:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{where}: {name} must be a list, got {value!r}.")
        return tuple(_read(inner[0], item, name, where) for item in value)
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{where}: {name} must be one of {', '.join(inner)}, got {value!r}.")
        return value
    if is_dataclass(kind):
        return from_json(kind, value, f"{where}, {name}")  # type: ignore[arg-type]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where}: {name} must be an object, got {value!r}.")
        return {key: _read(inner[1], item, f"{name}[{key!r}]", where) for key, item in value.items()}
    kinds = [k for k in (inner or (kind,)) if k in (bool, int, float, str, type(None))]
    wanted = tuple(k for k in kinds) + ((int,) if float in kinds else ())
    if kinds and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in kinds)):
        names = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
        raise TypeError(f"{where}: {name} must be {names}, got {value!r}.")
    return float(value) if float in kinds and isinstance(value, int) else value
