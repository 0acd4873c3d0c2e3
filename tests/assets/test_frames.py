"""Frames of videos come out in the colours that the standards give them."""

from pathlib import Path

import av
import numpy as np
import pytest

from diff4splat.assets import load_video
from diff4splat.assets.frames import decode_frames
from diff4splat.data.readers.videos import read_video

HEIGHT, WIDTH, COUNT = 34, 46, 23
# Weights of red and blue in luma: ITU-R BT.709 (number 1 in H.264) and BT.601 (number 6).
MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}


def write_codes(file: Path, codes: np.ndarray, matrix: int) -> None:
    """A frame of H.264 without loss, video range, for each luma and two chroma codes."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 1
        for code in codes:
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for plane, value in zip(frame.planes, code, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def true_colors(codes: np.ndarray, matrix: int) -> np.ndarray:
    """RGB from 0 to 255 that the standard gives to codes of video range."""
    red, blue = MATRICES[matrix]
    luma = (codes[:, 0] - 16) / 219
    to_blue, to_red = ((codes[:, 1:] - 128) / 224).T
    reds, blues = luma + 2 * (1 - red) * to_red, luma + 2 * (1 - blue) * to_blue
    greens = (luma - red * reds - blue * blues) / (1 - red - blue)
    return 255 * np.stack((reds, greens, blues), 1)


@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_rounded_and_not_cut_off(tmp_path: Path, matrix: int) -> None:
    """The conversion of PyAV to rgb24 is 0.6 to 1 level too dark on average; all readers have the other."""
    codes = np.random.default_rng(7).integers((60, 108, 108), (196, 149, 149), (COUNT, 3))
    truth = true_colors(codes, matrix)
    assert truth.min() > 0 and truth.max() < 255
    file = tmp_path / "a.mp4"
    write_codes(file, codes, matrix)
    decoded = np.stack([frame for frame in decode_frames(file)])
    difference = decoded[:, 0, 0].astype(np.float64) - truth
    assert np.abs(difference).max() < 0.55 and np.abs(difference.mean(0)).max() < 0.2
    assert (decoded == decoded[:, :1, :1]).all()
    by_number = read_video(file, range(COUNT)).numpy().transpose(0, 2, 3, 1)
    by_asset = load_video(file).mul(255).round().byte().numpy().transpose(0, 2, 3, 1)
    assert np.array_equal(decoded, by_number) and np.array_equal(decoded, by_asset)
