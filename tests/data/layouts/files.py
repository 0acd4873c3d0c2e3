"""Files that datasets are made of, and what they hold besides: PNG without a library, video, damage."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from data.layouts.scene import Scene


class Written(NamedTuple):
    """A dataset that was written."""

    folder: Path  # to open
    scenes: dict[str, Scene]  # what each recording shows, by its name there


def write_png(file: Path, pixels: np.ndarray, palette: bool = False) -> None:
    """A PNG of uint8 (grey, rgb, rgba, indices) or uint16 (grey), big-endian as the format wants."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    depth = pixels.dtype.itemsize * 8
    kind = 3 if palette else {1: 0, 3: 2, 4: 6}[channels]
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(len(pixels), -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    if palette:
        chunks.insert(1, (b"PLTE", bytes(value for index in range(256) for value in (index, 0, 255 - index))))
    file.parent.mkdir(parents=True, exist_ok=True)
    packed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def write_jpg(file: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, quality=95)


def write_video(file: Path, frames: np.ndarray, fps: float, *, codec: str = "libx264") -> None:
    """A video of frames [frame, height, width, rgb]; sides must be even for H.264."""
    import av
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    if codec == "gif":
        first, *others = map(Image.fromarray, frames)
        first.save(file, save_all=True, append_images=others, duration=1000 / fps)
        return
    options = {"movflags": "+faststart"} if file.suffix in (".mp4", ".mov") else {}  # header before frames
    with av.open(str(file.absolute()), "w", options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "10", "g": "5"}
        for pixels in [*frames, None]:
            frame = None if pixels is None else av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)


def cut(file: Path, share: float = 0.6) -> None:
    """What a download that broke off leaves of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
