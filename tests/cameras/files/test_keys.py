"""Keyframes and lists of places and targets."""

import json
import math

import numpy as np
import pytest
import torch
from reference import cameras_files as reference

from diff4splat.cameras import load_cameras, trajectory

SIZE = {"height": 30, "width": 50}
FRONT = {"position": [0, 0, 0], "look_at": [0, 0, 4]}


def load(tmp_path, content, **options):
    (tmp_path / "keys.json").write_text(json.dumps(content))
    return load_cameras(tmp_path / "keys.json", **{**SIZE, **options})


def keys_file(*keys, **changes):
    content = {"format": "diff4splat-keyframes", "version": 1, "num_frames": 7, "keyframes": list(keys)}
    return {**content, **changes}


def test_three_ways_to_say_a_key_by_hand(tmp_path):
    # All three stand at (4, 0, 4) and look along -x, a turn by -90 degrees about y.
    turned = reference.rigid(reference.rotation("y", -90), [4, 0, 4])
    ways = [
        {"position": [4, 0, 4], "look_at": [0, 0, 4]},
        {"position": [4, 0, 4], "quaternion_wxyz": reference.wxyz("y", -90)},
        {"camera_to_world": turned.tolist()},
        {"camera_to_world": turned[:3].tolist()},
    ]
    for way in ways:
        cameras = load(tmp_path, keys_file(FRONT, way))
        assert cameras.num_frames == 7
        assert torch.equal(cameras.camera_to_world[0], torch.eye(4))
        np.testing.assert_allclose(cameras.camera_to_world[-1], turned, atol=1e-6)


def test_keys_need_not_begin_at_the_identity(tmp_path):
    start = {"position": [1, 2, 3], "look_at": [1, 2, 9]}
    cameras = load(tmp_path, keys_file(start, {"position": [4, 2, 3], "look_at": [4, 2, 9]}))
    assert cameras.positions[0].tolist() == [1, 2, 3]
    assert torch.equal(cameras.relative_to().camera_to_world[0], torch.eye(4))


def test_linear_keys_at_uneven_times(tmp_path):
    # 0 to 1 in a quarter of the time, 1 to 4 in the rest: at frames 0, 1/6, ... of four seconds.
    keys = [
        {"time": time, "position": [x, 0, 0], "quaternion_wxyz": reference.wxyz("y", angle)}
        for time, x, angle in ((10, 0, 0), (11, 1, 60), (14, 4, 0))
    ]
    cameras = load(tmp_path, keys_file(*keys, interpolation="linear"))
    for index in range(7):
        seconds = 4 * index / 6
        angle = 60 * seconds if seconds < 1 else 60 * (4 - seconds) / 3
        expected = reference.rigid(reference.rotation("y", angle), [seconds, 0, 0])
        np.testing.assert_allclose(cameras.camera_to_world[index], expected, atol=1e-6)


def test_smooth_keys_at_even_times_are_those_of_the_trajectory(tmp_path):
    places = [[0, 0, 0], [1, 0, 0.5], [1, 1, 2]]
    eyes = torch.tensor(places, dtype=torch.float64)
    matrices = trajectory.look_at(eyes, torch.tensor([0.0, 0, 4], dtype=torch.float64))
    cameras = load(tmp_path, keys_file(*({"position": p, "look_at": [0, 0, 4]} for p in places)))
    expected = trajectory.keyframes(matrices, 7, **SIZE)
    torch.testing.assert_close(cameras.camera_to_world, expected.camera_to_world, atol=1e-6, rtol=0)


def test_lens_and_size(tmp_path):
    near, wide = {**FRONT, "field_of_view_deg": 90}, {**FRONT, "position": [1, 0, 0]}
    cameras = load(tmp_path, keys_file(wide, near, field_of_view_deg=60, height=15, width=25))
    focal = [25 / math.tan(math.radians(30)), 25.0]  # of 50 pixels: the size asked for wins
    np.testing.assert_allclose(cameras.intrinsics[[0, -1], 0, 0], focal, rtol=1e-6)
    assert float(cameras.intrinsics[3, 0, 0]) == pytest.approx(sum(focal) / 2, rel=1e-6)
    with pytest.raises(ValueError, match="field_of_view_deg must be left out"):
        load(tmp_path, keys_file(near), field_of_view_deg=60.0)
    with pytest.raises(ValueError, match="for the file or for every key"):
        load(tmp_path, keys_file(wide, near))
    plain = load(tmp_path, keys_file(wide), field_of_view_deg=90.0)
    assert float(plain.intrinsics[0, 0, 0]) == pytest.approx(25)


@pytest.mark.parametrize("word", ["look_at", "target"])
def test_list_of_places_and_targets(tmp_path, word):
    rows = [{"position": [0, 0, 0], word: [0, 0, 1]}, {"position": [4, 0, 4], word: [0, 0, 4]}]
    rows.append({**rows[0], "up": [0, 1, 0]})
    cameras = load(tmp_path, rows)
    turns = (np.eye(3), reference.rotation("y", -90), reference.rotation("z", 180))
    for matrix, turn, row in zip(cameras.camera_to_world, turns, rows, strict=True):
        np.testing.assert_allclose(matrix, reference.rigid(turn, row["position"]), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (keys_file(FRONT, version=2), "version must be 1, got 2"),
        (keys_file(FRONT, fps=30), "file must hold only .*, got 'fps'"),
        (keys_file(), "keyframes must be a list of at least one"),
        (keys_file(FRONT, num_frames=2.5), "num_frames must be a whole number"),
        (keys_file(FRONT, num_frames=None), "num_frames must be a whole number"),
        (keys_file(FRONT, interpolation="cubic"), "interpolation must be smooth or linear, got 'cubic'"),
        (keys_file({"position": [0, 0, 0]}), "key 0 must hold camera_to_world, or position with look_at"),
        (keys_file({**FRONT, "camera_to_world": np.eye(4).tolist()}), "key 0 must hold camera_to_world, or"),
        (keys_file({"look_at": [0, 0, 1]}), "key 0 must hold camera_to_world, or"),
        (keys_file({**FRONT, "rotation": 3}), "key 0 must hold only .*, got 'rotation'"),
        (keys_file({"position": [0, 0], "look_at": [0, 0, 1]}), "key 0 position must have shape"),
        (keys_file({"position": [0, 0, 1], "look_at": [0, 0, 1]}), "key 0: target must differ from eye"),
        (keys_file({"position": [0, 0, 0], "look_at": [0, 1, 0]}), "key 0: up must not be parallel"),
        (keys_file({"position": [0, 0, 0], "quaternion_wxyz": [1, 1, 0, 0]}), "quaternions must have length"),
        (keys_file({"camera_to_world": np.diag([1.0, -1, 1, 1]).tolist()}), "key 0 .*determinant"),
        (keys_file({**FRONT, "time": 1}, FRONT), "time must be said by every key or by none"),
        (keys_file({**FRONT, "time": 1}, {**FRONT, "time": 1}), "and ascend"),
        ([FRONT, 3], "list must be a list of at least one JSON object"),
    ],
)
def test_bad_keys(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, content)
