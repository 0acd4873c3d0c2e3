"""Depth maps from files."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["load_depth"]

_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_INTEGER_UNIT = 0.001  # what depth cameras write: millimetres


def load_depth(path: str | Path, *, unit: int | float | None = None) -> Float[Tensor, "height width"]:
    """Read a depth map as it stands in the file, or a disparity.

    Args:
        path: `.npy` or `.npz` with one map (the array "depth" where there are several), a 16-bit `.png`, or a
            `.tif` of 16 bits or floating point.
        unit: What one step of the file is worth, > 0; when omitted 1 for floating point and 0.001 for whole
            numbers, which is millimetres to metres.

    Returns:
        float32 values times `unit`; NaN where the file has NaN, infinity or, in whole numbers, 0, which mean
        that nothing was measured.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind, damaged, or no single map; or `unit` is not above 0.

    Examples:
        >>> depth = load_depth("photo_depth.png")  # doctest: +SKIP
    """
    path = Path(path)
    if unit is not None and not 0 < unit < float("inf"):
        raise ValueError(f"unit must be a positive number, got {unit}.")
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: a depth file must end in {', '.join(_SUFFIXES)}, got {path.suffix!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    values = _read_picture(path) if path.suffix.lower() in (".png", ".tif", ".tiff") else _read_array(path)
    shape = values.shape
    while values.ndim > 2 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2:
        raise ValueError(f"{path}: a depth map must have shape [height, width], got {list(shape)}.")
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole and not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{path}: a depth map must hold numbers, got {values.dtype}.")
    step = unit if unit is not None else _INTEGER_UNIT if whole else 1.0
    unknown = values == 0 if whole else ~np.isfinite(values)
    return torch.from_numpy(np.where(unknown, np.nan, values.astype(np.float64) * step).astype(np.float32))


def _read_array(path: Path) -> np.ndarray:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            names = content.files
            name = "depth" if "depth" in names else names[0] if len(names) == 1 else None
            if name is not None:
                return np.asarray(content[name])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: must be a numpy file of numbers: {error}") from None
    raise ValueError(f"{path}: must hold one array, or one that is called 'depth', got {names}.")


def _read_picture(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            mode = picture.mode
            values = np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: must be a readable picture: {error}") from None
    if mode not in ("F", "I") and not mode.startswith("I;16"):
        raise ValueError(
            f"{path}: a depth map must have one channel of 16 bits or floating point, got mode {mode!r}, "
            "which is a picture of depth."
        )
    return values
