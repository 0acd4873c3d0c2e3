"""Plain videos and folders of pictures."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from data.readers.wall import picture, shades, video

from diff4splat.data.readers import find_datasets, open_dataset
from diff4splat.data.readers.videos import read_video

HEIGHT, WIDTH, COUNT = 34, 46, 7
CODECS = {"mp4": "libx264", "mov": "libx264", "mkv": "ffv1", "webm": "libvpx", "gif": "gif"}


@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_comes_back(tmp_path: Path, suffix: str) -> None:
    name = f"a film/-clip 1.{suffix}"
    video(tmp_path / name, COUNT, HEIGHT, WIDTH, fps=25 if suffix != "gif" else 20, codec=CODECS[suffix])
    assert find_datasets(tmp_path) == {"video": 1}
    reader = open_dataset(tmp_path)
    assert reader.names == (name,)
    info = reader.info(name)
    assert (info.num_frames, info.height, info.width) == (COUNT, HEIGHT, WIDTH)
    assert info.fps == pytest.approx(20 if suffix == "gif" else 25) and info.holds == frozenset()
    recording = reader.read(name, [1, 2, 6])
    recording.validate()
    assert recording.cameras is None and recording.numbers == (1, 2, 6)
    assert shades(recording.video.numpy()) == [1, 2, 6]
    assert torch.equal(reader.read(name).video[[1, 2, 6]], recording.video)


@pytest.mark.parametrize(("matrix", "red", "blue"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114)])
@pytest.mark.parametrize("whole_range", [True, False])
def test_colours_are_rounded_and_not_cut_off(
    tmp_path: Path, matrix: int, red: float, blue: float, whole_range: bool
) -> None:
    """Against ITU-R BT.709 and BT.601 in double precision, on codes that are kept without loss."""
    codes = np.random.default_rng(5).integers((60, 108, 108), (196, 149, 149), (29, 3))
    _write_codes(tmp_path / "a.mp4", codes, matrix, whole_range)
    luma, chroma = (codes[:, 0] / 255, 255) if whole_range else ((codes[:, 0] - 16) / 219, 224)
    to_blue, to_red = ((codes[:, 1:] - 128) / chroma).T
    reds, blues = luma + 2 * (1 - red) * to_red, luma + 2 * (1 - blue) * to_blue
    greens = (luma - red * reds - blue * blues) / (1 - red - blue)
    truth = 255 * np.stack((reds, greens, blues), 1)
    assert truth.min() > 0 and truth.max() < 255
    video = read_video(tmp_path / "a.mp4", range(29)).double()
    assert (video == video[:, :, :1, :1]).all()
    difference = video[:, :, 0, 0].numpy() - truth
    assert np.abs(difference).max() < 0.55 and np.abs(difference.mean(0)).max() < 0.2


def test_a_video_that_is_written_anew_is_looked_at_anew(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 3, HEIGHT, WIDTH)
    reader = open_dataset(tmp_path)
    assert reader.info("a.mp4").num_frames == reader.info("a.mp4").num_frames == 3
    video(tmp_path / "a.mp4", 5, WIDTH, HEIGHT)
    info = reader.info("a.mp4")
    assert (info.num_frames, info.height) == (5, WIDTH) and len(reader.read("a.mp4").video) == 5


def test_pictures_are_sorted_by_number(tmp_path: Path) -> None:
    for index in (1, 2, 10, 11):
        picture(tmp_path / "my frames" / f"{index}.png", index, 11, 13)
    picture(tmp_path / "my frames" / ".hidden.png", 0, 11, 13)
    picture(tmp_path / "alone" / "one.png", 0, 3, 3)
    picture(tmp_path / ".cache" / "1.png", 0, 3, 3)
    picture(tmp_path / ".cache" / "2.png", 0, 3, 3)
    reader = open_dataset(tmp_path)
    assert reader.names == ("my frames",)
    assert shades(reader.read("my frames").video.numpy()) == [1, 2, 10, 11]
    alone = open_dataset(tmp_path / "my frames")
    assert alone.names == (".",) and shades(alone.read(".", [2]).video.numpy()) == [10]
    assert (alone.info(".").num_frames, alone.info(".").height, alone.info(".").width) == (4, 11, 13)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("frames", [[17], [20, 23, 31], [42], [16, 40]])
def test_frames_far_from_the_start(tmp_path: Path, suffix: str, frames: list[int]) -> None:
    """They are those that decoding from the start gives."""
    video(tmp_path / f"a.{suffix}", 43, HEIGHT, WIDTH, fps=20, codec=CODECS[suffix])
    reader = open_dataset(tmp_path)
    recording = reader.read(f"a.{suffix}", frames)
    assert shades(recording.video.numpy()) == frames
    assert torch.equal(recording.video, reader.read(f"a.{suffix}").video[frames])


def test_what_lies_before_the_key_frame_is_not_decoded(tmp_path: Path) -> None:
    """A damaged beginning does no harm then; every fifth frame is a key frame."""
    video(tmp_path / "a.mp4", 43, HEIGHT, WIDTH)
    whole = open_dataset(tmp_path).read("a.mp4").video
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        second = next(packet for packet in packets[1:] if packet.is_keyframe)
        begin, end = packets[0].pos, second.pos
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    content[begin:end] = bytes(end - begin)
    (tmp_path / "a.mp4").write_bytes(content)
    assert torch.equal(read_video(tmp_path / "a.mp4", [21, 30]), whole[[21, 30]])
    with pytest.raises(ValueError, match="a.mp4"):
        read_video(tmp_path / "a.mp4", [2, 30])


def test_a_video_that_lies_on_its_side(tmp_path: Path) -> None:
    """Phones store the picture turned, and a matrix that turns it back: its left side is the top."""
    file = tmp_path / "phone.mp4"
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2] = 220
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in (av.VideoFrame.from_ndarray(pixels, format="rgb24"), None):
            for packet in stream.encode(frame):
                container.mux(packet)
    content = bytearray(file.read_bytes())
    at = content.index(b"tkhd") + 44  # version 0: the matrix follows 40 bytes of times, layer and volume
    one = 1 << 16
    assert content[at : at + 4] == one.to_bytes(4, "big")
    content[at : at + 36] = np.array([0, one, 0, -one, 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    file.write_bytes(content)
    reader = open_dataset(tmp_path)
    if not hasattr(av.VideoFrame, "rotation"):  # PyAV before 14 does not tell
        assert reader.info("phone.mp4").height == HEIGHT
        return
    assert (reader.info("phone.mp4").height, reader.info("phone.mp4").width) == (WIDTH, HEIGHT)
    shown = reader.read("phone.mp4").video[0, 0]
    assert shown[: WIDTH // 2 - 3].min() > 200 and shown[WIDTH // 2 + 3 :].max() < 20


@pytest.mark.parametrize("count", [10, 300])
def test_a_video_that_is_cut_off(tmp_path: Path, count: int) -> None:
    video(tmp_path / "a.mp4", 31, HEIGHT, WIDTH)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "the header comes first, so frames are cut off"
    (tmp_path / "a.mp4").write_bytes(content[:-count])
    with pytest.raises(ValueError, match=r"a.mp4 is cut off: its header tells of 31 frames, \d+ are there"):
        open_dataset(tmp_path).info("a.mp4")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "-a.mp4"
    video(file, 31, HEIGHT, WIDTH)
    reader = open_dataset(tmp_path)
    file.write_bytes(b"no video")
    with pytest.raises(ValueError, match="-a.mp4 is not a readable video"):
        reader.info("-a.mp4")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="no such file: .*-a.mp4"):
        reader.info("-a.mp4")
    for index, side in enumerate((11, 13)):
        picture(tmp_path / "mixed" / f"{index}.png", index, side, side)
    with pytest.raises(ValueError, match="1.png must have the size of the first frame, 11 x 11, got 13 x 13"):
        open_dataset(tmp_path / "mixed").read(".")
    with pytest.raises(ValueError, match="frames must be from 0 to 1 and at least one, got \\[2\\]"):
        open_dataset(tmp_path / "mixed").read(".", [2])
    with pytest.raises(ValueError, match="frames must ascend, got \\[1, 0\\]"):
        open_dataset(tmp_path / "mixed").read(".", [1, 0])


def test_recordings_are_sorted_by_number(tmp_path: Path) -> None:
    for name in ("10.mp4", "2.MP4", ".3.mp4"):
        (tmp_path / name).touch()
    assert open_dataset(tmp_path).names == ("2.MP4", "10.mp4")


def _write_codes(file: Path, codes: np.ndarray, matrix: int, whole_range: bool) -> None:
    """A frame of H.264 without loss for each luma and two chroma codes."""
    kind = "yuvj420p" if whole_range else "yuv420p"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, kind
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if whole_range else 1
        for code in codes:
            frame = av.VideoFrame(WIDTH, HEIGHT, kind)
            for plane, value in zip(frame.planes, code, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
