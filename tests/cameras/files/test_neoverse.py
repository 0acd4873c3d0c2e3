"""Trajectories of NeoVerse, and npz archives of its neighbours."""

import json
import math

import numpy as np
import pytest
import torch
from reference import cameras_files as reference

from diff4splat.cameras import load_cameras, save_cameras, trajectory

SIZE = {"height": 30, "width": 50}


def load(tmp_path, content, **options):
    (tmp_path / "path.json").write_text(json.dumps(content))
    return load_cameras(tmp_path / "path.json", **{**SIZE, **options})


def moves(*keys, num_frames=5, **changes):
    return {"name": "a", "num_frames": num_frames, "keyframes": [dict([key]) for key in keys], **changes}


STILL = ("0", [{"static": {}}])


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ({"move_left": {"distance": 2}}, reference.rigid(np.eye(3), [-2, 0, 0])),
        ({"move_right": {}}, reference.rigid(np.eye(3), [0.1, 0, 0])),
        ({"push_in": {"distance": 2}}, reference.rigid(np.eye(3), [0, 0, 2])),
        ({"pull_out": {"distance": 2}}, reference.rigid(np.eye(3), [0, 0, -2])),
        ({"boom_up": {"distance": 2}}, reference.rigid(np.eye(3), [0, -2, 0])),
        ({"boom_down": {"distance": 2}}, reference.rigid(np.eye(3), [0, 2, 0])),
        # looking right is a turn of forward (z) towards right (x): positive about y, which points down
        ({"pan_right": {"angle": 20}}, reference.rigid(reference.rotation("y", 20), [0, 0, 0])),
        ({"pan_left": {}}, reference.rigid(reference.rotation("y", -30), [0, 0, 0])),
        ({"tilt_up": {"angle": 20}}, reference.rigid(reference.rotation("x", 20), [0, 0, 0])),
        ({"tilt_down": {"angle": 20}}, reference.rigid(reference.rotation("x", -20), [0, 0, 0])),
        ({"orbit_right": {"angle": 20, "orbit_radius": 3}}, reference.neoverse_orbit(20, 3)),
        ({"orbit_left": {"angle": 20}}, reference.neoverse_orbit(-20, 0.5)),
    ],
)
def test_every_move(tmp_path, move, expected):
    cameras = load(tmp_path, moves(STILL, ("4", [move])))
    np.testing.assert_allclose(cameras.camera_to_world[-1], expected, atol=1e-6)
    assert torch.equal(cameras.camera_to_world[0], torch.eye(4))


def test_moves_add_up_and_need_not_begin_at_the_identity(tmp_path):
    start = ("0", [{"pan_left": {"angle": 25}}])
    content = moves(start, ("1", [{"push_in": {"distance": 2}}, {"pan_right": {"angle": 10}}]), STILL)
    content["keyframes"][2] = {"4": [{"static": {}}]}
    cameras = load(tmp_path, content)
    first = reference.rigid(reference.rotation("y", -25), [0, 0, 0])
    second = first @ reference.rigid(reference.rotation("y", 10), [0, 0, 2])
    for index, expected in enumerate((first, second, second, second, second)):
        np.testing.assert_allclose(cameras.camera_to_world[index], expected, atol=1e-6)


def test_sparse_matrices_and_zoom(tmp_path):
    matrices = [np.eye(4), reference.rigid(reference.rotation("y", 40), [2, 0, 0])]
    content = {
        "num_frames": 9,
        "zoom_ratio": 2.0,
        "trajectory": {"frame_indices": [0, 4], "frame_matrices": [m.tolist() for m in matrices]},
    }
    cameras = load(tmp_path, content, field_of_view_deg=90.0)
    assert cameras.num_frames == 9  # spread from the first to the last index
    half = reference.rigid(reference.rotation("y", 20), [1, 0, 0])
    np.testing.assert_allclose(cameras.camera_to_world[4], half, atol=1e-6)
    np.testing.assert_allclose(cameras.intrinsics[:, 0, 0], np.linspace(25, 50, 9), rtol=1e-6)
    np.testing.assert_allclose(cameras.intrinsics[:, 0, 2], 25)


def test_matrices_in_a_file_beside(tmp_path):
    matrices = np.stack([reference.rigid(np.eye(3), [x, 0, 0]) for x in (0, 1, 2)])
    np.savez(tmp_path / "path.npz", frame_indices=np.arange(3), frame_matrices=matrices)
    content = {"num_frames": 3, "trajectory": {"file": "examples/trajectories/path.npz"}}
    for cameras in (load(tmp_path, content), load_cameras(tmp_path / "path.npz", **SIZE)):
        np.testing.assert_allclose(cameras.camera_to_world, matrices)
    with pytest.raises(FileNotFoundError):
        load(tmp_path, {"trajectory": {"file": "other.npz"}})
    np.savez(tmp_path / "path.npz", frame_indices=np.arange(3))
    with pytest.raises(ValueError, match="got ..frame_indices"):
        load(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (moves(STILL, ("4", [{"fly": {}}])), "move must be one of move_left, .* got 'fly'"),
        (moves(STILL, ("4", [{"fly": 3}])), "fly must have an object of sizes"),
        (moves(STILL, ("4", {"static": {}})), "keyframe 4 must be a list of moves"),
        (moves(STILL, ("3", [])), "from 0 to num_frames - 1 = 4, got 0 to 3"),
        (moves(STILL, ("9", []), ("4", [])), "frame_indices must ascend"),
        (moves(), "keyframes must hold at least one key"),
        (moves(STILL, num_frames=0), "num_frames must be a whole number"),
        (moves(STILL, ("4", []), zoom_ratio=0), "zoom_ratio must be > 0"),
        ({"trajectory": {"frame_indices": [0, 1], "frame_matrices": [np.eye(4).tolist()]}}, "one per frame"),
        ({"trajectory": {}}, r"frame_indices must have shape \[frame\]"),
        ({"trajectory": {"frame_indices": ["a"], "frame_matrices": []}}, "frame_indices must hold numbers"),
        ({"trajectory": {"frame_indices": [math.nan], "frame_matrices": [np.eye(4).tolist()]}}, "ascend"),
        ({"trajectory": {"frame_indices": [1e9], "frame_matrices": [np.eye(4).tolist()]}}, "below 100000"),
        ({"trajectory": {"file": 3}}, "must be the name of an npz"),
    ],
)
def test_bad_trajectories(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, content)


def test_round_trip_as_neoverse(tmp_path):
    cameras = trajectory.spiral(7, **SIZE)
    save_cameras(cameras, tmp_path / "path.json", format="neoverse")
    loaded = load_cameras(tmp_path / "path.json", **SIZE)
    torch.testing.assert_close(loaded.camera_to_world, cameras.camera_to_world, atol=1e-6, rtol=0)


def test_lyra_trajectory(tmp_path):
    cameras = trajectory.orbit(7, **SIZE, degrees=50.0)
    world_to_camera = np.linalg.inv(cameras.camera_to_world.double().numpy())
    np.savez(
        tmp_path / "a.npz",
        w2c=world_to_camera,
        intrinsics=cameras.intrinsics.numpy(),
        image_height=30,
        image_width=50,
    )
    loaded = load_cameras(tmp_path / "a.npz")
    assert (loaded.height, loaded.width) == (30, 50)
    torch.testing.assert_close(loaded.camera_to_world, cameras.camera_to_world, atol=1e-6, rtol=0)
    save_cameras(cameras, tmp_path / "b.npz", format="lyra")
    with np.load(tmp_path / "b.npz") as written:
        assert sorted(written.files) == ["image_height", "image_width", "intrinsics", "w2c"]
        np.testing.assert_allclose(written["w2c"], world_to_camera, atol=1e-6)
    with pytest.raises(ValueError, match="direction must be left out, for npz files state it"):
        load_cameras(tmp_path / "a.npz", direction="world_to_camera")


def test_poses_of_vipe_and_their_lenses(tmp_path):
    cameras = trajectory.upward(3, **SIZE)
    for name in ("pose", "intrinsics"):
        (tmp_path / name).mkdir()
    file = tmp_path / "pose" / "clip.npz"
    np.savez(file, data=cameras.camera_to_world.numpy(), inds=np.arange(3))
    assert float(load_cameras(file, **SIZE, field_of_view_deg=90.0).intrinsics[0, 0, 0]) == pytest.approx(25)
    np.savez(tmp_path / "intrinsics" / "clip.npz", data=np.array([[40.0, 41, 24, 16]] * 3), inds=np.arange(3))
    loaded = load_cameras(file, **SIZE)
    assert loaded.intrinsics[2].tolist() == [[40, 0, 24], [0, 41, 16], [0, 0, 1]]
    assert torch.equal(loaded.camera_to_world, cameras.camera_to_world)
    with pytest.raises(ValueError, match="height and width must be given, for ViPE files"):
        load_cameras(file)
