"""Cameras of Unreal Engine, as MultiCamVideo stores them."""

import json

import numpy as np
import pytest
from reference import cameras_files as reference

from diff4splat.cameras import load_cameras

STILL = "[1 0 0 0] [-0 1 0 0] [0 -0 1 0] [300 100 200 1] "
# Turned by 90 degrees to the right: forward is Unreal's right (y), right is its back (-x). Some files have
# rows of three numbers.
RIGHT = "[0 1 0] [-1 0 0] [0 0 1] [400 100 250]"


def load(tmp_path, content, **options):
    (tmp_path / "a.json").write_text(json.dumps(content))
    return load_cameras(tmp_path / "a.json", **{"height": 30, "width": 50, "camera": "cam02", **options})


def test_by_hand(tmp_path):
    # Frame 10 comes after frame 9. Unreal's (forward, right, up) in cm is our (z, x, -y) in metres.
    frames = {"frame10": {"cam02": RIGHT, "cam01": STILL}, "frame9": {"cam01": RIGHT, "cam02": STILL}}
    cameras = load(tmp_path, frames)
    first = reference.rigid(np.eye(3), [1, -2, 3])
    second = reference.rigid(reference.rotation("y", 90), [1, -2.5, 4])
    np.testing.assert_allclose(cameras.camera_to_world, [first, second], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"frame0": {"cam01": STILL}}, {"camera": None}, "camera must be one of cam01, got nothing"),
        ({"frame0": {"cam01": STILL}}, {}, "camera must be one of cam01, got 'cam02'"),
        ({"frame0": {"cam02": "[1 0 0 0]"}}, {}, "frame0 must hold four rows of numbers"),
        ({"frame0": {"cam02": 3}}, {}, "frame0 must hold four rows of numbers"),
        ({"frame0": {"cam02": RIGHT.replace("[0 0 1]", "[0 0 -1]")}}, {}, "determinant"),
        ({"frame0": {"cam02": STILL}}, {"axes": "opencv"}, "axes must be left out"),
        ({"frame0": {"cam02": STILL}}, {"width": None}, "height and width must be given"),
    ],
)
def test_errors(tmp_path, content, options, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, content, **options)
