"""Modules on disk: a config.json beside a model.safetensors, loaded strictly."""

import functools
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diff4splat.files import atomic_path, read_safetensors, write_safetensors
from diff4splat.hub.push import Pushable
from diff4splat.hub.resolve import resolve_pretrained

__all__ = ["HubModule", "load_state", "read_config", "save_module", "weights_hash"]

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
_CLASS_KEY = "_class"
_HASH_KEY = "_weights_sha256"
_Module = TypeVar("_Module", bound="HubModule")


class HubModule(Pushable, nn.Module):
    """Module whose constructor arguments are its config and whose weights load strictly.

    Subclass it as `nn.Module`; the constructor arguments, defaults included, are recorded as `config`. They
    must be JSON values (numbers, strings, booleans, None, lists, dicts), and tuples come back as lists, so
    accept sequences.

    Examples:
        >>> class Affine(HubModule):
        ...     def __init__(self, width: int = 3) -> None:
        ...         super().__init__()
        ...         self.linear = nn.Linear(width, width)
        >>> Affine(5).config
        {'width': 5}
    """

    _config: Mapping[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments that rebuild this module, defaults included; a copy."""
        return {name: _as_json(value) for name, value in self._config.items()}

    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors.

        Args:
            folder: Created if missing; files already there are replaced, each in one step.
            dtype: Storage type of floating-point weights, for instance `torch.float16` for half the size; the
                type they have when omitted.

        Raises:
            TypeError: If a constructor argument is not a JSON value, or `dtype` no type.
            ValueError: If a weight is not finite in the type it is stored in.
        """
        save_module(self.config, self.state_dict(), folder, class_name=type(self).__name__, dtype=dtype)

    @classmethod
    def from_pretrained(
        cls: type[_Module],
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
    ) -> _Module:
        """Build the module from its config and load its weights.

        Args:
            name_or_path: Bundled name, local folder or Hub id, see `resolve_pretrained`.
            revision: Branch, tag or commit on the Hub; a commit, as `push_to_hub` returns it, pins the files.
            local_files_only: Use what the Hub cache holds, without network.
            subfolder: Folder inside the model that holds the two files.

        Returns:
            The module on the CPU in evaluation mode, in the floating-point type of its constructor (float32),
            also where the file stores half precision.

        Raises:
            FileNotFoundError: If the model or one of its files cannot be found.
            ValueError: If a file is damaged, config or weights do not fit this class, or a revision is given
                for what is not on the Hub.
        """
        folder = resolve_pretrained(
            name_or_path, revision=revision, local_files_only=local_files_only, subfolder=subfolder
        )
        config = read_config(folder)
        written = config.pop(_CLASS_KEY, cls.__name__)
        expected_hash = config.pop(_HASH_KEY, None)
        if written != cls.__name__:
            raise ValueError(f"{folder / CONFIG_NAME} describes a {written}, not a {cls.__name__}.")
        module = _build(cls, config, folder / CONFIG_NAME)
        weights = folder / WEIGHTS_NAME
        if expected_hash is not None and weights.is_file() and _sha256(weights) != expected_hash:
            raise ValueError(
                f"{weights} is not the file that {CONFIG_NAME} was written with (its SHA-256 differs). Fetch "
                f"the model again; to keep these weights, remove {_HASH_KEY!r} from {CONFIG_NAME}."
            )
        load_state(module, read_safetensors(weights), source=weights)
        return module.eval()


def save_module(
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    folder: str | os.PathLike[str],
    *,
    class_name: str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a config and a state dict as config.json and model.safetensors.

    Each file is replaced in one step, weights first. The config records the SHA-256 of the weights, so that a
    write that was cut off between the two is noticed when the model is loaded.

    Args:
        config: JSON values; names beginning with an underscore are reserved.
        state: Tensors by name; any device, shared memory allowed.
        folder: Created if missing.
        class_name: Recorded in the config and compared on loading.
        dtype: Storage type of floating-point tensors; the type they have when omitted.

    Raises:
        TypeError: If a config value is not JSON, or `dtype` no type.
        ValueError: If a config name is reserved, `dtype` is not floating point, or a weight is not finite in
            it: such a file would be refused when it is loaded.
    """
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype such as torch.float16, got {dtype!r}.")
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type, got {dtype}.")
    for name, value in config.items():
        if name.startswith("_"):
            raise ValueError(f"config names must not begin with an underscore, got {name!r}.")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"config value {name!r} must be JSON, got {value!r}.") from error
    stored = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu()
        if dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(dtype)
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} must be finite as {tensor.dtype} to be saved, got NaN or infinity.")
        # A copy of each tensor, since safetensors refuses tensors that share memory (tied weights, views).
        stored[name] = tensor.clone(memory_format=torch.contiguous_format)

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / WEIGHTS_NAME, stored, {"format": "pt"})
    header = {} if class_name is None else {_CLASS_KEY: class_name}
    text = json.dumps({**header, **config, _HASH_KEY: _sha256(folder / WEIGHTS_NAME)}, indent=2) + "\n"
    with atomic_path(folder / CONFIG_NAME) as path:
        path.write_text(text, encoding="utf-8")


def load_state(
    module: nn.Module, state: Mapping[str, Tensor], *, source: str | os.PathLike[str] = "state"
) -> None:
    """Load weights into a module, all of them or none.

    Args:
        module: Receives the values in its own floating-point type, on its own device.
        state: Tensors by name.
        source: Named in errors.

    Raises:
        ValueError: If names are missing or unexpected, shapes or types differ (floating types may), or values
            are not finite in the module's type; lists the first of them.
    """
    own = module.state_dict()
    problems = [f"missing: {name}" for name in own if name not in state]
    problems += [f"unexpected: {name}" for name in state if name not in own]
    for name in sorted(own.keys() & state.keys()):
        expected, got = own[name], state[name]
        if expected.shape != got.shape:
            problems.append(f"shape of {name}: expected {tuple(expected.shape)}, got {tuple(got.shape)}")
        elif expected.dtype != got.dtype and not (expected.is_floating_point() and got.is_floating_point()):
            problems.append(f"type of {name}: expected {expected.dtype}, got {got.dtype}")
        elif not bool(got.to(expected.dtype).isfinite().all()):
            problems.append(f"values of {name}: expected finite numbers, got some that are not")
    if problems:
        listed = "; ".join(problems[:4])
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise ValueError(f"{source} does not fit {type(module).__name__}: {listed}{more}.")
    module.load_state_dict(dict(state), strict=True)


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Content of the config.json in a folder.

    Args:
        folder: Folder of a saved module.

    Returns:
        The JSON object; names beginning with an underscore describe the file, the others are constructor
        arguments.

    Raises:
        FileNotFoundError: If there is no config.json.
        ValueError: If it is not a JSON object.
    """
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a saved module has {CONFIG_NAME} and {WEIGHTS_NAME}."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(config).__name__}.")
    return config


def weights_hash(folder: str | os.PathLike[str]) -> str:
    """Fingerprint of all safetensors files in a folder and its subfolders, for the provenance of results.

    Args:
        folder: Folder of a saved model.

    Returns:
        SHA-256, 64 hexadecimal digits, over relative names and contents; the configs do not enter.

    Raises:
        FileNotFoundError: If there is no safetensors file.
    """
    folder = Path(folder)
    files = sorted(folder.rglob("[!.]*.safetensors"), key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        raise FileNotFoundError(f"{folder} holds no safetensors file.")
    lines = "".join(f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """`init` that first records its arguments, unless a subclass's constructor already did."""
    signature = inspect.signature(init)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"{init.__qualname__} must name its arguments to be saved, got *{parameter.name}."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name != "self":
            raise TypeError(
                f"{init.__qualname__} must take its arguments by name to be loaded, "
                f"got the positional-only {parameter.name}."
            )

    @functools.wraps(init)
    def recorded(self: HubModule, *args: Any, **kwargs: Any) -> None:
        if "_config" not in self.__dict__:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = list(bound.arguments.items())[1:]
            object.__setattr__(self, "_config", {name: _as_json(value) for name, value in arguments})
        init(self, *args, **kwargs)

    return recorded


def _as_json(value: Any) -> Any:
    """What a config file would give back, or the value itself where saving will refuse it."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return value


def _build(cls: type[_Module], config: Mapping[str, Any], source: Path) -> _Module:
    known = list(inspect.signature(cls).parameters)
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(
            f"{source} has arguments that {cls.__name__} does not know: {unknown}; known: {known}."
        )
    # The draws for the initial weights, all replaced right after, leave the caller's random state as it was.
    with torch.random.fork_rng(devices=[]):
        try:
            return cls(**config)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{source} does not build a {cls.__name__}: {error}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
