"""Rotations that do not rotate and lenses that do not exist are found."""

from dataclasses import replace

import pytest
import torch
from data.checking.scenes import path

from diff4splat.data.checking import camera_findings


def failing(poses=None, lenses=None) -> dict[str, str]:
    cameras = path()[0]
    cameras = replace(
        cameras,
        camera_to_world=cameras.camera_to_world if poses is None else poses(cameras.camera_to_world.clone()),
        intrinsics=cameras.intrinsics if lenses is None else lenses(cameras.intrinsics.clone()),
    )
    return {item.name: item.words for item in camera_findings(cameras) if item.verdict == "fails"}


def test_sound_cameras_hold() -> None:
    findings = camera_findings(path()[0])
    assert {item.verdict for item in findings} == {"holds"}
    by_name = {item.name: item.value for item in findings}
    assert by_name["rotation determinant"] == pytest.approx(1, abs=1e-5)
    assert by_name["field of view"] == pytest.approx(61, abs=1e-3)


def test_what_is_no_rotation_is_found() -> None:
    def scaled(poses):
        poses[:, :3, :3] *= 0.01
        return poses

    def mirrored(poses):
        poses[2, :, 1] *= -1
        return poses

    def absent(poses):
        poses[3] = torch.nan
        return poses

    assert (
        failing(scaled)["rotation orthonormal"]
        == "columns have a mean length of 0.01; the rotation is scaled"
    )
    assert list(failing(mirrored)) == ["rotation determinant"]
    assert failing(absent) == {"cameras finite": "1 of 13 cameras hold NaN or infinity"}


def test_what_is_no_lens_is_found() -> None:
    normalised = torch.tensor([149.0, 107.0, 1.0])[:, None]
    assert list(failing(lenses=lambda k: k / normalised)) == [
        "field of view",
        "centre of the lens",
        "pixels square",
    ]
    assert list(failing(lenses=lambda k: 2 * k)) == ["centre of the lens"]
    assert list(failing(lenses=lambda k: -k)) == ["focal length"]
    assert list(failing(lenses=lambda k: k * torch.tensor([1.0, 1.3, 1.0])[:, None])) == ["pixels square"]
