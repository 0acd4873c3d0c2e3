import json
import math

import numpy as np
import pytest
import torch

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics, load_cameras, save_cameras, trajectory
from diff4splat.geometry import quaternion_to_matrix

HEIGHT, WIDTH = 24, 40


def example(skew=0.0):
    """A path with turning and with a lens that changes from frame to frame."""
    cameras = trajectory.spiral(5, height=HEIGHT, width=WIDTH, amplitude=2.0)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, 0, 0] += torch.arange(5)
    intrinsics[:, 1, 2] -= 1.25
    intrinsics[:, 0, 1] = skew
    return Cameras(cameras.camera_to_world, intrinsics, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "name", ["path.json", "transforms.json", "transforms_train.json", "path.txt", "path.npz"]
)
def test_round_trip(tmp_path, name):
    cameras = example()
    save_cameras(cameras, tmp_path / name)
    loaded = load_cameras(str(tmp_path / name), height=HEIGHT, width=WIDTH)
    assert (loaded.height, loaded.width) == (HEIGHT, WIDTH)
    assert loaded.dtype == torch.float32
    assert torch.allclose(loaded.camera_to_world, cameras.camera_to_world, atol=1e-6)
    assert torch.allclose(loaded.intrinsics, cameras.intrinsics, rtol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.json", "transforms.json", "a.txt", "a.npz", "model", "a.tum", "a.npy"])
def test_any_rotation_survives(tmp_path, name):
    generator = torch.Generator().manual_seed(3)
    quaternions = torch.randn(211, 4, generator=generator, dtype=torch.float64)
    quaternions[:4] = torch.eye(4)  # also the half turns, whose real part is zero
    matrices = torch.eye(4, dtype=torch.float64).repeat(211, 1, 1)
    matrices[:, :3, :3] = quaternion_to_matrix(torch.nn.functional.normalize(quaternions, dim=-1))
    matrices[:, :3, 3] = 100 * torch.randn(211, 3, generator=generator, dtype=torch.float64)
    intrinsics = field_of_view_to_intrinsics(60.0, height=HEIGHT, width=WIDTH).repeat(211, 1, 1).double()
    save_cameras(Cameras(matrices, intrinsics, HEIGHT, WIDTH), tmp_path / name)
    loaded = load_cameras(tmp_path / name, height=HEIGHT, width=WIDTH)
    torch.testing.assert_close(loaded.camera_to_world.double(), matrices, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(loaded.intrinsics.double(), intrinsics, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["path.json", "path.npz"])
def test_lossless_formats_keep_every_bit_and_the_skew(tmp_path, name):
    cameras = example(skew=0.3)
    save_cameras(cameras, tmp_path / name)
    loaded = load_cameras(tmp_path / name)
    assert torch.equal(loaded.camera_to_world, cameras.camera_to_world)
    assert torch.equal(loaded.intrinsics, cameras.intrinsics)


def test_format_overrides_the_name(tmp_path):
    save_cameras(example(), tmp_path / "nerf.json", format="transforms")
    assert "frames" in json.loads((tmp_path / "nerf.json").read_text())
    assert load_cameras(tmp_path / "nerf.json").num_frames == 5


def test_our_json_is_as_documented(tmp_path):
    save_cameras(example(), tmp_path / "path.json")
    content = json.loads((tmp_path / "path.json").read_text())
    assert (
        content["format"] == "diff4splat-cameras" and content["version"] == 1 and content["axes"] == "opencv"
    )
    assert (content["height"], content["width"]) == (HEIGHT, WIDTH)
    assert np.array(content["camera_to_world"]).shape == (5, 4, 4)
    assert np.array(content["intrinsics"]).shape == (5, 3, 3)


def test_transforms_json_is_in_opengl_axes(tmp_path):
    # An OpenGL camera with unrotated axes looks along -z with y up; in OpenCV axes y and z are flipped.
    matrix = [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    content = {"w": 40, "h": 20, "camera_angle_x": math.pi / 2, "frames": [{"transform_matrix": matrix}]}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    cameras = load_cameras(tmp_path / "transforms.json")
    expected = torch.tensor([[1.0, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]])
    assert torch.equal(cameras.camera_to_world[0], expected)
    assert torch.allclose(cameras.intrinsics[0], torch.tensor([[20.0, 0, 20], [0, 20, 10], [0, 0, 1]]))


def test_transforms_json_values_of_a_frame_win(tmp_path):
    frame = {"transform_matrix": np.eye(4).tolist(), "fl_x": 11.0}
    content = {"fl_x": 7.0, "fl_y": 5.0, "cx": 3.0, "cy": 2.0, "frames": [frame]}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    cameras = load_cameras(tmp_path / "transforms.json", height=4, width=6)
    assert cameras.intrinsics[0].tolist() == [[11.0, 0.0, 3.0], [0.0, 5.0, 2.0], [0.0, 0.0, 1.0]]


def test_realestate10k_is_normalised_and_world_to_camera(tmp_path):
    # A camera turned by 90 degrees about y that stands at c = (2, 0, 0) has world-to-camera R^T, -R^T c.
    row = "33333 0.5 0.8 0.5 0.25 0 0 0 0 -1 0 0 1 0 0 1 0 0 -2"
    (tmp_path / "path.txt").write_text(f"https://example.org/watch\n{row}\n{row}\n")
    cameras = load_cameras(tmp_path / "path.txt", height=20, width=40)
    assert cameras.num_frames == 2
    assert cameras.positions[1].tolist() == [2.0, 0.0, 0.0]
    expected = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    assert torch.equal(cameras.camera_to_world[0, :3, :3], expected)
    assert torch.allclose(cameras.intrinsics[0], torch.tensor([[20.0, 0, 20], [0, 16, 5], [0, 0, 1]]))


@pytest.mark.parametrize("rows", [3, 4])
def test_npz_of_world_to_camera_and_one_lens(tmp_path, rows):
    camera_to_world = example().camera_to_world.double().numpy()
    lens = np.array([[9.0, 0, 5], [0, 8, 3], [0, 0, 1]])
    np.savez(tmp_path / "path.npz", w2c=np.linalg.inv(camera_to_world)[:, :rows], K=lens)
    cameras = load_cameras(tmp_path / "path.npz", height=6, width=10)
    assert np.allclose(cameras.camera_to_world, camera_to_world, atol=1e-6)
    assert np.allclose(cameras.intrinsics, np.tile(lens, (5, 1, 1)))


@pytest.mark.parametrize("name", ["path.json", "transforms.json", "path.npz"])
def test_another_size_resizes(tmp_path, name):
    cameras = example()
    save_cameras(cameras, tmp_path / name)
    loaded = load_cameras(tmp_path / name, height=2 * HEIGHT)
    expected = cameras.resize(2 * HEIGHT, WIDTH)
    assert (loaded.height, loaded.width) == (2 * HEIGHT, WIDTH)
    assert torch.allclose(loaded.intrinsics, expected.intrinsics, rtol=1e-6)


def ours(**changes):
    content = {
        "format": "diff4splat-cameras",
        "version": 1,
        "axes": "opencv",
        "height": 4,
        "width": 6,
        "camera_to_world": [np.eye(4).tolist()],
        "intrinsics": [np.diag([5.0, 5.0, 1.0]).tolist()],
    }
    return json.dumps({**content, **changes})


def nerf(**changes):
    content = {"w": 6, "h": 4, "fl_x": 5.0, "frames": [{"transform_matrix": np.eye(4).tolist()}]}
    return json.dumps({**content, **changes})


ROW = "0 0.5 0.8 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0"


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.json", "{", "Expecting"),
        ("a.json", "1", "JSON object"),
        ("a.json", "[1]", "matrices of 4 x 4|shape"),
        ("a.json", "{}", "diff4splat-cameras, diff4splat-keyframes, a transforms.json"),
        ("a.json", ours(version=2), "version must be 1"),
        ("a.json", ours(axes="opengl"), "axes opencv"),
        ("a.json", ours(height=None), "height must be given"),
        ("a.json", ours(width=2.5), "width must be a whole number"),
        ("a.json", ours(width=math.inf), "width must be a whole number"),
        ("a.json", ours(height=10**30), "height must be a whole number of pixels from 1 to 65536"),
        ("a.json", "[" * 100_000, "nested too deeply|JSON"),
        ("a.json", ours(camera_to_world=[[[1, 0, 0, 1e300], *np.eye(4)[1:].tolist()]]), "finite"),
        ("a.json", ours(camera_to_world=[]), "at least one camera"),
        ("a.json", ours(camera_to_world="no"), "camera_to_world must"),
        ("a.json", ours(camera_to_world=[[[1, 0], [0, 1]]]), r"shape \[frame, 4, 4\], got \[1, 2, 2\]"),
        ("a.json", ours(camera_to_world=[[[1]], [[1, 2]]]), "camera_to_world must hold matrices"),
        ("a.json", ours(camera_to_world=[(2 * np.eye(4)).tolist()]), "last row"),
        ("a.json", ours(camera_to_world=[np.diag([1.0, 2, 1, 1]).tolist()]), "rigid"),
        ("a.json", ours(camera_to_world=[np.diag([1.0, math.nan, 1, 1]).tolist()]), "finite"),
        ("a.json", ours(camera_to_world=[np.diag([1.0, 1, -1, 1]).tolist()]), "determinant"),
        ("a.json", ours(intrinsics=[np.eye(3).tolist()] * 2), "intrinsics must have shape"),
        ("a.json", ours(intrinsics=[np.diag([-5.0, 5, 1]).tolist()]), "focal"),
        ("transforms.json", nerf(frames={}), "frames must be a list"),
        ("transforms.json", nerf(frames=[]), "at least one camera"),
        ("transforms.json", nerf(frames=[{}]), "transform_matrix must"),
        ("transforms.json", nerf(fl_x=None), "camera_angle_x"),
        ("transforms.json", nerf(fl_x="5"), "fl_x must be a number"),
        ("transforms.json", nerf(k1=0.1), "k1 must be zero"),
        ("transforms.json", nerf(w=None), "w must be given"),
        (
            "a.txt",
            f"url\n{ROW} 1\n",
            r"line 2 must hold 19 \(RealEstate10K, CameraCtrl\), .* numbers, got 20",
        ),
        ("a.txt", f"{ROW}\n\n{ROW} 1\n", "line 3 must hold 19 numbers, as line 1 does, got 20"),
        ("a.txt", f"url\n{ROW[:-1]}x\n", "line 2 must hold numbers"),
        ("a.txt", ROW.replace("0.5 0 0 1", "0.5 0.1 0 1"), "distortion in line 1 must be zero"),
        ("a.txt", ROW.replace("0.5 0 0 1", "0.5 nan 0 1"), "line 1 must hold finite numbers"),
        ("a.txt", "url\n", "at least one camera"),
        ("a.npz", "text", "must be an npz archive"),
        ("a.yaml", "text", "suffix must be one of"),
    ],
)
def test_bad_files_are_refused_with_their_path(without_shape_checker, tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    size = {"height": 4, "width": 6} if name.endswith("txt") else {}
    with pytest.raises(ValueError, match=message) as error:
        load_cameras(path, **size)
    assert str(path) in str(error.value)


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    save_cameras(example(), tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.json").read_bytes())
    first, second = load_cameras(tmp_path / "a.json"), load_cameras(tmp_path / "b.json")
    assert torch.equal(first.camera_to_world, second.camera_to_world)


def test_size_must_be_given_where_the_file_has_none(tmp_path):
    (tmp_path / "a.txt").write_text(ROW)
    with pytest.raises(ValueError, match="height and width must be given"):
        load_cameras(tmp_path / "a.txt", height=4)
    np.savez(tmp_path / "a.npz", c2w=np.eye(4)[None], K=np.diag([5.0, 5, 1]))
    with pytest.raises(ValueError, match="height must be given"):
        load_cameras(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        load_cameras(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"c2w": np.eye(4)[None]}, "must hold K and either"),
        ({"c2w": np.eye(4)[None], "w2c": np.eye(4)[None], "K": np.eye(3)}, "must hold K and either"),
        ({"c2w": np.eye(5)[None], "K": np.eye(3)}, "c2w must have shape"),
        ({"c2w": np.eye(4), "K": np.eye(3)}, "c2w must have shape"),
        ({"c2w": np.eye(4)[None], "K": np.eye(4)}, "K must have shape"),
        ({"c2w": np.eye(4)[None] + 0j, "K": np.eye(3)}, "c2w must hold matrices"),
        ({"c2w": np.array([{}, None]), "K": np.eye(3)}, "allow_pickle"),
    ],
)
def test_bad_npz_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        load_cameras(tmp_path / "a.npz", height=4, width=6)


def test_damaged_npz_is_refused(tmp_path):
    save_cameras(example(), tmp_path / "a.npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:230] = bytes(30)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="a.npz"):
        load_cameras(tmp_path / "a.npz")


def test_damaged_npy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(4)[None])
    content = (tmp_path / "a.npy").read_bytes()
    for damaged in (content[:-9], content[:40], b"", content.replace(b"), }", b"    ")):
        (tmp_path / "a.npy").write_bytes(damaged)
        with pytest.raises(ValueError, match="a.npy"):
            load_cameras(tmp_path / "a.npy", height=4, width=6)


def test_saving_refuses_what_the_format_cannot_hold(tmp_path):
    cameras = example()
    batched = Cameras(cameras.camera_to_world[None], cameras.intrinsics[None], HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="no batch axes"):
        save_cameras(batched, tmp_path / "a.json")
    for name in ("transforms.json", "a.txt"):
        with pytest.raises(ValueError, match="skew"):
            save_cameras(example(skew=0.5), tmp_path / name)
    with pytest.raises(ValueError, match="path must end in"):
        save_cameras(cameras, tmp_path / "a.csv")
    with pytest.raises(ValueError, match="rigid"):
        save_cameras(
            Cameras(
                cameras.camera_to_world * torch.tensor([2.0, 2, 2, 1]), cameras.intrinsics, HEIGHT, WIDTH
            ),
            tmp_path / "a.json",
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "path.json"
    save_cameras(example(), path)
    before = path.read_bytes()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_cameras(example().select(0), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
