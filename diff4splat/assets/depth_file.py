"""One depth map as a file: from what cameras and models write, and to what other programs read."""

import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.provenance_text import provenance_text
from diff4splat.cameras.files.archives import open_npy, open_npz
from diff4splat.files import atomic_path

__all__ = ["DepthFileKind", "DepthUnit", "load_depth", "save_depth"]

DepthFileKind = Literal["depth", "disparity"]
"""What the values of a file grow with: distance, or nearness."""

DepthUnit = float | int | Literal["fit"]
"""What one step of a 16-bit file is worth, scene units; "fit": the finest that holds the farthest value."""

_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_INTEGER_UNIT = 0.001  # what depth cameras write: millimetres
_LARGEST = 0xFFFF
_UNIT_KEY = "depth_unit"  # of the text in a PNG
_MEANING = "z-depth in scene units is the value times depth_unit; 0 means unknown"


def load_depth(
    path: str | Path, *, unit: int | float | None = None, kind: DepthFileKind = "depth"
) -> Float[Tensor, "height width"]:
    """Read a depth map as it stands in the file, or a disparity.

    What 0 means in whole numbers depends on the kind. In a depth it is what sensors write where nothing was
    measured. In a disparity, which falls to 0 with growing distance, it is the far end: models scale theirs
    to all of the 16 bits, so that their farthest pixel is 0. A stereo disparity that has 0 where nothing was
    matched is to be read as "depth", with its `unit`.

    Args:
        path: `.npy` or `.npz` with one map (the array "depth" where there are several), a 16-bit `.png`, or a
            `.tif` of 16 bits or floating point.
        unit: What one step of the file is worth, > 0; when omitted what a `.png` of `save_depth` states, else
            1 for floating point and for disparities, and 0.001 for whole numbers, which is millimetres to
            metres.
        kind: Whether 0 in whole numbers means unknown ("depth"), or infinitely far ("disparity").

    Returns:
        float32 values times `unit`; NaN where the file has NaN, infinity or, in a "depth" of whole numbers,
        0, which mean that nothing was measured.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind, damaged, or no single map; or `unit` is not above 0.

    Examples:
        >>> depth = load_depth("photo_depth.png")  # doctest: +SKIP
    """
    path = Path(path)
    if kind not in get_args(DepthFileKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(DepthFileKind))}, got {kind!r}.")
    if unit is not None and not 0 < unit < float("inf"):
        raise ValueError(f"unit must be a positive number, got {unit}.")
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: a depth file must end in {', '.join(_SUFFIXES)}, got {path.suffix!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    values, stated = _read(path)
    shape = values.shape
    while values.ndim > 2 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or 0 in values.shape:
        more = "; load_depth_sequence reads several" if values.ndim == 3 else ""
        raise ValueError(f"{path}: a depth map must have shape [height, width], got {list(shape)}{more}.")
    return depth_of_values(path, values, unit=stated if unit is None else unit, kind=kind)


def save_depth(
    depth: Float[Tensor, "height width"],
    path: str | os.PathLike[str],
    *,
    unit: DepthUnit | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a depth map as a 16-bit PNG, which every program with depth reads, or as floats in a `.npz`.

    A PNG holds whole steps of `unit`, rounded to the nearest, but at least one step where the depth is known,
    and 0 where it is unknown. It states the unit in its text `depth_unit`, so that `load_depth` gives scene
    units back. A `.npz` holds float32 scene units in "depth", NaN where unknown, and the provenance.
    The file is written whole or not at all.

    Args:
        depth: z-depth, scene units; what is not finite or not above 0 counts as unknown.
        path: File to write; must end in `.png` or `.npz`.
        unit: For a PNG. 0.001 when omitted: millimetres, if the scene is in metres, up to 65.535. "fit" takes
            the farthest depth for the last of the 65,535 steps.
        provenance: JSON values (model, seed, prompt, licence), kept as JSON text: `Comment` of a PNG,
            "provenance" in a `.npz`.

    Raises:
        ValueError: If the suffix is another, no pixel is known, a depth lies beyond the 65,535 steps, `unit`
            is given for a `.npz` or is not positive, or provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    target = Path(path)
    values = known_depth(depth)
    text = provenance_text(provenance or {})
    if target.suffix.lower() == ".npz":
        if unit is not None:
            raise ValueError(f"unit is for .png; a .npz holds scene units, got unit={unit}.")
        content = npz_bytes(depth=values, provenance=np.array(text))
    elif target.suffix.lower() == ".png":
        content = png_bytes(values, step_size(values, unit), {"Comment": text})
    else:
        raise ValueError(f"path must end in .png or .npz, got {path}.")
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def known_depth(depth: Tensor) -> np.ndarray:
    """float32 depth with NaN where it is unknown; refuses maps without a known pixel."""
    if 0 in depth.shape:
        raise ValueError(f"depth must have pixels, got shape {list(depth.shape)}.")
    values = depth.detach().to(device="cpu", dtype=torch.float32).numpy()
    known = np.isfinite(values) & (values > 0)
    if not known.any():
        raise ValueError("depth must be known (finite and above 0) at some pixel, got none.")
    return np.where(known, values, np.float32(np.nan))


def step_size(values: np.ndarray, unit: DepthUnit | None) -> float:
    """What one step of 16 bits is worth; refuses one that does not reach the farthest value."""
    farthest = float(np.nanmax(values))
    if unit == "fit":
        return farthest / _LARGEST
    step = _INTEGER_UNIT if unit is None else float(unit)
    if not 0 < step < math.inf:
        raise ValueError(f"unit must be a positive number or 'fit', got {unit!r}.")
    if round(farthest / step) > _LARGEST:
        raise ValueError(
            f"depth must be at most {_LARGEST * step:.6g} (65535 steps of {step:.6g}), got {farthest:.6g}; "
            f"a unit of {farthest / _LARGEST:.3g} or 'fit' holds it, as a .npz does."
        )
    return step


def png_bytes(values: np.ndarray, step: float, texts: Mapping[str, str]) -> bytes:
    """A 16-bit PNG of whole steps, 0 where the value is NaN, that states what a step is worth."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    for key, text in {_UNIT_KEY: repr(step), "Description": _MEANING, **texts}.items():
        info.add_text(key, text)
    known = ~np.isnan(values)
    steps = np.where(known, np.clip(np.rint(values.astype(np.float64) / step), 1, _LARGEST), 0)
    buffer = io.BytesIO()
    Image.fromarray(steps.astype(np.uint16)).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def npz_bytes(**arrays: Any) -> bytes:
    """Arrays as a `.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def depth_of_values(
    path: Path, values: np.ndarray, *, unit: int | float | None, kind: DepthFileKind
) -> Tensor:
    """Values of a file in scene units, NaN where unknown."""
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole and not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{path}: a depth map must hold numbers, got {values.dtype}.")
    step = unit if unit is not None else _INTEGER_UNIT if whole and kind == "depth" else 1.0
    unknown = (values == 0) & (kind == "depth") if whole else ~np.isfinite(values)
    return torch.from_numpy(np.where(unknown, np.nan, values.astype(np.float64) * step).astype(np.float32))


def _read(path: Path) -> tuple[np.ndarray, float | None]:
    """The values, and what one step is worth if the file says so."""
    if path.suffix.lower() in (".png", ".tif", ".tiff"):
        return read_picture(path)
    return _read_array(path), None


def _read_array(path: Path) -> np.ndarray:
    try:
        if not zipfile.is_zipfile(path):
            return open_npy(path)
        arrays = open_npz(path, {"depth"}) or open_npz(path, None)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: must be a numpy file of numbers: {error}") from None
    if len(arrays) != 1:
        raise ValueError(f"{path}: must hold one array, or one that is called 'depth', got {[*arrays]}.")
    return next(iter(arrays.values()))


def read_picture(path: Path) -> tuple[np.ndarray, float | None]:
    """Values of a picture with one channel, and what one step is worth if the file says so."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            mode = picture.mode
            values = np.asarray(picture)
            stated = getattr(picture, "text", {}).get(_UNIT_KEY)
    except (  # the first also of texts that are too long
        *(ValueError, UnidentifiedImageError, OSError, SyntaxError),
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"{path}: must be a readable picture: {error}") from None
    if mode not in ("F", "I") and not mode.startswith("I;16"):
        raise ValueError(
            f"{path}: a depth map must have one channel of 16 bits or floating point, got mode {mode!r}, "
            "which is a picture of depth."
        )
    return values, None if stated is None else _parse_unit(path, stated)


def _parse_unit(path: Path, text: str) -> float:
    try:
        unit = float(text)
    except ValueError:
        unit = math.nan
    if not 0 < unit < math.inf:
        raise ValueError(f"{path} is damaged: its {_UNIT_KEY} must be a positive number, got {text[:40]!r}.")
    return unit
