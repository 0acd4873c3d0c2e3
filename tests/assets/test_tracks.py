"""Point tracks as numpy reads them, by the keys of TAPVid-3D."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diff4splat.assets import PointTracks, load_tracks, save_tracks
from diff4splat.cameras import load_cameras, trajectory

FRAMES, POINTS = 5, 7


def some(query_frame: int = 2) -> PointTracks:
    generator = torch.Generator().manual_seed(0)
    positions = torch.rand(FRAMES, POINTS, 3, generator=generator) + torch.tensor([-0.5, -0.5, 2.0])
    positions[3, 4] = torch.tensor([0.0, 0.0, -9.0])  # behind the camera
    visible = torch.rand(FRAMES, POINTS, generator=generator) < 0.5
    cameras = trajectory.spiral(FRAMES, height=31, width=37)
    return PointTracks(positions, visible, cameras, torch.linspace(0, 1, FRAMES), query_frame)


def test_the_keys_mean_what_they_mean_in_tapvid_3d(tmp_path: Path) -> None:
    tracks, path = some(), tmp_path / "tracks.npz"
    save_tracks(tracks, path, provenance={"seed": 7})
    with np.load(path) as content:
        arrays = dict(content)
    fx, fy, cx, cy = arrays["fx_fy_cx_cy"]
    x, y, z = np.moveaxis(arrays["tracks_XYZ"].astype(float), -1, 0)
    with np.errstate(invalid="ignore"):
        pixels = np.stack((fx * x / z + cx, fy * y / z + cy), axis=-1)
    pixels[z <= 0] = np.nan
    np.testing.assert_allclose(pixels, arrays["tracks_xy"], atol=1e-3)
    assert np.isnan(arrays["tracks_xy"][3, 4]).all()
    np.testing.assert_allclose(arrays["queries_xyt"][:, :2], pixels[2], atol=1e-3)
    assert (arrays["queries_xyt"][:, 2] == 2).all()
    world = tracks.positions.double().numpy()
    for frame, matrix in enumerate(arrays["extrinsics_w2c"]):
        np.testing.assert_allclose(matrix @ arrays["c2w"][frame], np.eye(4), atol=1e-6)
        local = world[frame] @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(local, arrays["tracks_XYZ"][frame], atol=1e-6)
    np.testing.assert_array_equal(arrays["visibility"], tracks.visible.numpy())
    np.testing.assert_array_equal(arrays["tracks_world"], tracks.positions.numpy())
    assert json.loads(str(arrays["provenance"])) == {"seed": 7}
    assert arrays["visibility"].dtype == bool and arrays["tracks_XYZ"].dtype == np.float32
    back = load_cameras(path)
    torch.testing.assert_close(back.camera_to_world, tracks.cameras.camera_to_world)


def test_comes_back(tmp_path: Path) -> None:
    tracks = some(query_frame=1)
    save_tracks(tracks, tmp_path / "tracks.npz")
    back = load_tracks(tmp_path / "tracks.npz")
    assert torch.equal(back.positions, tracks.positions) and torch.equal(back.visible, tracks.visible)
    assert (back.query_frame, back.cameras.height, back.cameras.width) == (1, 31, 37)
    torch.testing.assert_close(back.times, tracks.times)
    torch.testing.assert_close(back.pixels, tracks.pixels, equal_nan=True)


def test_refuses_in_words_and_leaves_what_was_there(tmp_path: Path) -> None:
    tracks, path = some(), tmp_path / "tracks.npz"
    save_tracks(tracks, path)
    before = path.read_bytes()
    broken = PointTracks(tracks.positions / 0, tracks.visible, tracks.cameras, tracks.times)
    none = PointTracks(tracks.positions[:, :0], tracks.visible[:, :0], tracks.cameras, tracks.times)
    for bad, words in ((broken, "positions must be finite"), (none, "tracks must have points")):
        with pytest.raises(ValueError, match=words):
            save_tracks(bad, path)
    with pytest.raises(ValueError, match="must end in .npz"):
        save_tracks(tracks, tmp_path / "tracks.json")
    with pytest.raises(ValueError, match=r"visible must have shape \[5, 7\], got \[5, 6\]"):
        PointTracks(tracks.positions, tracks.visible[:, 1:], tracks.cameras, tracks.times)
    with pytest.raises(ValueError, match="one per frame, 5"):
        PointTracks(tracks.positions, tracks.visible, tracks.cameras.select(slice(3)), tracks.times)
    with pytest.raises(ValueError, match="query_frame must be from 0 to 4, got 5"):
        some(query_frame=5)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_what_is_no_file_of_tracks(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    save_tracks(some(), tmp_path / "tracks.npz")
    with np.load(tmp_path / "tracks.npz") as content:
        arrays = dict(content)
    np.savez(tmp_path / "short.npz", **{**arrays, "tracks_world": arrays["tracks_world"][1:]})
    np.savez(tmp_path / "bad.npz", **{**arrays, "c2w": arrays["c2w"] * 0})
    huge = np.array([[[1e30, 0, 1e30]]])
    np.savez(tmp_path / "number.npz", **{**arrays, "queries_xyt": np.full((7, 3), np.inf)})
    np.savez(tmp_path / "sizes.npz", **{**arrays, "height": huge})
    for name in ("broken", "other", "short", "bad", "number", "sizes"):
        with pytest.raises(ValueError, match=f"{name}.npz holds no point tracks"):
            load_tracks(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_tracks(tmp_path / "none.npz")
