"""Videos of the formats people have: which frames are taken, and that their pixels are those of the file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from diff4splat.assets import save_video
from diff4splat.backbones import LatentSpec
from diff4splat.pipelines import read_frames, video_facts
from diff4splat.pipelines.clips import clip_length, fit_video, spread_indices


def greys(count: int, height: int = 22, width: int = 34) -> Tensor:
    """One grey per frame, in steps that survive compression, darker at the right edge."""
    video = torch.linspace(0.2, 0.8, count)[:, None, None, None].repeat(1, 3, height, width)
    video[..., -4:] = 0
    return video


def pictures(count: int) -> list[Image.Image]:
    frames = (greys(count) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    first, *others = pictures(11)
    save_video(greys(11), tmp_path / "clip.mp4", fps=10)
    for name in ("clip.gif", "clip.webp", "clip.png"):
        first.save(tmp_path / name, save_all=True, append_images=others, duration=100, lossless=True)
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, picture in enumerate([first, *others]):
        picture.save(folder / f"frame {index}.png")  # "frame 10" sorts before "frame 2" as text
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"no picture")
    return {**{name: tmp_path / f"clip.{name}" for name in ("mp4", "gif", "webp", "png")}, "folder": folder}


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp", "png", "folder"])
def test_frames_are_those_of_the_file(kind: str, files: dict[str, Path]) -> None:
    facts = video_facts(files[kind])
    assert (facts.num_frames, facts.height, facts.width) == (11, 22, 34)
    assert facts.fps == (None if kind == "folder" else 10)
    frames = read_frames(files[kind], [0, 3, 10], height=22, width=34)
    torch.testing.assert_close(frames, greys(11)[[0, 3, 10]], rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp"])
def test_the_rate_is_that_it_was_saved_at(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{kind}"
    save_video(greys(31), path, fps=30)
    assert video_facts(path).fps == pytest.approx(30, rel=0.01)


def test_a_rate_that_a_file_does_not_tell(tmp_path: Path) -> None:
    first, *others = pictures(3)
    first.save(tmp_path / "clip.gif", save_all=True, append_images=others, duration=0)
    assert video_facts(tmp_path / "clip.gif").fps is None
    first.save(tmp_path / "still.webp")
    assert video_facts(tmp_path / "still.webp").fps is None
    save_video(greys(3), tmp_path / "clip.mp4", fps=10)
    (tmp_path / "clip.mp4").rename(tmp_path / "misnamed.gif")
    assert video_facts(tmp_path / "misnamed.gif").fps == 10


def test_frames_are_cropped_around_the_centre_and_resized(files: dict[str, Path]) -> None:
    frames = read_frames(files["folder"], [4], height=11, width=11)
    assert frames.shape == (1, 3, 11, 11)
    torch.testing.assert_close(frames, greys(11)[4:5, :, :11, :11], rtol=0, atol=0.01, msg="the edge is cut")
    torch.testing.assert_close(fit_video(greys(11), height=11, width=11)[4:5], frames, rtol=0, atol=0.01)


def test_a_video_that_was_filmed_sideways_is_turned_upright(tmp_path: Path) -> None:
    av = pytest.importorskip("av", minversion="14")
    save_video(greys(3, 20, 34), tmp_path / "plain.mp4")
    with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(tmp_path / "phone.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    facts = video_facts(tmp_path / "phone.mp4")
    assert (facts.height, facts.width) == (34, 20)
    frame = read_frames(tmp_path / "phone.mp4", [2], height=34, width=20)[0]
    assert frame[:, :3].max() < 0.1 < 0.7 < frame[:, 6:].min(), "a quarter turn against the clock"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "no such file or folder"),
        ("text.mp4", "text.mp4 is not a readable video"),
        ("text.webp", "text.webp is not a readable animation"),
        ("empty", "must hold pictures .*, got none"),
        ("broken", "broken"),
    ],
)
def test_what_is_no_video_is_refused(name: str, message: str, tmp_path: Path) -> None:
    for file in ("text.mp4", "text.webp"):
        (tmp_path / file).write_text("hello")
    for folder in ("empty", "broken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "broken" / "1.png").write_text("hello")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        video_facts(tmp_path / name)


def test_frames_that_are_not_there(files: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="must have the 2 frames that were asked for, got 1"):
        read_frames(files["gif"], [3, 11], height=16, width=16)


def test_indices_are_the_nearest_to_an_even_spread() -> None:
    for available in range(2, 41):
        for count in range(2, available + 1):
            indices = spread_indices(available, count)
            assert len(indices) == count and indices == sorted(set(indices))
            exact = np.linspace(0, available - 1, count)
            assert np.abs(np.array(indices) - exact).max() <= 0.5 + 1e-9
            assert (indices[0], indices[-1]) == (0, available - 1)
    for count in (1, 8):
        with pytest.raises(ValueError, match="count must be from 2 to the 7 frames of the video, got"):
            spread_indices(7, count)


def test_the_length_of_a_clip_follows_the_frame_rule() -> None:
    spec = LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, frame_multiple=8)
    assert [clip_length(spec, available, 25) for available in (9, 16, 17, 24, 25, 400)] == [
        9,
        9,
        17,
        17,
        25,
        25,
    ]
    with pytest.raises(ValueError, match="video must have at least 9 frames for this model, got 8"):
        clip_length(spec, 8, 25)
    with pytest.raises(ValueError, match="num_frames must be 8k.1 for this backbone, got 21"):
        clip_length(spec, 400, 21)
