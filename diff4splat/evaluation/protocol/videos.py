"""The videos of any method: where they lie, their frames, and what is wrong with them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.assets.frames import decode_frames
from diff4splat.data.readers.pictures import PICTURES, opened_picture, picture_files
from diff4splat.data.readers.videos import video_facts
from diff4splat.files import atomic_folder, natural_order

__all__ = [
    "VIDEO_FILE_SUFFIXES",
    "ClipVideo",
    "find_video",
    "load_clip",
    "read_video",
    "write_frames",
]

VIDEO_FILE_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".webp", ".apng",
)  # fmt: skip
"""How names of videos end that are looked for, in small letters."""

_ANIMATIONS = (".webp", ".png", ".apng")  # Pillow reads them, and says itself where they are cut off
_DEPTH_OF_PNG = 24  # where the header tells of the bits per channel
_EIGHT_BITS = ("RGB", "L", "P", "1", "RGBA", "LA", "PA")


@dataclass(frozen=True, eq=False)
class ClipVideo:
    """The video of a clip, or why there is none that can be scored.

    Args:
        frames: RGB of 8 bits; None if there is a problem.
        problem: What is wrong, in words; empty if nothing is.
        path: The file or folder; None if there is none.
    """

    frames: UInt8[Tensor, "frame rgb=3 height width"] | None
    problem: str = ""
    path: Path | None = None


def load_clip(
    folder: str | os.PathLike[str], name: str, *, num_frames: int, height: int, width: int
) -> ClipVideo:
    """Video of a clip among those of a method; a problem is a value, so that it can be counted.

    Nothing is resized and no frame is left out: a video of other measures than those asked for is a problem.
    With one exception: formats with 4:2:0 chroma need even sizes, so `save_video` repeats the last row or
    column of an odd one. Where an odd side was asked for and the video file has one more, that is cut off.

    Args:
        folder: The videos of the method, as `find_video` looks for them.
        name: Name of the clip.
        num_frames: Frames that were asked for.
        height: Rows, pixels.
        width: Columns, pixels.

    Returns:
        The frames or else what is wrong, namely no such video, two of them, a file that cannot be decoded,
        too few or too many frames, another size.
    """
    try:
        path = find_video(folder, name)
    except (ValueError, OSError) as error:
        return ClipVideo(None, str(error))
    try:
        frames = read_video(path)
    except (FileNotFoundError, ValueError) as error:
        return ClipVideo(None, str(error), path)
    except Exception as error:  # decoders raise anything on damaged files, Pillow a TypeError on some TIFF
        return ClipVideo(None, f"{path} cannot be decoded: {type(error).__name__}: {error}", path)
    if path.is_file():
        rows, columns = height + height % 2, width + width % 2
        if frames.shape[-2:] == (rows, columns):
            frames = frames[..., :height, :width]
    if frames.shape[-2:] != (height, width):
        got = f"{frames.shape[-2]} x {frames.shape[-1]}"
        return ClipVideo(None, f"{path} must have {height} x {width} pixels, got {got}.", path)
    if len(frames) != num_frames:
        many = "few" if len(frames) < num_frames else "many"
        problem = f"{path} must have {num_frames} frames, got too {many}: {len(frames)}."
        return ClipVideo(None, problem, path)
    return ClipVideo(frames.contiguous(), "", path)


def find_video(folder: str | os.PathLike[str], name: str) -> Path:
    """Where the video of a clip lies.

    `<name>` with one of `VIDEO_FILE_SUFFIXES`, in small letters or capitals, or a folder `<name>/` of
    pictures. For the "/" of a name there may be "_" or "-", with all videos in one folder.

    Args:
        folder: The videos of a method.
        name: Name of the clip, as in a manifest.

    Returns:
        The file or folder.

    Raises:
        FileNotFoundError: If there is no such folder, or no video of that name in it.
        ValueError: If there are several; names them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder of videos: {folder}")
    found: list[Path] = []
    for stem in dict.fromkeys((name, name.replace("/", "_"), name.replace("/", "-"))):
        for suffix in VIDEO_FILE_SUFFIXES:
            for ending in (suffix, suffix.upper()):
                file = folder / f"{stem}{ending}"
                if file.is_file() and not any(file.samefile(other) for other in found):
                    found.append(file)
        if _is_clip_folder(folder / stem):
            found.append(folder / stem)
    if len(found) > 1:
        listed = ", ".join(str(path.relative_to(folder)) for path in found)
        raise ValueError(f"clip {name!r} must have one video in {folder}, got {listed}.")
    if not found:
        raise FileNotFoundError(f"no video of clip {name!r} in {folder}.")
    return found[0]


def read_video(path: str | os.PathLike[str]) -> UInt8[Tensor, "frame rgb=3 height width"]:
    """All frames of a video, an animated picture, or a folder of pictures.

    Pictures are in the order of the numbers in their names: `frame_9.png` before `frame_10.png`. Hidden files
    and folders in the folder are passed over, and how a camera was held. Grey and palette pictures become
    RGB; transparency is dropped where nothing shows through. Videos are turned upright and rounded to 8 bits.

    Args:
        path: mp4, webm, mov, gif or any other video that FFmpeg decodes, an animated `.webp` or `.png`, or a
            folder.

    Returns:
        sRGB frames on the CPU.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it cannot be decoded to its end, FFmpeg finds damage in it, it has no frames, frames
            differ in size, or a picture is partly transparent, CMYK, animated, or has more than 8 bits per
            channel; names the file. Damage that FFmpeg does not find cannot be known.
    """
    path = Path(path)
    if path.is_dir():
        files = _picture_files(path)
        if not files:
            raise ValueError(f"{path} must hold pictures ({', '.join(PICTURES)}), got none.")
        return _stacked((file, _picture(file)) for file in files)
    if path.suffix.lower() not in _ANIMATIONS:
        video_facts(path)  # raises where frames are missing that the header tells of
    decoded = decode_frames(path, damaged="refuse")
    return _stacked((path, frame) for frame in decoded if frame is not None)


def write_frames(folder: str | os.PathLike[str], frames: UInt8[Tensor, "frame rgb=3 height width"]) -> None:
    """Write frames without loss as `0000.png`, `0001.png` and so on; all of them or none.

    Args:
        folder: Folder that does not exist yet, or is empty; the one that it lies in must exist.
        frames: sRGB.

    Raises:
        ValueError: If frames are not uint8 RGB, there are none or no pixels, or the folder holds something.
        FileNotFoundError: If the folder that it lies in does not exist.
    """
    from PIL import Image

    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
        raise ValueError(
            "frames must be uint8 of shape (frame, 3, height, width), "
            f"got {frames.dtype} of shape {tuple(frames.shape)}."
        )
    if 0 in frames.shape:
        raise ValueError(f"frames must have frames and pixels, got shape {list(frames.shape)}.")
    pixels = rearrange(frames, "f c h w -> f h w c").contiguous().cpu().numpy()
    with atomic_folder(folder) as temporary:
        for index, frame in enumerate(pixels):
            Image.fromarray(frame).save(temporary / f"{index:04d}.png", compress_level=6)


def _is_clip_folder(folder: Path) -> bool:
    """Whether a folder holds frames, or nothing at all; a scene's folder holds those of its clips."""
    return folder.is_dir() and (bool(_picture_files(folder)) or not any(folder.iterdir()))


def _picture_files(folder: Path) -> list[Path]:
    return sorted(picture_files(folder), key=lambda file: (natural_order(file.name), file.name))


def _stacked(frames: Iterator[tuple[Path, np.ndarray]]) -> Tensor:
    """Frames of one size as a tensor."""
    found: list[np.ndarray] = []
    for file, frame in frames:
        if found and frame.shape != found[0].shape:
            expected, got = (f"{shape[0]} x {shape[1]}" for shape in (found[0].shape, frame.shape))
            raise ValueError(f"{file} must have the size of the first frame, {expected}, got {got}.")
        found.append(frame)
    return rearrange(torch.from_numpy(np.stack(found)), "f h w c -> f c h w")


def _picture(file: Path) -> np.ndarray:
    with opened_picture(file) as picture:
        picture.load()
        bits = _png_bits(file) if picture.format == "PNG" else 8
        if picture.mode not in _EIGHT_BITS or bits > 8:
            expected = "RGB or grey with 8 bits per channel"
            raise ValueError(f"{file} must be {expected}, got {bits} bits of mode {picture.mode}.")
        num_pictures = getattr(picture, "n_frames", 1)
        if num_pictures > 1:
            raise ValueError(f"{file} must be one picture, got an animation of {num_pictures}.")
        if "A" in picture.getbands() or "transparency" in picture.info:
            least = np.asarray(picture.convert("RGBA"))[..., 3].min()
            if least < 255:
                raise ValueError(f"{file} must not be transparent, got an alpha of {least} of 255.")
        return np.asarray(picture.convert("RGB"))


def _png_bits(file: Path) -> int:
    with file.open("rb") as content:
        return content.read(_DEPTH_OF_PNG + 1)[_DEPTH_OF_PNG]
