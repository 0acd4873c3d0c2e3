"""Pictures of camera paths: what is drawn where."""

import math
import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.cameras import Cameras, trajectory
from diff4splat.pictures import draw_path
from diff4splat.pictures.path_geometry import _drawn_frames, _pyramid

SIZE = {"height": 30, "width": 50}


def test_png(tmp_path):
    draw_path(trajectory.orbit(13, **SIZE, degrees=120.0), tmp_path / "path.png")
    with Image.open(tmp_path / "path.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 800 and pixels.shape[1] > 800
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["path.png"]


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_words_of_the_picture(tmp_path, monkeypatch, frames):
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # text as text
    draw_path(trajectory.static(frames, **SIZE), tmp_path / "path.svg", title="my path")
    text = (tmp_path / "path.svg").read_text()
    for words in ("my path", "from above", "from the side", "from behind", "in space", "start, frame 0"):
        assert words in text
    assert f"end, frame {frames - 1}" in text and "units" not in text  # at one place nothing has a scale
    draw_path(trajectory.forward(frames + 1, **SIZE, amplitude=30.0), tmp_path / "path.svg")
    text = (tmp_path / "path.svg").read_text()
    assert f"{frames + 1} cameras along 30 units" in text and text.count("10 units<") == 4


def test_focus_in_the_picture_or_beyond(tmp_path, monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    draw_path(trajectory.orbit(5, **SIZE), tmp_path / "near.svg")
    assert "looks at" in (tmp_path / "near.svg").read_text()
    draw_path(trajectory.spiral(5, **SIZE, focus_depth=7.0), tmp_path / "far.svg")
    text = (tmp_path / "far.svg").read_text()
    assert "looking at a point 7 units away (beyond the picture)" in text and "looks at<" not in text


def test_pyramid_by_hand():
    # A camera at (1, 2, 3) that looks along +x: image right is -z. Its lens sees 90 degrees each way.
    cameras = Cameras(torch.eye(4)[None], torch.eye(3)[None], 40, 40)
    lens = np.array([[20.0, 0, 20], [0, 20, 20], [0, 0, 1]])
    matrix = np.array([[0.0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 0, 1]])
    found = _pyramid(matrix, lens, cameras, depth=math.sqrt(3))
    corners = [[2, 1, 4], [2, 1, 2], [2, 3, 2], [2, 3, 4]]  # top left, top right, bottom right, bottom left
    np.testing.assert_allclose(found, [[1, 2, 3], *corners], atol=1e-12)


def test_first_and_last_frame_are_drawn():
    for count in (1, 2, 9, 10, 25, 500):
        frames = _drawn_frames(count)
        assert frames[0] == 0 and frames[-1] == count - 1 and len(frames) == min(count, 9)


def test_errors(tmp_path, monkeypatch):
    path = trajectory.spiral(3, **SIZE)
    with pytest.raises(ValueError, match=r"path must end in .png, .svg, .pdf, got 'a.jpg'"):
        draw_path(path, tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="without batch axes"):
        draw_path(path.batch(None), tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'diff4splat\[plot\]'"):
        draw_path(path, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
