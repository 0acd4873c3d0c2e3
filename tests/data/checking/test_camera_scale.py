"""The scale of cameras by depth: planted factors come back, and what cannot tell says so."""

from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.data import Recording, procedural_sample
from diff4splat.data.checking import camera_scale_from_depth


@pytest.fixture(scope="module")
def scene() -> Recording:
    """Exact depth and cameras in one unit; objects move, and no mask says so."""
    sample = procedural_sample(2, num_frames=5, height=61, width=83)
    depth = sample["depth"][0]
    return Recording(
        name="scene",
        dataset="procedural",
        licence="MIT",
        video=(255 * sample["video"][0]).round().byte(),
        cameras=sample["cameras"].batch(0),
        depth=depth,
        depth_mask=torch.isfinite(depth) & (depth > 0),
        unit="metre",
    )


def with_cameras(scene: Recording, factor: float) -> Recording:
    return replace(scene, cameras=scene.cameras.scale(factor))


@pytest.mark.parametrize("factor", [0.013, 1.0, 57.0])
def test_a_planted_scale_comes_back(scene: Recording, factor: float) -> None:
    found = camera_scale_from_depth(with_cameras(scene, 1 / factor))
    assert found.accepted and found.reason is None
    assert abs(found.scale / factor - 1) < 0.01
    assert found.variation < 0.02
    assert found.facts() == {
        "scale": found.scale,
        "variation": found.variation,
        "error": found.error,
        "num_pairs": found.num_pairs,
        "reason": None,
    }


def test_depth_in_another_unit_scales_with_it(scene: Recording) -> None:
    once = camera_scale_from_depth(scene).scale
    again = camera_scale_from_depth(replace(scene, depth=scene.depth * 8)).scale
    assert abs(again / (8 * once) - 1) < 1e-6


def test_pixels_that_are_unknown_or_move_play_no_part(scene: Recording) -> None:
    left = torch.zeros_like(scene.depth_mask)
    left[..., :40] = True
    spoilt = torch.where(left, scene.depth, 1e4)
    unknown = replace(scene, depth=spoilt, depth_mask=scene.depth_mask & left)
    moving = replace(scene, depth=spoilt, dynamic_mask=~left)
    for recording in (unknown, moving):
        assert abs(camera_scale_from_depth(recording).scale - 1) < 0.02


def test_a_camera_at_rest_cannot_tell(scene: Recording) -> None:
    still = scene.cameras.select(torch.zeros(scene.num_frames, dtype=torch.long))
    found = camera_scale_from_depth(replace(scene, cameras=still))
    assert not found.accepted and found.reason == "no two frames from different places see the same"
    assert found.facts()["scale"] is None


def test_cameras_of_another_scene_are_refused(scene: Recording) -> None:
    other = procedural_sample(5, num_frames=5, height=61, width=83)["cameras"].batch(0)
    poses = other.camera_to_world.flip(0)
    found = camera_scale_from_depth(replace(scene, cameras=Cameras(poses, other.intrinsics, 61, 83)))
    assert not found.accepted and found.reason is not None


def test_a_pattern_that_repeats_cannot_tell() -> None:
    """Stripes 0.2 m wide on a wall 4 m away: ways that differ by a multiple of them look the same."""
    frames, height, width, focal, far = 17, 24, 128, 110.0, 4.0
    poses = torch.eye(4).repeat(frames, 1, 1)
    poses[:, 0, 3] = torch.linspace(0, 0.5, frames)
    lens = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]).expand(frames, 3, 3)
    along = far / focal * (torch.arange(width) + 0.5 - width / 2) + poses[:, 0, 3, None]
    shades = 127 + 102 * torch.sin(2 * torch.pi * along / 0.2)
    wall = Recording(
        name="wall",
        dataset="by hand",
        licence="MIT",
        video=shades[:, None, None].expand(-1, 3, height, -1).round().byte(),
        cameras=Cameras(poses, lens, height, width),
        depth=torch.full((frames, height, width), far),
        depth_mask=torch.ones(frames, height, width, dtype=torch.bool),
    )
    found = camera_scale_from_depth(wall, num_pairs=6, num_pixels=400)
    assert not found.accepted and "frames agree nearly as well at" in found.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": None}, "recording must have cameras and depth, got one without"),
        ({"depth": None, "depth_mask": None}, "recording must have cameras and depth"),
    ],
)
def test_what_is_missing_is_named(scene: Recording, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        camera_scale_from_depth(replace(scene, **change))


def test_numbers_are_checked(scene: Recording) -> None:
    with pytest.raises(ValueError, match="num_pairs and num_pixels must be at least 1"):
        camera_scale_from_depth(scene, num_pairs=0)
