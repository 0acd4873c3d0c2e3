"""Clips as mp4 files, through PyAV, whose wheels bring the codecs along."""

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.watermark import Watermark, embed_watermark
from diff4splat.files import atomic_path

__all__ = ["load_video", "save_video"]


def save_video(
    video: Float[Tensor, "frame rgb=3 height width"],
    path: str | os.PathLike[str],
    *,
    fps: int | float = 12,
    watermark: Watermark | None = None,
) -> None:
    """Write a clip as an H.264 mp4 that browsers and phones play.

    libx264 at constant quality (crf 18), 4:2:0 chroma, BT.709 colours, index first. That chroma format needs
    even sizes: an odd height or width is extended by one row or column, a copy of the last. The file is
    written whole or not at all.

    Args:
        video: sRGB frames in [0, 1]; values outside are clamped.
        path: File to write; must end in `.mp4`.
        fps: Frames per second, > 0.
        watermark: Mark to put into the picture (`embed_watermark`); none when omitted. The command line
            marks what it writes; a function of the library writes what it is given.

    Raises:
        ValueError: If there are no frames, a value is NaN, `fps` is not positive, or the
            suffix is not `.mp4`.
        FileNotFoundError: If the folder does not exist.
    """
    import av

    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, got {fps}.")
    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {path}.")
    if 0 in video.shape:
        raise ValueError(f"video must have frames and pixels, got shape {tuple(video.shape)}.")
    if bool(video.isnan().any()):
        raise ValueError("video must be finite, got NaN.")
    height, width = video.shape[-2:]
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"}
        )
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            1,
            1,
            1,
            1,
        )  # BT.709, video range
        for frame in video:
            frame = frame if watermark is None else embed_watermark(frame.clamp(0, 1), watermark)
            pixels = rearrange(
                frame.detach().clamp(0, 1).mul(255).round().to("cpu", torch.uint8), "c h w -> h w c"
            )
            padded = np.pad(pixels.numpy(), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
            converted = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            for packet in stream.encode(converted):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def load_video(path: str | os.PathLike[str]) -> Float[Tensor, "frame rgb=3 height width"]:
    """Read every frame of the first video stream.

    Args:
        path: Video of any format that FFmpeg decodes.

    Returns:
        Float32 sRGB frames in [0, 1], on the CPU.

    Raises:
        ValueError: If the file is not a video, is truncated, or has no frames; names the file.
        FileNotFoundError: If there is no such file.
    """
    import av

    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is not a readable video: {error}") from error
    if not frames:
        raise ValueError(f"{path} has no video frames.")
    return rearrange(torch.from_numpy(np.stack(frames)), "f h w c -> f c h w").float() / 255
