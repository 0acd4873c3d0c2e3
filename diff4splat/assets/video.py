"""Clips as files: mp4 through PyAV, whose wheels bring the codecs along, WebP and GIF through Pillow."""

import math
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.animation import ANIMATION_SUFFIXES, save_animation
from diff4splat.assets.frames import decode_frames
from diff4splat.assets.provenance_text import provenance_text, provenance_xmp
from diff4splat.assets.watermark import Watermark, embed_watermark
from diff4splat.files import atomic_path

__all__ = ["VIDEO_SUFFIXES", "load_video", "save_video"]

VIDEO_SUFFIXES = (".mp4", *ANIMATION_SUFFIXES)
"""How files end that `save_video` writes."""

_SLOWEST_MP4, _FASTEST_MP4 = 0.0001, 100000  # frames per second that FFmpeg's mp4 keeps exactly


def save_video(
    video: Float[Tensor, "frame rgb=3 height width"],
    path: str | os.PathLike[str],
    *,
    fps: int | float = 12,
    provenance: Mapping[str, Any] | None = None,
    watermark: Watermark | None = None,
) -> None:
    """Write a clip as an H.264 mp4 that browsers and phones play, or as an animated WebP or GIF.

    mp4: libx264 at constant quality (crf 18), 4:2:0 chroma, BT.709 colours, index first. That chroma format
    needs even sizes: an odd height or width is extended by one row or column, a copy of the last.
    WebP: quality 90. GIF: one palette of 255 colours for the clip, dithered. Both loop for ever, keep odd
    sizes, and hold whole milliseconds or hundredths of a second: durations vary by one step, so that no frame
    starts more than half a step wrong. They store a frame that repeats the one before not again, but
    lengthen that one.
    The file is written whole or not at all.

    Args:
        video: sRGB frames in [0, 1]; values outside are clamped.
        path: File to write; must end in `.mp4`, `.webp` or `.gif`.
        fps: Frames per second, > 0; at most 50 in a GIF, as browsers slow down what is faster.
        provenance: JSON values (model, seed, prompt, licence), kept as JSON text: the `comment` of an mp4 and
            of a GIF, `dc:description` in the XMP of a WebP.
        watermark: Mark to put into the picture (`embed_watermark`); none when omitted. The command line
            marks what it writes; a function of the library writes what it is given.

    Raises:
        ValueError: If there are no frames, a value is NaN, `fps` is out of range for the format,
            the suffix is another, or provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, got {fps}.")
    suffix = Path(path).suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise ValueError(f"path must end in {', '.join(VIDEO_SUFFIXES)}, got {path}.")
    if suffix == ".mp4" and not _SLOWEST_MP4 <= fps <= _FASTEST_MP4:
        raise ValueError(f"fps must be from {_SLOWEST_MP4} to {_FASTEST_MP4} in a .mp4, got {fps:.6g}.")
    if 0 in video.shape:
        raise ValueError(f"video must have frames and pixels, got shape {tuple(video.shape)}.")
    if bool(video.isnan().any()):
        raise ValueError("video must be finite, got NaN.")
    frames = _Frames(video, watermark)
    text = None if provenance is None else provenance_text(provenance)
    with atomic_path(path) as temporary:
        if suffix == ".mp4":
            _save_mp4(frames, temporary, fps=fps, comment=text)
        else:
            packet = None if provenance is None else provenance_xmp(provenance)
            save_animation(frames, temporary, fps=fps, comment=packet if suffix == ".webp" else text)


def load_video(path: str | os.PathLike[str]) -> Float[Tensor, "frame rgb=3 height width"]:
    """Read every frame of the first video stream, or of an animated picture.

    Args:
        path: Video of any format that FFmpeg decodes, or an animated `.webp` or `.png`.

    Returns:
        Float32 sRGB frames in [0, 1], upright, on the CPU. Animations may store frames of different lengths;
        each is returned once.

    Raises:
        ValueError: If the file is not a video, is truncated (a GIF gives the frames that are left), or has no
            frames; names the file.
        FileNotFoundError: If there is no such file.
    """
    frames = [frame for frame in decode_frames(path) if frame is not None]
    return rearrange(torch.from_numpy(np.stack(frames)), "f h w c -> f c h w").float() / 255


class _Frames(Sequence[np.ndarray]):
    """The frames of a clip as 8-bit pixels, marked and converted when they are asked for."""

    def __init__(self, video: Tensor, watermark: Watermark | None) -> None:
        self._video, self._watermark = video, watermark

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self._video):
            raise IndexError(index)
        frame = self._video[int(index)].detach().clamp(0, 1)
        if self._watermark is not None:
            frame = embed_watermark(frame, self._watermark)
        pixels = frame.clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
        return np.ascontiguousarray(rearrange(pixels, "c h w -> h w c").numpy())


def _short_fraction(fps: int | float) -> Fraction:
    """A rate in the small numbers that formats have room for, however slow it is."""
    if fps < 1:
        return 1 / Fraction(1 / fps).limit_denominator(1001)
    return Fraction(fps).limit_denominator(1001)


def _save_mp4(frames: Sequence[np.ndarray], path: Path, *, fps: int | float, comment: str | None) -> None:
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if comment is not None:
            container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=_short_fraction(fps), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            1,
            1,
            1,
            1,
        )  # BT.709, video range
        for frame in frames:
            padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
            converted = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            for packet in stream.encode(converted):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
