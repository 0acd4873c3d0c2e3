"""Videos a person has, as clips for a pipeline: which frames are taken, read at the size they are used at."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.frames import decode_frames, mean_fps
from diff4splat.backbones import LatentSpec
from diff4splat.files import natural_order
from diff4splat.pipelines.images import centre_crop_box, image_size, resize_image

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "VideoFacts",
    "check_video",
    "clip_length",
    "fit_video",
    "read_frames",
    "spread_indices",
    "video_facts",
]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class VideoFacts:
    """What there is to know of a video before its frames are used.

    Args:
        num_frames: Frames that can be decoded.
        height: Height of the first frame, pixels.
        width: Width of the first frame, pixels.
        fps: Frames per second; None for pictures in a folder, or where the file does not say.
    """

    num_frames: int
    height: int
    width: int
    fps: float | None


def check_video(video: Tensor) -> None:
    """Refuse what is no video.

    Args:
        video: What the user gave.

    Raises:
        TypeError: If it is no floating-point tensor.
        ValueError: If its shape is not `[frame, 3, height, width]`, or a value lies outside [0, 1].
    """
    if not (isinstance(video, Tensor) and video.is_floating_point()):
        got = video.dtype if isinstance(video, Tensor) else type(video).__name__
        raise TypeError(f"video must be a floating-point tensor, got {got}.")
    if video.ndim != 4 or video.shape[1] != 3 or 0 in video.shape:
        raise ValueError(f"video must have shape [frame, 3, height, width], got {list(video.shape)}.")
    low, high = video.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"video must lie in [0, 1], got {float(low):.6g} to {float(high):.6g}.")


def clip_length(spec: LatentSpec, available: int, wanted: int) -> int:
    """Number of frames to take of a video: as many as wanted, or the most that it has and the model takes.

    Args:
        spec: Latents of the video model, whose frame rule decides.
        available: Frames of the video.
        wanted: Frames of the clips of the model, by its frame rule.

    Returns:
        Number of frames, no more than there are.

    Raises:
        ValueError: If `wanted` breaks the frame rule, or the video is shorter than the shortest clip.
    """
    spec.check_frames(wanted)
    least = spec.frame_step + 1
    if available < least:
        raise ValueError(f"video must have at least {least} frames for this model, got {available}.")
    return min(wanted, (available - 1) // spec.frame_step * spec.frame_step + 1)


def spread_indices(available: int, count: int) -> list[int]:
    """Frames spread evenly over a video, the first and the last among them.

    Args:
        available: Frames of the video.
        count: Frames to take, from 2 to `available`.

    Returns:
        Ascending indices, each once.

    Raises:
        ValueError: If `count` is outside that range.

    Examples:
        >>> spread_indices(100, 5)
        [0, 25, 50, 74, 99]
    """
    if not 2 <= count <= available:
        raise ValueError(f"count must be from 2 to the {available} frames of the video, got {count}.")
    # Whole numbers, halves up: floating point would round one way or the other.
    return [(2 * i * (available - 1) + count - 1) // (2 * (count - 1)) for i in range(count)]


def fit_video(
    video: Float[Tensor, "frame rgb=3 source_height source_width"], *, height: int, width: int
) -> Float[Tensor, "frame rgb=3 height width"]:
    """Frames cropped around their centre and resized, as `fit_cameras` does with their cameras.

    Args:
        video: Frames in [0, 1].
        height: New height, pixels.
        width: New width, pixels.

    Returns:
        Frames in [0, 1].
    """
    top, left, rows, columns = centre_crop_box(*video.shape[-2:], aspect=width / height)
    cropped = video[..., top : top + rows, left : left + columns]
    return torch.stack([resize_image(frame, (height, width)) for frame in cropped])


def video_facts(path: str | os.PathLike[str]) -> VideoFacts:
    """Count the frames of a video, or of a folder of pictures.

    Args:
        path: A video that FFmpeg decodes (mp4, webm, mov, gif), an animated picture (webp, png), or a folder
            of pictures, which are sorted by name, numbers in it by value.

    Returns:
        Number, size and speed of the frames.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it is no video that can be read, or a folder without pictures.
    """
    path = Path(path)
    if path.is_dir():
        files = _picture_files(path)
        with _in_folder():
            return VideoFacts(len(files), *image_size(files[0]), None)
    count, height, width = 0, 0, 0
    for frame in _frames(path, {0}):
        if frame is not None:
            height, width = frame.shape[:2]
        count += 1
    return VideoFacts(count, height, width, mean_fps(path))


def read_frames(
    path: str | os.PathLike[str], indices: Sequence[int], *, height: int, width: int
) -> Float[Tensor, "frame rgb=3 height width"]:
    """Some frames of a video, cropped around their centre and resized one by one, so that memory stays low.

    Args:
        path: As for `video_facts`.
        indices: Ascending numbers of frames, counted from 0.
        height: Height to read them at, pixels.
        width: Width to read them at, pixels.

    Returns:
        Float32 sRGB frames in [0, 1], on the CPU.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it cannot be read, or has no such frames.
    """
    wanted, found = set(indices), []
    for pixels in _frames(Path(path), wanted):
        if pixels is None:
            continue
        frame = rearrange(torch.from_numpy(np.array(pixels, order="C")), "h w c -> 1 c h w").float() / 255
        found.append(fit_video(frame, height=height, width=width)[0])
        if len(found) == len(wanted):
            break
    if len(found) != len(wanted):
        raise ValueError(f"{path} must have the {len(wanted)} frames that were asked for, got {len(found)}.")
    return torch.stack(found)


def _frames(path: Path, wanted: set[int]) -> Iterator[np.ndarray | None]:
    """Frames one by one: RGB pixels of those wanted, None for the others, which are only decoded."""
    if path.is_dir():
        return _pictures(path, wanted)
    if not path.is_file():
        raise FileNotFoundError(f"no such file or folder: {path}")
    return decode_frames(path, wanted=wanted)


def _pictures(folder: Path, wanted: set[int]) -> Iterator[np.ndarray | None]:
    from diff4splat.pipelines.decoding import decode_upright, opened

    for index, file in enumerate(_picture_files(folder)):
        if index not in wanted:
            yield None
        else:
            with _in_folder(), opened(file) as (source, name):
                picture = cast("PIL.Image.Image", source)
                aspect = picture.width / picture.height
                upright = decode_upright(picture, name, is_file=True, longest_side=1 << 16, aspect=aspect)
                yield np.asarray(upright.picture.convert("RGB"))


@contextmanager
def _in_folder() -> Iterator[None]:
    """Say of what is wrong with a picture that it is one of the video's."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"video must be pictures that can all be read: {error}") from error


def _picture_files(folder: Path) -> list[Path]:
    """Pictures of a folder: `2.png` before `10.png`."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in _PICTURES and file.name[0] != "."]
    if not files:
        raise ValueError(f"{folder} must hold pictures ({', '.join(_PICTURES)}), got none.")
    return sorted(files, key=lambda file: natural_order(file.name))
