"""Frames out of moving pictures of every kind: video through PyAV, animations through Pillow."""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

__all__ = ["UNBIASED", "decode_frames", "mean_fps", "upright_pixels"]

# Paths are made absolute for FFmpeg, which takes what stands before a colon for a protocol.
_ANIMATIONS = (".webp", ".png", ".apng")  # FFmpeg reads the first frame of these, or none
UNBIASED = 0x4 | 0x40000 | 0x2000
"""SWS_BICUBIC, SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT of FFmpeg: without them frames get darker by a level."""


def decode_frames(
    path: str | os.PathLike[str],
    *,
    wanted: Collection[int] | None = None,
    damaged: Literal["keep", "refuse"] = "keep",
) -> Iterator[np.ndarray | None]:
    """Frames of a video or an animated picture one by one, so that only one is in memory.

    Args:
        path: A video that FFmpeg decodes (mp4, webm, mov, gif), or an animated `.webp` or `.png`.
        wanted: Numbers of the frames whose pixels are wanted, counted from 0; all when omitted.
        damaged: What to do with a frame of a video in which FFmpeg found errors: "keep" what it filled the
            gaps with, or "refuse" the video.

    Yields:
        RGB pixels of 8 bits, `[height, width, 3]`, upright; None for a frame that is not wanted.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, is truncated (a GIF gives the frames that are left), has no
            frames, or has a damaged one that is refused; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if path.suffix.lower() in _ANIMATIONS:
        yield from _animation(path, wanted)
    else:
        yield from _video(path, wanted, damaged)


def mean_fps(path: str | os.PathLike[str]) -> float | None:
    """Frames per second of a video, or of an animated picture on average over its frames.

    Args:
        path: A file that `decode_frames` reads.

    Returns:
        The rate; None where the file does not say.

    Raises:
        ValueError: If the file cannot be read; names the file.
    """
    path = Path(path)
    if path.suffix.lower() in (*_ANIMATIONS, ".gif"):  # FFmpeg rounds the rate of a GIF, 30 to 33.3
        from PIL import Image, ImageSequence

        with suppress(OSError, SyntaxError), Image.open(path) as picture:
            durations = []
            for frame in ImageSequence.Iterator(picture):
                frame.load()
                durations.append(frame.info.get("duration", 0))
            return 1000 * len(durations) / sum(durations) if sum(durations) > 0 else None
    import av

    try:
        with av.open(os.path.abspath(path)) as container:
            rate = container.streams.video[0].average_rate
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is not a readable video: {error}") from error
    return None if not rate else float(rate)


def upright_pixels(frame: Any) -> np.ndarray:
    """Pixels of a frame that PyAV decoded: the one conversion from the colours of videos to RGB.

    Values are rounded. The default of PyAV cuts them off, which makes frames darker by 0.6 to 1 level of 255.

    Args:
        frame: An `av.VideoFrame`.

    Returns:
        RGB of 8 bits, `[height, width, 3]`, turned as the file asks for.
    """
    turns = round(getattr(frame, "rotation", 0) / 90)  # phones; PyAV tells from 14 on
    # planar, which takes half the time and is given back as red, green, blue
    return np.rot90(frame.to_ndarray(format="gbrp", interpolation=UNBIASED), turns)


def _animation(path: Path, wanted: Collection[int] | None) -> Iterator[np.ndarray | None]:
    from PIL import Image, ImageSequence, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            for index, frame in enumerate(ImageSequence.Iterator(picture)):
                frame.load()
                yield np.asarray(frame.convert("RGB")) if wanted is None or index in wanted else None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable animation: {error}") from error


def _video(path: Path, wanted: Collection[int] | None, damaged: str) -> Iterator[np.ndarray | None]:
    import av

    empty = True
    try:
        with av.open(os.path.abspath(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                empty = False
                if damaged == "refuse" and frame.is_corrupt:
                    raise ValueError(f"{path} is damaged at frame {index}.")
                if wanted is not None and index not in wanted:
                    yield None
                else:
                    yield upright_pixels(frame)
    except (av.FFmpegError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error  # of FFmpeg, without its number
        raise ValueError(f"{path} is not a readable video: {reason}") from error
    if empty:
        raise ValueError(f"{path} has no video frames.")
