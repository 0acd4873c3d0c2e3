"""Frames of a clip beside each other in one small picture."""

import io

import torch
from jaxtyping import UInt8
from torch import Tensor

__all__ = ["film_strip"]

_GAP = 4


def film_strip(
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    *,
    max_frames: int = 5,
    max_side: int = 200,
    quality: int = 85,
) -> bytes:
    """A JPEG of some frames from left to right, the first and the last among them.

    Args:
        frames: RGB of a clip, or of one picture.
        max_frames: Largest number of frames, at least 1; they are spread evenly.
        max_side: Longer side of a frame in the picture, pixels, at least 1; smaller frames stay as they are.
        quality: Of the JPEG, 1 to 95.

    Returns:
        A JPEG file.

    Raises:
        ValueError: If there are no frames or no pixels, or an option is out of range.
        ModuleNotFoundError: If Pillow is missing.
    """
    from PIL import Image

    if 0 in frames.shape:
        raise ValueError(f"frames must have frames and pixels, got shape {list(frames.shape)}.")
    for name, value, top in (
        ("max_frames", max_frames, 100),
        ("max_side", max_side, 4096),
        ("quality", quality, 95),
    ):
        if not 1 <= value <= top:
            raise ValueError(f"{name} must be from 1 to {top}, got {value}.")
    count, height, width = len(frames), frames.shape[2], frames.shape[3]
    shown = min(count, max_frames)
    places = [round(step * (count - 1) / max(shown - 1, 1)) for step in range(shown)]
    scale = min(max_side / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    strip = Image.new("RGB", (shown * size[0] + (shown - 1) * _GAP, size[1]), (128, 128, 128))
    for step, place in enumerate(places):
        pixels = frames[place].to("cpu", torch.uint8).permute(1, 2, 0).contiguous().numpy()
        strip.paste(
            Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), (step * (size[0] + _GAP), 0)
        )
    file = io.BytesIO()
    strip.save(file, format="JPEG", quality=quality)
    return file.getvalue()
