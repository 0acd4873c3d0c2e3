"""Any file of Gaussians as a field."""

import pytest
import torch
from assets.splat_scenes import NAMES, decibels, moving_scene, still_scene

from diff4splat.assets import load_scene, save_field, save_glb, save_ply, save_ply_sequence, save_splat


def test_a_file_of_one_moment_holds_still(tmp_path):
    gaussians = still_scene(1)
    save_ply(gaussians, tmp_path / "a.PLY", provenance={"seed": 3})
    save_splat(gaussians, tmp_path / "a.splat")
    for name, metadata in (("a.PLY", {"seed": 3}), ("a.splat", {})):
        field = load_scene(tmp_path / name)
        assert field.times.tolist() == [0.0] and field.metadata == metadata
        field.validate()
        for attribute in ("means", "scales"):
            for time in (0.0, 0.7):
                torch.testing.assert_close(getattr(field.at(time), attribute), getattr(gaussians, attribute))
    assert decibels(load_scene(tmp_path / "a.PLY").at(0.3), gaussians) > 90


def test_our_own_file_and_its_folder(tmp_path):
    field = moving_scene()
    save_field(field, tmp_path / "scene.safetensors")
    save_ply(still_scene(), tmp_path / "scene.ply")  # as `diff4splat generate` leaves them, side by side
    for path in (tmp_path, tmp_path / "scene.safetensors", str(tmp_path)):
        loaded = load_scene(path)
        assert torch.equal(loaded.delta_means, field.delta_means) and loaded.metadata == field.metadata
        assert all(
            torch.equal(getattr(loaded.canonical, name), getattr(field.canonical, name)) for name in NAMES
        )


def test_a_folder_of_moments(tmp_path):
    save_ply_sequence(moving_scene(), tmp_path / "frames")
    torch.testing.assert_close(load_scene(tmp_path / "frames").delta_means, moving_scene().delta_means)


def test_what_is_none_is_named(tmp_path):
    save_glb(still_scene(1), tmp_path / "a.glb")
    with pytest.raises(ValueError, match=r"a.glb must be a .safetensors, .ply or .splat file or a folder"):
        load_scene(tmp_path / "a.glb")
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*missing.ply"):
        load_scene(tmp_path / "missing.ply")
    with pytest.raises(ValueError, match="holds neither a scene.safetensors nor .ply files"):
        load_scene(tmp_path)
    (tmp_path / "a.ply").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="a.ply is not a PLY file"):
        load_scene(tmp_path / "a.ply")
