"""Clips as animated pictures, WebP and GIF, through Pillow."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["ANIMATION_SUFFIXES", "checked_durations", "frame_durations", "save_animation"]

ANIMATION_SUFFIXES = (".webp", ".gif")
"""How files end that `save_animation` writes."""

_WEBP_QUALITY = 90
_PALETTE = 255  # one of the 256 stays free: Pillow uses it for the pixels that a frame leaves as they were
_PALETTE_PIXELS = 1 << 20  # looked at for the palette, spread over the clip
_PALETTE_FRAMES = 16
_PALETTE_ROUNDS = 3  # of k-means after the median cut
_SHORTEST = {".webp": 1, ".gif": 20}  # ms: browsers show what claims less than 20 ms in a GIF for 100 ms
_LONGEST = {".webp": (1 << 24) - 1, ".gif": 10 * 0xFFFF}  # ms: what the formats have room for


def frame_durations(num_frames: int, fps: int | float, *, step: int = 1) -> list[int]:
    r"""How long each frame is shown, in whole steps, so that no frame starts more than half a step wrong.

    $$d_i = r(t_{i+1}) - r(t_i), \qquad t_i = \frac{1000\,i}{f}$$

    with $r$ the rounding to a multiple of `step` and $f$ = `fps`: errors do not add up, as they do where one
    rounded duration is used for all.

    Args:
        num_frames: Number of frames.
        fps: Frames per second, > 0.
        step: What durations must be a multiple of, milliseconds: 1 in a WebP, 10 in a GIF.

    Returns:
        One duration per frame, milliseconds.

    Examples:
        >>> frame_durations(6, 12), frame_durations(6, 12, step=10)
        ([83, 84, 83, 83, 84, 83], [80, 90, 80, 80, 90, 80])
    """
    starts = [int(1000 * index / (fps * step) + 0.5) * step for index in range(num_frames + 1)]
    return [end - start for start, end in zip(starts[:-1], starts[1:], strict=True)]


def checked_durations(num_frames: int, fps: int | float, suffix: str) -> list[int]:
    """How long each frame of an animation is shown, which a caller may ask before it makes the frames.

    Args:
        num_frames: Number of frames.
        fps: Frames per second, > 0.
        suffix: `.webp` or `.gif`.

    Returns:
        One duration per frame, milliseconds, see `frame_durations`.

    Raises:
        ValueError: If the frames are too short or too long for the format.
    """
    durations = frame_durations(num_frames, fps, step=1 if suffix == ".webp" else 10)
    shortest, longest = _SHORTEST[suffix], _LONGEST[suffix]
    if min(durations) < shortest or max(durations) > longest:
        low, high = 1000 / longest, 1000 // shortest
        raise ValueError(f"fps must be from {low:.3g} to {high} in a {suffix}, got {fps:.6g}.")
    return durations


def save_animation(
    frames: Sequence[np.ndarray], path: Path, *, fps: int | float, comment: str | bytes | None
) -> None:
    """Write frames as an animation that loops for ever; `save_video` has checked them.

    A frame that is the same as the one before it is not stored again: that one lasts longer. WebP frames have
    a quality of 90. A GIF has one palette of 255 colours for the whole clip, so that nothing flickers:
    median cut, then k-means, on pixels of up to 16 frames, and Floyd-Steinberg dithering.

    Args:
        frames: RGB pixels of 8 bits, each read once or twice, in any order.
        path: File to fill; ends in `.webp` or `.gif`.
        fps: Frames per second.
        comment: What a GIF holds as its comment, and a WebP as its XMP packet.

    Raises:
        ValueError: If the frames are too short or too long for the format.
    """
    suffix = path.suffix.lower()
    durations = checked_durations(len(frames), fps, suffix)
    options: dict[str, Any] = {"duration": durations, "loop": 0}
    if suffix == ".webp":
        pictures = _pictures(frames)
        options |= {"quality": _WEBP_QUALITY, "method": 4}
        options |= {} if comment is None else {"xmp": comment}
    else:
        pictures = _with_palette(frames)
        options |= {"optimize": False} | ({} if comment is None else {"comment": comment})
    next(pictures).save(path, format=suffix[1:].upper(), save_all=True, append_images=pictures, **options)


def _pictures(frames: Sequence[np.ndarray]) -> Iterator["PIL.Image.Image"]:
    from PIL import Image

    for frame in frames:
        yield Image.fromarray(np.ascontiguousarray(frame))


def _with_palette(frames: Sequence[np.ndarray]) -> Iterator["PIL.Image.Image"]:
    from PIL import Image

    chosen = np.unique(np.linspace(0, len(frames) - 1, _PALETTE_FRAMES).round().astype(int))
    pixels = np.concatenate([np.asarray(frames[index]).reshape(-1, 3) for index in chosen])
    pixels = pixels[:: -(-len(pixels) // _PALETTE_PIXELS)]
    palette = Image.fromarray(np.ascontiguousarray(pixels[None])).quantize(
        _PALETTE, method=Image.Quantize.MEDIANCUT, kmeans=_PALETTE_ROUNDS
    )
    for picture in _pictures(frames):
        yield picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
