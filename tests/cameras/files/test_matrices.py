"""What is wrong with matrices, and what to do about it."""

import numpy as np
import pytest
from reference import cameras_files as reference

from diff4splat.cameras import load_cameras

POSE = reference.rigid(reference.rotation("y", 40) @ reference.rotation("x", 20), [1.0, 2.0, 3.0])
SHEARED = POSE @ np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
LENS = np.array([[50.0, 0, 20, 0], [0, 50, 15, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def load(tmp_path, matrix):
    np.save(tmp_path / "a.npy", np.stack([np.eye(4), matrix]))
    return load_cameras(tmp_path / "a.npy", height=30, width=40)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (POSE.T, r"last row \[0, 0, 0, 1\], got it as last column: .* transpose each of them"),
        (POSE * [[1], [1], [1], [0]], r"last row \[0, 0, 0, 1\], got \[0.0, 0.0, 0.0, 0.0\]"),
        (POSE @ np.diag([1.0, -1, 1, 1]), r"determinant \+1, got a reflection .* camera 1: one axis is flip"),
        (POSE * [0.01, 0.01, 0.01, 1], "rigid .* in camera 1: the rotation is scaled by 0.01; divide"),
        (POSE + 0.004 * np.eye(4, k=1) * [1, 1, 1, 0], "too few digits"),
        (SHEARED, "in another order .* or the matrix may hold the lens, or shear"),
        (LENS @ POSE, "the matrix may hold the lens"),
        (POSE * [1, 1, 1, np.nan], "finite"),
    ],
)
def test_likely_cures(tmp_path, matrix, message):
    with pytest.raises(ValueError, match=f"a.npy: matrices must .*{message}"):
        load(tmp_path, matrix)


def test_rigid_matrices_pass(tmp_path):
    np.testing.assert_allclose(load(tmp_path, POSE).camera_to_world[1], POSE, atol=1e-6)


def test_three_by_four_read_as_four_by_three_is_refused(tmp_path):
    flat = np.stack([POSE[:3].T.ravel()] * 2)
    np.save(tmp_path / "a.npy", flat)
    with pytest.raises(ValueError, match="another order"):
        load_cameras(tmp_path / "a.npy", height=30, width=40)


@pytest.mark.parametrize("name", ["K", "intrinsics"])
def test_lenses_divided_by_the_image_size_are_refused(tmp_path, name):
    normalised = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    np.savez(tmp_path / "a.npz", c2w=POSE[None], **{name: normalised})
    with pytest.raises(ValueError, match="divided by the image size, multiply the first row by the width"):
        load_cameras(tmp_path / "a.npz", height=30, width=40)
    np.savez(tmp_path / "a.npz", c2w=POSE[None], **{name: normalised * [[40], [30], [1]]})
    cameras = load_cameras(tmp_path / "a.npz", height=30, width=40)
    assert cameras.intrinsics[0, :2, 2].tolist() == [20, 15]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "unity"}, "axes must be one of opencv, opengl, ned, got 'unity'"),
        ({"direction": "c2w"}, "direction must be one of camera_to_world, world_to_camera, got 'c2w'"),
        ({"distortion": "keep"}, "distortion must be one of refuse, drop, got 'keep'"),
        ({"field_of_view_deg": 180.0}, "field_of_view_deg must lie between 0 and 180, got 180"),
    ],
)
def test_bad_options(without_shape_checker, tmp_path, options, message):
    np.save(tmp_path / "a.npy", POSE[None])
    with pytest.raises(ValueError, match=message):
        load_cameras(tmp_path / "a.npy", height=30, width=40, **options)
