"""`.splat`: what 32 bytes per Gaussian keep, and what they cost."""

import numpy as np
import pytest
import torch
from assets.splat_scenes import COUNT, decibels, from_numpy, moving_scene, still_scene
from reference.assets_splats import read_splat

from diff4splat.assets import load_splat, save_splat
from diff4splat.gaussians import Gaussians, harmonics_to_rgb


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scene.splat"
    save_splat(still_scene(0), path)
    return path


def test_an_independent_reader_finds_every_value(tmp_path):
    gaussians, path = moving_scene(1).at(0.7), tmp_path / "scene.splat"
    save_splat(gaussians, path)
    assert path.stat().st_size == 32 * COUNT
    found = read_splat(path)
    assert np.array_equal(found["means"], gaussians.means.double())
    assert np.array_equal(found["scales"], gaussians.scales.double())
    assert np.abs(found["opacities"] - gaussians.opacities.double().numpy()).max() <= 0.5 / 255 + 1e-7
    rgb = harmonics_to_rgb(gaussians.harmonics[:, 0]).clamp(0, 1).double().numpy()
    shown = 0.5 + 0.28209479177387814 * found["harmonics"][:, 0]
    assert np.abs(shown - rgb).max() <= 0.5 / 255 + 1e-7
    # Half a step of 1/128 per component, before normalising; the largest here are below 1 - 1/256.
    assert np.abs(found["quaternions"] - gaussians.quaternions.double().numpy()).max() <= 1.5 / 128


def test_our_reader_finds_the_same_as_the_independent_one(path):
    loaded, found = load_splat(path), from_numpy(read_splat(path))
    assert loaded.sh_degree == 0 and loaded.dtype == torch.float32
    for name in ("means", "scales"):
        assert torch.equal(getattr(loaded, name), getattr(found, name))
    for name in ("opacities", "quaternions", "harmonics"):
        torch.testing.assert_close(getattr(loaded, name), getattr(found, name), rtol=0, atol=3e-7)
    torch.testing.assert_close(loaded.quaternions.norm(dim=-1), torch.ones(COUNT), rtol=0, atol=1e-6)


def test_what_it_costs_in_the_picture(tmp_path):
    gaussians = moving_scene(0).at(0.2)
    gaussians.harmonics.clamp_(-1.7, 1.7)  # colours in [0, 1], which the format can hold
    save_splat(gaussians, tmp_path / "scene.splat")
    assert 40 < decibels(from_numpy(read_splat(tmp_path / "scene.splat")), gaussians) < 70


def test_writing_again_what_was_read_changes_no_more_than_a_step(path, tmp_path):
    save_splat(load_splat(path), tmp_path / "again.splat")
    first, again = (np.fromfile(file, np.uint8).reshape(-1, 32) for file in (path, tmp_path / "again.splat"))
    assert np.array_equal(first[:, :28], again[:, :28])
    assert np.abs(first[:, 28:].astype(int) - again[:, 28:]).max() <= 1  # of quaternions that were normalised


def test_extremes_and_unnormalised_quaternions(tmp_path):
    gaussians = Gaussians(
        torch.zeros(3, 3),
        torch.tensor([[3.0, 0, 0, 0], [-0.5, 0, 0, 0], [1.0, 1, 1, 1]]),
        torch.full((3, 3), 1e-42),
        torch.tensor([0.0, 1.0, 0.5]),
        torch.tensor([[9.0] * 3, [-9.0] * 3, [0.0] * 3])[:, None],
    )
    save_splat(gaussians, tmp_path / "a.splat")
    rows = np.fromfile(tmp_path / "a.splat", np.uint8).reshape(3, 32)
    assert rows[:, 28:].tolist() == [[255, 128, 128, 128], [0, 128, 128, 128], [192] * 4]
    assert rows[:, 24:28].tolist() == [[255, 255, 255, 0], [0, 0, 0, 255], [128, 128, 128, 128]]
    loaded = load_splat(tmp_path / "a.splat")
    loaded.validate()
    assert loaded.opacities[:2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "truncated"),
        (lambda data: b"", "is empty"),
        (lambda data: b"ply\n" + data[4:], "but a PLY"),
        (lambda data: b"PK\x03\x04" + data[4:], "but a zip"),
        (lambda data: b"glTF" + data[4:], "but a glTF"),
        (lambda data: bytes(len(data)), "lengths are not 1"),
        (lambda data: data[:12] + np.float32(-1).tobytes() + data[16:], "1 scales are negative"),
        (lambda data: np.float32(np.nan).tobytes() + data[4:], "1 centres that are not finite, in a file of"),
        (lambda data: data[:28] + b"\x80" * 4 + data[32:], "1 quaternions that are zero"),
    ],
)
def test_damaged_and_foreign_files_are_named(path, change, words):
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=words) as caught:
        load_splat(path)
    assert str(path) in str(caught.value)


def test_what_is_invalid_can_be_left_out(path, without_shape_checker):
    path.write_bytes(np.float32(np.nan).tobytes() + path.read_bytes()[4:])
    assert load_splat(path, invalid="drop").num_gaussians == COUNT - 1
    with pytest.raises(ValueError, match="invalid must be 'refuse' or 'drop', got 'keep'"):
        load_splat(path, invalid="keep")


def test_a_failed_save_leaves_what_was_there(path):
    before, broken = path.read_bytes(), still_scene(0)
    broken.means[0, 0] = torch.nan
    with pytest.raises(ValueError, match="means must be finite"):
        save_splat(broken, path)
    assert path.read_bytes() == before and [*path.parent.iterdir()] == [path]
    with pytest.raises(FileNotFoundError):
        save_splat(still_scene(0), path.parent / "missing" / "a.splat")
    with pytest.raises(FileNotFoundError):
        load_splat(path.parent / "missing.splat")
