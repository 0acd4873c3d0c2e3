"""Pictures whose pixels are numbers: depth, classes, masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diff4splat.data.readers.pictures import opened_picture

__all__ = ["read_depths", "read_map", "read_maps", "read_mask"]


def read_map(file: Path, kind: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Pixels of a picture as the numbers that are stored.

    Args:
        file: Picture that Pillow reads.
        kind: "grey16" for 16 bits a pixel, "grey8" for 8 or 1 bits, a palette or shades of grey, "bgra32"
            for a float32 whose bytes, low to high, are blue, green, red and alpha, "any8" for any of 8 bits.
        size: Rows and columns that it must have; any when omitted.

    Returns:
        Array `[height, width]` of uint16, uint8 or float32, with a last axis of uint8 where there are
        channels; it may be read-only.

    Raises:
        ValueError: If it cannot be read, is of another kind or has another size; names it.
        FileNotFoundError: If there is none.
    """
    modes, dtype = _KINDS[kind]
    with opened_picture(file) as picture:
        if picture.mode not in modes:
            raise ValueError(f"{file} must be a picture of kind {kind}, got one of mode {picture.mode}.")
        try:
            if kind == "bgra32":
                packed = picture.tobytes("raw", "BGRA")
                pixels = np.frombuffer(packed, dtype).reshape(picture.height, picture.width)
            else:
                picture.load()
                pixels = np.asarray(picture).astype(dtype, copy=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{file} is not a readable picture: {error}") from error
    if size is not None and pixels.shape[:2] != size:
        raise ValueError(
            f"{file} must have the size of its frame, {size[1]} x {size[0]}, got {pixels.shape[1]} x "
            f"{pixels.shape[0]}."
        )
    return pixels


def read_maps(files: Sequence[Path], kind: str, size: tuple[int, int]) -> np.ndarray:
    """Maps of one size, stacked.

    Args:
        files: Pictures that Pillow reads, at least one.
        kind: As for `read_map`, without channels.
        size: Rows and columns that they must have.

    Returns:
        Array `[frame, height, width]`.

    Raises:
        ValueError: If one cannot be read, is of another kind or has another size; names it.
        FileNotFoundError: If one is missing.
    """
    stack = np.empty((len(files), *size), _KINDS[kind][1])
    for index, file in enumerate(files):
        stack[index] = read_map(file, kind, size)
    return stack


def read_depths(
    files: Sequence[Path], size: tuple[int, int], *, step: float, far: int
) -> tuple[np.ndarray, np.ndarray]:
    """Depth from pictures of 16 bits whose numbers are steps of a length; 0 is none.

    Args:
        files: Pictures that Pillow reads, at least one.
        size: Rows and columns that they must have.
        step: The length, metres.
        far: Least number that is none either, but the sky.

    Returns:
        Depth in metres, float32, and where it is known, both `[frame, height, width]`.

    Raises:
        ValueError: If one cannot be read, is of another kind or has another size; names it.
        FileNotFoundError: If one is missing.
    """
    depth, known = (np.empty((len(files), *size), dtype) for dtype in (np.float32, bool))
    for index, file in enumerate(files):  # one by one, while the numbers are at hand
        stored = read_map(file, "grey16", size)
        np.multiply(stored, np.float32(step), out=depth[index])
        np.logical_and(stored > 0, stored < far, out=known[index])
    return depth, known


def read_mask(file: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Pixels of a picture that are other than 0.

    Args:
        file: Picture that Pillow reads, grey or coloured.
        size: Rows and columns that it must have; any when omitted.

    Returns:
        Array `[height, width]` of bool.

    Raises:
        ValueError: If it cannot be read or has another size; names it.
        FileNotFoundError: If there is none.
    """
    pixels = read_map(file, "any8", size)
    return pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(-1)


_KINDS: dict[
    str, tuple[tuple[str, ...], np.dtype]
] = {  # Pillow before 11 opens pictures of 16 bits in mode "I"
    "grey16": (("I;16", "I;16B", "I"), np.dtype(np.uint16)),
    "grey8": (("L", "P", "1"), np.dtype(np.uint8)),
    "bgra32": (("RGBA",), np.dtype("<f4")),
    "any8": (("L", "P", "1", "RGB"), np.dtype(np.uint8)),
}
