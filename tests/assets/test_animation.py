"""Animated WebP and GIF: what Pillow and FFmpeg make of them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.assets import load_video, save_video
from diff4splat.assets.animation import frame_durations

KINDS = pytest.mark.parametrize("kind", ["webp", "gif"])


def smooth_clip(num_frames: int = 7, height: int = 47, width: int = 61) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    time = torch.linspace(0, 1, num_frames)[:, None, None]
    return torch.stack(
        [0.8 * x + 0.2 * time, 0.9 * y + 0.1 * time, 0.5 + 0.4 * torch.sin(3 * (x + y + 2 * time))], dim=1
    )


def shown(path: Path) -> tuple[np.ndarray, list[int], dict]:
    """Frames, durations and facts of a file, as Pillow sees it."""
    frames, durations = [], []
    with Image.open(path) as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            picture.load()
            frames.append(np.asarray(picture.convert("RGB")) / 255)
            durations.append(picture.info["duration"])
        return np.stack(frames), durations, picture.info


@KINDS
def test_frames_come_back_in_order_size_and_colour(kind: str, tmp_path: Path) -> None:
    video, path = smooth_clip(), tmp_path / f"clip.{kind}"
    save_video(video, path)
    frames, _, info = shown(path)
    expected = video.numpy().transpose(0, 2, 3, 1)
    assert frames.shape == expected.shape, "odd sizes are kept"
    assert info["loop"] == 0, "for ever"
    errors = ((frames[:, None] - expected[None]) ** 2).mean(axis=(2, 3, 4))
    assert errors.argmin(axis=1).tolist() == [*range(7)]
    assert (-10 * np.log10(errors.diagonal()) > {"webp": 33, "gif": 26}[kind]).all(), (
        "dB; 255 colours for a volume of them"
    )
    # dithering and coarse chroma keep the mean colour of any larger patch
    patches = (frames - expected)[:, :40, :60].reshape(7, 4, 10, 6, 10, 3).mean(axis=(2, 4))
    assert np.abs(patches).max() < 0.03
    np.testing.assert_allclose(load_video(path).numpy().transpose(0, 2, 3, 1), frames, atol=2 / 255)


@KINDS
@pytest.mark.parametrize("fps", [12, 29.97, 7])
def test_no_frame_starts_late(kind: str, fps: float, tmp_path: Path) -> None:
    save_video(smooth_clip(23, 17, 19), tmp_path / f"clip.{kind}", fps=fps)
    _, durations, _ = shown(tmp_path / f"clip.{kind}")
    ends = np.cumsum(durations)
    exact = 1000 * np.arange(1, 24) / fps
    assert np.abs(ends - exact).max() <= {"webp": 0.5, "gif": 5}[kind] + 1e-9
    assert len(set(durations)) == 2


def test_ffmpeg_plays_the_gif_for_as_long(tmp_path: Path) -> None:
    video = smooth_clip(23, 18, 22)
    save_video(video, tmp_path / "clip.gif", fps=12)
    with av.open(str(tmp_path / "clip.gif")) as container:
        stream = container.streams.video[0]
        frames = [(frame.time, frame.to_ndarray(format="rgb24") / 255) for frame in container.decode(stream)]
    assert [round(time * 100) for time, _ in frames] == [int(100 * i / 12 + 0.5) for i in range(23)]
    error = np.stack([pixels for _, pixels in frames]) - video.numpy().transpose(0, 2, 3, 1)
    assert -10 * np.log10((error**2).mean()) > 26


@KINDS
def test_frames_that_repeat_are_stored_once_and_last_longer(kind: str, tmp_path: Path) -> None:
    clip = smooth_clip(3)
    save_video(clip[[0, 0, 1, 2, 2, 2]], tmp_path / f"clip.{kind}", fps=10)
    frames, durations, _ = shown(tmp_path / f"clip.{kind}")
    assert durations == [200, 100, 300]
    assert (np.abs(frames - clip.numpy().transpose(0, 2, 3, 1)).mean(axis=(1, 2, 3)) < 0.05).all()
    save_video(clip[[0, 0, 0]], tmp_path / f"still.{kind}", fps=10)
    assert load_video(tmp_path / f"still.{kind}").shape == (1, 3, 47, 61)


def test_a_gif_has_one_palette_so_that_nothing_flickers(tmp_path: Path) -> None:
    clip = smooth_clip(5)
    clip[:, :, :20] = clip[:1, :, :20]  # a part that rests
    save_video(clip, tmp_path / "clip.gif")
    frames, _, _ = shown(tmp_path / "clip.gif")
    colors = np.unique((frames * 255).round().astype(int).reshape(-1, 3), axis=0)
    assert len(colors) <= 255
    assert np.abs(frames[1:, :19] - frames[:1, :19]).max() == 0, "dithering runs downwards"
    few = torch.tensor([[1.0, 0, 0], [0, 0.2, 0.6]])[:, :, None, None].expand(2, 3, 16, 16)
    save_video(few, tmp_path / "few.gif")
    np.testing.assert_allclose(load_video(tmp_path / "few.gif"), few, atol=1e-6)


def test_the_provenance_is_in_the_file(tmp_path: Path) -> None:
    provenance = {"prompt": 'Tässä "kuppi" <b>&amp;', "seed": 7, "long": "x" * 1000}
    save_video(smooth_clip(3), tmp_path / "clip.gif", provenance=provenance)
    with Image.open(tmp_path / "clip.gif") as picture:
        assert json.loads(picture.info["comment"]) == provenance
    save_video(smooth_clip(3), tmp_path / "clip.webp", provenance=provenance)
    with Image.open(tmp_path / "clip.webp") as picture:
        packet = ElementTree.fromstring(picture.info["xmp"])
    (text,) = packet.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    assert json.loads(text.text) == provenance


@KINDS
def test_refuses_in_words_and_leaves_what_was_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{kind}"
    save_video(smooth_clip(2), path)
    before = path.read_bytes()
    for fps in (60 if kind == "gif" else 1500, 1e-5):
        with pytest.raises(ValueError, match=f"fps must be from .* in a .{kind}, got"):
            save_video(smooth_clip(2), path, fps=fps)
    with pytest.raises(ValueError, match="NaN"):
        save_video(torch.full((2, 3, 8, 8), torch.nan), path)
    with pytest.raises(ValueError, match="JSON"):
        save_video(smooth_clip(2), path, provenance={"seed": {1}})
    assert path.read_bytes() == before and len([*tmp_path.iterdir()]) == 1
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=f"clip.{kind} is not a readable"):
        load_video(path)


def test_durations_do_not_drift() -> None:
    for fps in (0.7, 12, 23.976, 29.97, 47):
        for step in (1, 10):
            durations = frame_durations(101, fps, step=step)
            assert all(duration % step == 0 for duration in durations)
            errors = np.cumsum(durations) - 1000 * np.arange(1, 102) / fps
            assert np.abs(errors).max() <= step / 2 + 1e-9
