"""MegaSaM's files, written by hand, give the cameras, depth and motion of the scene behind them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.annotations import written
from data.annotations.written import CUT, FACTOR, LARGE, TRUTH
from data.readers.truth import FRAMES, check_cameras

from diff4splat.data import Annotation, annotate, fit_annotation, load_annotation

WRITERS = {
    "reconstructions/a scene": written.write_reconstruction,
    "outputs/-a scene_droid.npz": written.write_droid,
    "outputs_cvd/a scene_sgd_cvd_hr.npz": written.write_final,
}


@pytest.fixture(scope="module", params=WRITERS)
def path(request, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("mega sam") / request.param
    place.parent.mkdir(parents=True)
    return WRITERS[request.param](place)


def tolerance(path: Path) -> float:
    return 4e-3 if "cvd" in path.name else 2e-5  # half floats of depth up to 8 m


def check(annotation: Annotation, factor: float, precision: float) -> None:
    """At the size of the file: cameras, lens and depth are those of the scene, times a factor."""
    poses = TRUTH.camera_to_world.copy()
    poses[:, :3, 3] *= factor
    np.testing.assert_allclose(annotation.cameras.camera_to_world, poses, atol=1e-6)
    np.testing.assert_allclose(
        annotation.cameras.intrinsics[FRAMES - 1], [[45, 0, 25.5], [0, 45, 16.5], [0, 0, 1]]
    )
    depth = written.cut(LARGE.depth)
    assert np.array_equal(annotation.depth_mask, depth > 0), "the sky is not known, nor at the limits"
    assert np.abs(annotation.depth.numpy() - factor * depth)[depth > 0].max() <= precision


def test_depth_and_cameras_share_a_unit_that_is_not_known(path: Path) -> None:
    annotation = load_annotation(path)
    assert (annotation.source, annotation.unit, annotation.kind) == ("megasam", "unknown", "depth")
    assert (annotation.height, annotation.width) == CUT and annotation.numbers is None
    check(annotation, FACTOR, tolerance(path))
    assert annotation.facts["depth"] == ("the final one" if "cvd" in path.name else "the prior")


def test_the_factor_makes_metres(path: Path) -> None:
    annotation = load_annotation(path, depth_factor=FACTOR)
    assert annotation.unit == "metre"
    check(annotation, 1.0, tolerance(path) / FACTOR)


def test_what_was_cut_is_put_back_where_it_was(path: Path) -> None:
    annotation = load_annotation(path, depth_factor=FACTOR)
    assert annotation.covers == (32 / 33, 48 / 51)
    made = annotate(written.recording(LARGE), annotation)
    check_cameras(made, LARGE, list(range(FRAMES)))
    assert made.unit == "metre" and not made.depth_mask[:, 32:].any() and not made.depth_mask[:, :, 48:].any()
    known = written.cut(LARGE.depth) > 0
    assert np.array_equal(made.depth_mask[:, :32, :48], known)
    kept = made.crop(0, 0, *CUT)
    error = np.abs(kept.depth.numpy() - written.cut(LARGE.depth))[known].max()
    assert error <= tolerance(path) / FACTOR
    # and in a recording of another size the lens is that of its own frames
    small = fit_annotation(written.recording(), annotation)
    np.testing.assert_allclose(small.cameras.intrinsics[0], TRUTH.intrinsics, atol=1e-5)
    assert torch.equal(small.cameras.camera_to_world, annotation.cameras.camera_to_world)


def test_low_weights_of_motion_are_what_moves(tmp_path: Path) -> None:
    annotation = load_annotation(written.write_reconstruction(tmp_path / "scene"))
    expected = (written.motion_prob() < 0.5).repeat(8, 1).repeat(8, 2)
    assert expected.any() and not expected.all()
    assert np.array_equal(annotation.moving, expected)
    confidence = annotation.static_confidence.numpy()
    assert confidence[expected].max() < confidence[~expected].min()
    seen = written.cut(LARGE.moving)
    assert seen[expected].mean() > 0.5 > seen[~expected].mean(), "the panel, not the wall"


def test_a_frame_whose_weights_are_alike_shows_nothing_that_moves(tmp_path: Path) -> None:
    folder = written.write_reconstruction(tmp_path / "scene")
    weights = written.motion_prob()
    weights[1] = np.linspace(0.80, 0.95, 24).reshape(4, 6)  # threshold 0.86, above 0.95 - 0.1
    weights[2] = np.linspace(0.50, 0.90, 24).reshape(4, 6)  # threshold 0.66
    np.save(folder / "motion_prob.npy", weights)
    moving = load_annotation(folder).moving
    assert not moving[1].any()
    assert np.array_equal(moving[2, ::8, ::8], weights[2] < 0.66)


def test_only_the_first_lens_counts_and_rows_may_be_fewer(tmp_path: Path) -> None:
    folder = written.write_reconstruction(tmp_path / "scene")
    np.save(folder / "intrinsics.npy", np.stack((written.megasam_lens(), np.zeros(4))))
    annotation = load_annotation(folder)
    assert annotation.cameras.intrinsics[:, 0, 0].tolist() == [45.0] * FRAMES


def test_an_archive_of_1000_frames_says_that_it_may_be_cut(tmp_path: Path) -> None:
    lens = np.array([[9.0, 0, 4], [0, 9, 4], [0, 0, 1]])
    poses = np.tile(np.eye(4), (1000, 1, 1))
    depths = np.ones((1000, 8, 8), np.float32)
    file = written.save(tmp_path / "x_droid.npz", depths=depths, intrinsic=lens, cam_c2w=poses)
    assert "1000" in load_annotation(file).facts["perhaps_cut"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("poses.npy", np.zeros((FRAMES, 7)), "poses.npy: quaternions must have length 1"),
        ("poses.npy", np.full((FRAMES, 7), np.nan), "poses.npy must hold finite poses, .* frame 0"),
        ("poses.npy", np.zeros((FRAMES - 1, 7)), r"poses of shape \[5, 7\], got \[4, 7\]"),
        ("poses.npy", np.tile(np.eye(4), (FRAMES, 1, 1)), r"poses of shape \[5, 7\], got \[5, 4, 4\]"),
        ("intrinsics.npy", np.array([[45.0, 45, 0.5, 0.5]]), "principal point in the middle"),
        ("intrinsics.npy", np.array([[45.0, 45, np.nan, 16]]), "must be finite"),
        ("intrinsics.npy", np.array([[45.0, 45, 28.5, 16.5]]), "got 28.5 for a width of 48"),
        ("motion_prob.npy", np.full((FRAMES, 4, 6), 1.5), "weights from 0 to 1"),
        ("motion_prob.npy", np.ones((FRAMES, 32, 48)), r"motion_prob of shape \[5, 4, 6\]"),
        ("disps.npy", np.ones((FRAMES, 4)), r"disps of shape \[any, any, any\], got \[5, 4\]"),
        ("disps.npy", np.array(["a"]), "numbers as disps"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: np.ndarray, words: str) -> None:
    folder = written.write_reconstruction(tmp_path / "scene")
    np.save(folder / name, content)
    with pytest.raises(ValueError, match=words):
        load_annotation(folder)


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    folder = written.write_reconstruction(tmp_path / "scene")
    file = folder / "disps.npy"
    file.write_bytes(file.read_bytes()[:999])
    with pytest.raises(ValueError, match="disps.npy is not a readable npy"):
        load_annotation(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="disps.npy"):
        load_annotation(folder, "megasam")
    turned = np.tile(np.diag([1.0, 1, 2, 1]), (FRAMES, 1, 1))
    lens = np.array([[9.0, 0, 4], [0, 9, 4], [0, 0, 1]])
    bad = written.save(tmp_path / "a.npz", depths=np.ones((FRAMES, 8, 8)), intrinsic=lens, cam_c2w=turned)
    with pytest.raises(ValueError, match="a.npz: camera-to-world matrices must be rigid"):
        load_annotation(bad)
