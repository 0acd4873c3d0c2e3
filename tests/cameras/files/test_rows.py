"""Text files with one camera a line: RealEstate10K, TUM, TartanAir, flattened matrices."""

import math

import numpy as np
import pytest
import torch
from reference import cameras_files as reference

from diff4splat.cameras import load_cameras, save_cameras, trajectory

SIZE = {"height": 30, "width": 50}
HALF = math.sqrt(0.5)
# A turn by +90 degrees about y takes forward (z) to right (x).
TURNED = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]


def load(tmp_path, text, name="path.txt", **options):
    (tmp_path / name).write_text(text)
    return load_cameras(tmp_path / name, **{**SIZE, **options})


@pytest.mark.parametrize("first", ["https://example.org\n", "\n", "", "timestamp fx fy\n"])
def test_first_line_of_realestate10k_and_cameractrl(tmp_path, first):
    row = "0 0.532139961 0.946026558 0.5 0.5 0 0 1.0 0.0 0.0 0.0 0.0 1.0 0.0 -0.25 0.0 0.0 1.0 0.0\n"
    cameras = load(tmp_path, first + row + row, height=720, width=1280)
    assert cameras.num_frames == 2
    np.testing.assert_allclose(cameras.positions[1], [0, 0.25, 0])
    focal = cameras.intrinsics[0].diagonal()[:2]
    assert focal[0] == pytest.approx(float(focal[1]), rel=1e-6)  # square pixels: the fractions are of 16:9


def test_realestate10k_in_pixels_is_refused(tmp_path):
    row = "0 500 500 640 360 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n"
    with pytest.raises(ValueError, match="line 2 must hold intrinsics divided by the image size"):
        load(tmp_path, "url\n" + row)
    with pytest.raises(ValueError, match="direction must be left out, for RealEstate10K files state it"):
        load(tmp_path, "url\n" + row, direction="camera_to_world")


def test_tum_is_camera_to_world_with_the_real_part_last(tmp_path, caplog):
    with caplog.at_level("INFO", logger="diff4splat"):
        cameras = load(tmp_path, f"# time x y z qx qy qz qw\n0.5 1 2 3 0 {HALF} 0 {HALF}\n")
    assert cameras.positions[0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(cameras.camera_to_world[0, :3, :3], TURNED, atol=1e-6)
    assert float(cameras.intrinsics[0, 0, 0]) == pytest.approx(25 / math.tan(math.radians(30)))
    for words in ("OpenCV axes", "camera-to-world matrices are assumed", "field of view of 60 degrees"):
        assert words in caplog.text


def test_tartanair_axes(tmp_path, caplog):
    # Unturned in NED axes, the camera looks along x (north), its right is y (east) and its down is z.
    row = "1 2 3 0 0 0 1\n"
    with caplog.at_level("INFO", logger="diff4splat"):
        cameras = load(tmp_path, row, axes="ned", direction="camera_to_world", field_of_view_deg=90.0)
    assert caplog.text == ""
    assert cameras.positions[0].tolist() == [1, 2, 3]
    right, down, forward = cameras.camera_to_world[0, :3, :3].T.tolist()
    assert (right, down, forward) == ([0, 1, 0], [0, 0, 1], [1, 0, 0])
    assert float(cameras.intrinsics[0, 0, 0]) == pytest.approx(25)
    with caplog.at_level("INFO", logger="diff4splat"):
        plain = load(tmp_path, row)
    assert torch.equal(plain.camera_to_world[0, :3, :3], torch.eye(3))
    assert "axes='ned'" in caplog.text


def test_a_quaternion_that_looks_like_wxyz_is_noted(tmp_path, caplog):
    with caplog.at_level("INFO", logger="diff4splat"):
        cameras = load(tmp_path, "0 0 0 0 1 0 0 0\n1 0 0 0 1 0 0 0\n")
    assert "reorder its columns" in caplog.text
    np.testing.assert_allclose(cameras.camera_to_world[0].diagonal(), [1, -1, -1, 1], atol=1e-6)


@pytest.mark.parametrize("separator", [" ", ",", ", "])
@pytest.mark.parametrize("rows", [3, 4])
def test_flattened_matrices(tmp_path, rows, separator):
    matrix = reference.rigid(reference.rotation("y", 90), [1, 2, 3])
    line = separator.join(str(number) for number in matrix[:rows].ravel())
    cameras = load(tmp_path, f"{line}\n{line}\n", name="poses.csv")
    np.testing.assert_allclose(cameras.camera_to_world[1, :3, :3], TURNED, atol=1e-6)
    assert cameras.positions[1].tolist() == [1, 2, 3]


def test_matrices_row_by_row(tmp_path):
    matrices = [reference.rigid(reference.rotation("x", angle), [angle, 0, 1]) for angle in (0, 10, 20)]
    text = "\n\n".join("\n".join(" ".join(map(str, row)) for row in matrix) for matrix in matrices)
    cameras = load(tmp_path, text)
    np.testing.assert_allclose(cameras.camera_to_world, matrices, atol=1e-6)


def test_direction_and_axes_of_matrices(tmp_path):
    # An OpenGL camera at (1, 2, 3), unturned, looks along -z; in OpenCV axes y and z are flipped.
    camera_to_world = reference.rigid(np.eye(3), [1, 2, 3])
    np.save(tmp_path / "a.npy", np.linalg.inv(camera_to_world)[None])
    cameras = load_cameras(tmp_path / "a.npy", **SIZE, axes="opengl", direction="world_to_camera")
    expected = torch.tensor([[1.0, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]])
    assert torch.equal(cameras.camera_to_world[0], expected)
    kept = load_cameras(tmp_path / "a.npy", **SIZE)
    assert kept.positions[0].tolist() == [-1, -2, -3]


@pytest.mark.parametrize("name", ["path.tum", "path.npy"])
def test_round_trip_without_a_lens(tmp_path, name, caplog):
    cameras = trajectory.orbit(17, **SIZE, degrees=200.0)
    with caplog.at_level("INFO", logger="diff4splat"):
        save_cameras(cameras, tmp_path / name)
    assert "holds no lens: a field of view of 60 degrees, images of 50x30 pixels" in caplog.text
    loaded = load_cameras(tmp_path / name, **SIZE, field_of_view_deg=60.0)
    torch.testing.assert_close(loaded.camera_to_world, cameras.camera_to_world, atol=1e-6, rtol=0)
    torch.testing.assert_close(loaded.intrinsics, cameras.intrinsics)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", r"line 1 must hold 19 \(RealEstate10K, CameraCtrl\), 8 \(TUM\), .* got 3"),
        ("0 0 0 0 0 0 0 1\n0 0 0 0 0 0 1\n", "line 2 must hold 8 numbers, as line 1 does, got 7"),
        ("0 0 0 0 0 0 0 2\n", "quaternions must have length 1, got 2 in camera 0: .* another order"),
        ("0 0 0 0 0 0 0 0\n", "quaternions must have length 1"),
        ("# only words\n", "at least one camera"),
    ],
)
def test_bad_rows(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, text)


def test_size_must_be_given(tmp_path):
    (tmp_path / "a.tum").write_text("0 0 0 0 0 0 0 1\n")
    with pytest.raises(ValueError, match="height and width must be given, for TUM and TartanAir files"):
        load_cameras(tmp_path / "a.tum")
