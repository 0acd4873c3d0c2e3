"""Frames of a clip as parts of a sample: one mp4, or a JPEG or PNG each."""

import io
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.assets.frames import UNBIASED

__all__ = ["VideoKind", "decode_video", "encode_video"]

VideoKind = Literal["mp4", "jpg", "png"]
"""How frames are kept: H.264 with 4:2:0 chroma, JPEG of quality 95 with 4:4:4 chroma, or without loss."""

_CRF = "12"
_KEY_FRAMES = 16  # frames from one that can be entered to the next, at most
_BLOCK = 2  # pixels that share one chroma value
_PLAY_RATE = 24.0  # of a video whose rate nobody knows
# x264's macroblock tree reads beyond small frames: one run in six gave other bytes
_REPRODUCIBLE = {"x264-params": "mbtree=0"}
_JPEG = {"quality": 95, "subsampling": 0, "optimize": False}
_PNG = {"compress_level": 6}


def encode_video(
    video: UInt8[Tensor, "frame rgb=3 height width"], kind: VideoKind, *, fps: float | None = None
) -> dict[str, bytes]:
    """Parts that hold the frames; as pictures, equal frames give equal bytes with the same version of Pillow.

    mp4: libx264 at constant quality 12 in one thread, BT.709, a key frame at least every 16 frames; an odd
    side is extended by a copy of its last row or column, which `decode_video` cuts off again. libx264
    works without its macroblock tree, with which bytes differ from run to run; on other machines they may
    still differ.

    Args:
        video: sRGB frames.
        kind: How to keep them.
        fps: Rate at which players show an mp4; 24 when omitted. The frames are the same whatever it is.

    Returns:
        `mp4`, or `00000.jpg`, `00001.jpg` ... by number of the frame, or png likewise.

    Raises:
        ValueError: If `kind` is another word.
    """
    frames = video.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    if kind == "mp4":
        return {"mp4": _to_mp4(frames, fps)}
    if kind not in ("jpg", "png"):
        raise ValueError(f'video must be "mp4", "jpg" or "png", got {kind!r}.')
    return {f"{index:05d}.{kind}": _to_picture(frame, kind) for index, frame in enumerate(frames)}


def decode_video(
    parts: Mapping[str, bytes], kind: VideoKind, frames: Sequence[int], *, height: int, width: int
) -> UInt8[Tensor, "frame rgb=3 height width"]:
    """Frames out of the parts of a sample; of an mp4, those from the key frame before the first are decoded.

    Args:
        parts: Bytes by end of the name; of pictures, only those of the frames are asked for.
        kind: How frames are kept.
        frames: Which, from 0, ascending.
        height: Rows of the frames.
        width: Columns of the frames.

    Returns:
        sRGB frames.

    Raises:
        ValueError: If a part is missing, cannot be decoded, is of another size, or ends too early.
    """
    if kind == "mp4":
        pictures = _from_mp4(_part(parts, "mp4"), frames)
    else:
        pictures = [_from_picture(parts, f"{index:05d}.{kind}") for index in frames]
    for picture in pictures:
        extra = (picture.shape[0] - height, picture.shape[1] - width)
        if not all(0 <= side < (_BLOCK if kind == "mp4" else 1) for side in extra):
            raise ValueError(f"frames must be of {height} x {width} pixels, got {list(picture.shape[:2])}.")
    stacked = np.stack([picture[:height, :width] for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)  # colours last in memory, as decoded


def _part(parts: Mapping[str, bytes], key: str) -> bytes:
    try:
        return parts[key]
    except KeyError:
        raise ValueError(f"{key} is missing, there are {', '.join(sorted(parts)[:9])}.") from None


def _rate(fps: float | None) -> Fraction:
    """A rate that the clock of an mp4 counts exactly; it matters to players only."""
    known = fps if fps is not None and math.isfinite(fps) and 0.1 <= fps <= 1000 else _PLAY_RATE
    return Fraction(known).limit_denominator(1001)


def _to_mp4(frames: np.ndarray, fps: float | None) -> bytes:
    import av

    _, height, width, _ = frames.shape
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"crf": _CRF, "threads": "1", "g": str(_KEY_FRAMES), "preset": "medium", **_REPRODUCIBLE}
        stream = container.add_stream("libx264", rate=_rate(fps), options=options)
        below, right = -height % _BLOCK, -width % _BLOCK
        stream.width, stream.height, stream.pix_fmt = width + right, height + below, "yuv420p"
        stream.codec_context.thread_count = 1
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
        for frame in frames:
            padded = np.pad(frame, ((0, below), (0, right), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
            converted = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return file.getvalue()


def _from_mp4(content: bytes, frames: Sequence[int]) -> list[np.ndarray]:
    import av

    found: dict[int, np.ndarray] = {}
    wanted, last = set(frames), max(frames)
    try:
        with av.open(io.BytesIO(content)) as container:
            if not container.streams.video:
                raise ValueError("mp4 has no video.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise ValueError("mp4 is of a codec that cannot be decoded.")
            stream.codec_context.thread_count = 1  # workers are as many as there are cores
            step = 1 / (stream.average_rate * stream.time_base)
            if min(frames) >= _KEY_FRAMES:
                container.seek(math.ceil(min(frames) * step), stream=stream)
            for frame in container.decode(stream):
                index = round(frame.pts / step)
                if index in wanted:
                    found[index] = _pixels(frame)
                if index >= last:
                    break
    except (av.FFmpegError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"mp4 is no readable video: {error}") from error
    missing = sorted(wanted - set(found))
    if missing:
        raise ValueError(f"mp4 must have a frame {missing[0]}, got fewer that can be decoded.")
    return [found[index] for index in frames]


def _pixels(frame: Any) -> np.ndarray:
    converted = frame.reformat(
        format="gbrp", src_colorspace="ITU709", src_color_range="MPEG", interpolation=UNBIASED
    )
    return np.asarray(converted.to_ndarray())


def _to_picture(frame: np.ndarray, kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    options: dict[str, Any] = _JPEG if kind == "jpg" else _PNG
    Image.fromarray(frame).save(file, "JPEG" if kind == "jpg" else "PNG", **options)
    return file.getvalue()


def _from_picture(parts: Mapping[str, bytes], key: str) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    content = _part(parts, key)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.array(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{key} is no readable picture: {error}") from error
