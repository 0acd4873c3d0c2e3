"""COLMAP models, text and binary."""

import numpy as np
import pytest
import torch
from reference import cameras_files as reference

from diff4splat.cameras import load_cameras, save_cameras, trajectory

CAMERAS = "# comment\n7 PINHOLE 60 40 50 51 29 21\n3 SIMPLE_PINHOLE 60 40 44 30 20\n"
# Camera 7 stands at (0, 0, -5) unturned. Camera 3 is turned by +90 degrees about y (it looks along +x) and
# stands at (2, 0, 0): world-to-camera is a turn by -90 degrees and t = -R c = -(0, 0, 2).
HALF = 0.7071067811865476
IMAGES = (
    f"# comment\n2 {HALF} 0 {-HALF} 0 0 0 -2 3 frame_10.png\n11.5 3.5 -1\n"
    "9 1 0 0 0 0 0 5 7 frame_9 with a space.png\n\n"
)


def write(folder, cameras=CAMERAS, images=IMAGES):
    folder.mkdir(exist_ok=True)
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return folder


def check(cameras):
    assert (cameras.num_frames, cameras.height, cameras.width) == (2, 40, 60)
    np.testing.assert_allclose(cameras.positions, [[0, 0, -5], [2, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(cameras.camera_to_world[0, :3, :3], np.eye(3), atol=1e-6)
    turned = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    np.testing.assert_allclose(cameras.camera_to_world[1, :3, :3], turned, atol=1e-6)
    assert cameras.intrinsics[0].tolist() == [[50, 0, 29], [0, 51, 21], [0, 0, 1]]
    assert cameras.intrinsics[1].tolist() == [[44, 0, 30], [0, 44, 20], [0, 0, 1]]


def test_text_by_hand(tmp_path):
    folder = write(tmp_path / "model")
    for path in (folder, folder / "images.txt", folder / "cameras.txt"):
        check(load_cameras(path))


def test_binary_by_hand(tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    folder = tmp_path / "sparse" / "0"
    cameras = [(7, "PINHOLE", 60, 40, [50.0, 51, 29, 21]), (3, "SIMPLE_PINHOLE", 60, 40, [44.0, 30, 20])]
    images = [
        (2, [HALF, 0, -HALF, 0], [0, 0, -2.0], 3, "frame_10.png", [(1.5, 2.5, -1), (3.5, 4.5, 11)]),
        (9, [2.0 / 2, 0, 0, 0], [0, 0, 5.0], 7, "frame_9 with a space.png", []),
    ]
    (folder / "cameras.bin").write_bytes(reference.colmap_cameras_binary(cameras))
    (folder / "images.bin").write_bytes(reference.colmap_images_binary(images))
    for path in (tmp_path, tmp_path / "sparse", folder, folder / "images.bin"):
        check(load_cameras(path))
    whole = (folder / "images.bin").read_bytes()
    for length in (3, 20, len(whole) - 30, len(whole) - 1):
        (folder / "images.bin").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="images.bin is cut off"):
            load_cameras(folder)


@pytest.mark.parametrize("name", ["model", "model/images.txt"])
def test_round_trip(tmp_path, name):
    cameras = trajectory.spiral(11, height=29, width=37, amplitude=2.0)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[3:, 0, 0] += 1.25
    (tmp_path / "model").mkdir()
    save_cameras(type(cameras)(cameras.camera_to_world, intrinsics, 29, 37), tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["cameras.txt", "images.txt", "points3D.txt"]
    lenses = (tmp_path / "model" / "cameras.txt").read_text().splitlines()
    assert [line.split()[1] for line in lenses if line[0] != "#"] == ["PINHOLE", "PINHOLE"]
    loaded = load_cameras(tmp_path / "model")
    torch.testing.assert_close(loaded.camera_to_world, cameras.camera_to_world, atol=1e-6, rtol=0)
    torch.testing.assert_close(loaded.intrinsics, intrinsics)


def test_distortion_is_refused_or_dropped(tmp_path, caplog):
    cameras = "7 OPENCV 60 40 50 51 29 21 0.1 0 0 0\n3 SIMPLE_RADIAL 60 40 44 30 20 0\n"
    folder = write(tmp_path / "model", cameras=cameras)
    with pytest.raises(ValueError, match=r"k1 must be zero, got 0.1: .* distortion='drop'"):
        load_cameras(folder)
    with caplog.at_level("INFO", logger="diff4splat"):
        check(load_cameras(folder, distortion="drop"))
    assert "the distortion of the lens is dropped" in caplog.text


@pytest.mark.parametrize(
    ("cameras", "images", "message"),
    [
        (CAMERAS.replace("PINHOLE 60 40 50", "OPENCV_FISHEYE 60 40 50 1 2 3 4", 1), IMAGES, "OPENCV_FISHEYE"),
        (CAMERAS.replace("7 PINHOLE", "7 LENS"), IMAGES, "cameras.txt line 2 .*unknown model 'LENS'"),
        (CAMERAS.replace(" 21\n", "\n", 1), IMAGES, "PINHOLE has 4 parameters, not 3"),
        (CAMERAS.replace("3 SIMPLE", "4 SIMPLE"), IMAGES, "images must have a camera of cameras.txt"),
        (CAMERAS.replace("60 40 44", "60 41 44"), IMAGES, "images must share one size"),
        (CAMERAS, IMAGES.replace("9 1 0 0 0", "9 1 0 0"), "images.txt line 4"),
        (CAMERAS, IMAGES.replace("9 1 0 0 0", "9 1 0 0 1"), "quaternions must have length 1, got 1.414"),
        (CAMERAS, "# nothing\n", "at least one image"),
    ],
)
def test_bad_models(tmp_path, cameras, images, message):
    with pytest.raises(ValueError, match=message):
        load_cameras(write(tmp_path / "model", cameras, images))


def test_folder_without_a_model(tmp_path):
    (tmp_path / "images.txt").write_text(IMAGES)
    for path in (tmp_path, tmp_path / "images.txt"):
        with pytest.raises(FileNotFoundError, match="holds no COLMAP model"):
            load_cameras(path)
    with pytest.raises(ValueError, match="axes must be left out, for COLMAP files state it"):
        load_cameras(write(tmp_path / "model"), axes="opengl")


def test_a_model_with_points_is_not_overwritten(tmp_path):
    cameras = trajectory.spiral(3, height=29, width=37)
    save_cameras(cameras, tmp_path / "a.model", format="colmap")
    save_cameras(cameras.select(slice(2)), tmp_path / "a.model")  # our own is replaced
    assert load_cameras(tmp_path / "a.model").num_frames == 2
    (tmp_path / "a.model" / "points3D.txt").write_text("1 0 0 0 9 9 9 0.5 1 0\n")
    with pytest.raises(ValueError, match="folder must hold no other COLMAP model"):
        save_cameras(cameras, tmp_path / "a.model")
    (tmp_path / "a.model" / "points3D.txt").unlink()  # known poses, which were never triangulated
    before = (tmp_path / "a.model" / "images.txt").read_bytes()
    with pytest.raises(ValueError, match="folder must hold no other COLMAP model"):
        save_cameras(cameras, tmp_path / "a.model")
    assert (tmp_path / "a.model" / "images.txt").read_bytes() == before
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "images.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="folder must hold no other COLMAP model"):
        save_cameras(cameras, tmp_path / "binary")
