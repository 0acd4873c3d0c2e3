"""Pictures whose pixels are numbers: depth, classes, masks."""

from pathlib import Path

import numpy as np

from diff4splat.data.readers.pictures import opened_picture

__all__ = ["read_map", "read_mask"]


def read_map(file: Path, kind: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Pixels of a picture as the numbers that are stored.

    Args:
        file: Picture that Pillow reads.
        kind: "grey16" for 16 bits a pixel, "grey8" for 8 or 1 bits, a palette or shades of grey, "rgba8" for
            four bytes a pixel, "any8" for any of 8 bits.
        size: Rows and columns that it must have; any when omitted.

    Returns:
        Array `[height, width]` of uint16 or uint8, with a last axis of uint8 where there are channels.

    Raises:
        ValueError: If it cannot be read, is of another kind or has another size; names it.
        FileNotFoundError: If there is none.
    """
    modes, dtype = _KINDS[kind]
    with opened_picture(file) as picture:
        if picture.mode not in modes:
            raise ValueError(f"{file} must be a picture of kind {kind}, got one of mode {picture.mode}.")
        try:
            pixels = np.array(picture).astype(dtype, copy=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{file} is not a readable picture: {error}") from error
    if size is not None and pixels.shape[:2] != size:
        raise ValueError(
            f"{file} must have the size of its frame, {size[1]} x {size[0]}, got {pixels.shape[1]} x "
            f"{pixels.shape[0]}."
        )
    return pixels


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


_KINDS = {  # Pillow before 11 opens pictures of 16 bits in mode "I"
    "grey16": (("I;16", "I;16B", "I"), np.uint16),
    "grey8": (("L", "P", "1"), np.uint8),
    "rgba8": (("RGBA",), np.uint8),
    "any8": (("L", "P", "1", "RGB"), np.uint8),
}
