"""Any file of Gaussians as a field."""

import random
import warnings

import pytest
import torch
from assets.splat_scenes import NAMES, decibels, moving_scene, still_scene
from plyfile import PlyData

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


@pytest.mark.parametrize("kind", ["binary.ply", "text.ply", "a.splat"])
def test_damage_of_any_sort_ends_in_words_that_name_the_file(tmp_path, kind):
    source, damaged = tmp_path / kind, tmp_path / ("damaged" + kind[kind.index(".") :])
    if kind == "a.splat":
        save_splat(still_scene(0), source)
    else:
        save_ply(still_scene(0), source, provenance={"seed": 3})
    if kind == "text.ply":
        ply = PlyData.read(source, mmap=False)
        ply.text = True
        ply.write(str(source))
    whole, draw, refused = source.read_bytes(), random.Random(3), 0
    for _ in range(150):
        content = bytearray(whole)
        place = draw.randrange(draw.choice((600, len(content))))
        match draw.randrange(3):
            case 0:
                content[place] = draw.randrange(256)
            case 1:
                del content[place : place + draw.randrange(1, 40)]
            case _:
                content[place:place] = draw.choices(b"0123456789 \n-einf\xff", k=draw.randrange(1, 9))
        damaged.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                load_scene(damaged).validate()
            except ValueError as error:
                assert str(error).startswith(str(damaged))
                refused += 1
    assert refused > 75
