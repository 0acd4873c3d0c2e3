"""From structure from motion in its own unit and a disparity map to a recording in metres."""

import json
from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.metric_depth import (
    DepthAlignment,
    align_recording,
    anchors_from_masks,
    anchors_from_points,
    fit_scale_and_shift,
    mask_medians,
    metric_scale,
)
from diff4splat.data.recordings import Recording
from diff4splat.geometry import project, unproject

FRAMES, HEIGHT, WIDTH = 3, 37, 41
UNIT = 2.5
"""Metres per unit of the cameras."""


def scene() -> tuple[Recording, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A slanted wall: recording in units of its cameras, depth in metres, relative map, points on it."""
    poses = torch.eye(4, dtype=torch.float64).repeat(FRAMES, 1, 1)
    poses[:, 0, 3] = torch.linspace(0, 0.4, FRAMES)
    lens = torch.tensor([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]).double()
    cameras = Cameras(poses, lens.repeat(FRAMES, 1, 1), HEIGHT, WIDTH)
    columns = (torch.arange(WIDTH).double() + 0.5 - WIDTH / 2) / 40
    # z = 2 + 0.6 (x + centre), with x = column z; a plane has an affine inverse depth
    depth = (2 + 0.6 * poses[:, 0, 3])[:, None, None] / (1 - 0.6 * columns)
    depth = depth.expand(-1, HEIGHT, -1).contiguous()
    relative = (1 / (UNIT * depth) - 0.02) / 0.4
    points = unproject(depth, poses, cameras.intrinsics)[0, ::4, ::4].reshape(-1, 3)
    recording = Recording(
        name="wall",
        dataset="none",
        licence="MIT",
        video=torch.zeros(FRAMES, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        cameras=cameras,
        tracks=points[:, None].repeat(1, FRAMES, 1),
        visible=torch.ones(len(points), FRAMES, dtype=torch.bool),
        facts={"scale": "of the SfM"},
    )
    return recording, UNIT * depth, relative, points


def test_masks_give_metres_and_points_the_unit_of_the_cameras() -> None:
    recording, depth, relative, points = scene()
    masks = torch.zeros(FRAMES, 5, HEIGHT, WIDTH, dtype=torch.bool)
    for number in range(5):
        masks[:, number, 3:10, 8 * number : 8 * number + 7] = True
    alignment = fit_scale_and_shift(anchors_from_masks(relative, masks, mask_medians(depth, masks)))
    assert alignment.accepted
    factor = metric_scale(alignment, anchors_from_points(relative, points, recording.cameras))
    assert factor == pytest.approx(UNIT, rel=1e-6)

    aligned = align_recording(recording, relative, alignment, camera_scale=factor)
    aligned.validate()
    torch.testing.assert_close(aligned.depth, depth)
    assert bool(aligned.depth_mask.all()) and aligned.unit == "metre"
    cameras = aligned.cameras
    torch.testing.assert_close(cameras.positions, UNIT * recording.cameras.positions)
    torch.testing.assert_close(aligned.tracks, UNIT * recording.tracks)
    # everything agrees: the points of the first frame are at the depth of the last where they are seen
    seen, z = project(aligned.tracks[:, -1], cameras.camera_to_world[-1], cameras.intrinsics[-1])
    inside = ((seen >= 0) & (seen < torch.tensor([WIDTH, HEIGHT]))).all(-1)
    column, row = seen[inside].long().unbind(1)
    torch.testing.assert_close(aligned.depth[-1, row, column], z[inside], rtol=0.02, atol=0)

    facts = aligned.facts
    assert facts["scale"] == "of the SfM" and json.dumps(dict(facts), allow_nan=False)
    assert facts["metric_depth"]["scale"] == pytest.approx(0.4) and facts["metric_depth"]["num_anchors"] == 15
    assert facts["metric_depth"]["camera_scale"] == factor
    assert recording.depth is None and "metric_depth" not in recording.facts


def test_points_in_metres_need_no_factor() -> None:
    recording, depth, relative, points = scene()
    recording = replace(recording.scale(UNIT), unit="metre")
    anchors = anchors_from_points(relative, UNIT * points, recording.cameras, visible=recording.visible)
    aligned = align_recording(recording, relative, fit_scale_and_shift(anchors, method="huber"))
    torch.testing.assert_close(aligned.depth, depth, rtol=1e-5, atol=0)
    torch.testing.assert_close(aligned.cameras.positions, recording.cameras.positions)


def test_pixels_without_a_known_depth() -> None:
    recording, _, relative, _ = scene()
    relative = relative.clone()
    relative[0, 0, 0], relative[0, 0, 1], relative[0, 0, 2] = torch.nan, -5.0, torch.inf
    mask = torch.ones_like(relative, dtype=torch.bool)
    mask[1] = False
    aligned = align_recording(recording, relative, DepthAlignment(0.4, 0.02), mask=mask, camera_scale=1.0)
    aligned.validate()
    assert not aligned.depth_mask[0, 0, :3].any() and not aligned.depth_mask[1].any()
    assert int(aligned.depth_mask.sum()) == (FRAMES - 1) * HEIGHT * WIDTH - 3
    assert bool((aligned.depth[~aligned.depth_mask] == 0).all())
    literal = align_recording(recording, relative, DepthAlignment(1.0, 0.0, "depth"), camera_scale=1.0)
    literal.validate()
    assert torch.equal(literal.depth_mask, torch.isfinite(relative) & (relative > 0))


def test_bad_arguments_are_named(without_shape_checker: None) -> None:
    recording, _, relative, _ = scene()
    good = DepthAlignment(0.4, 0.02)
    with pytest.raises(ValueError, match=r"relative must have shape \[3, 37, 41\], got \[3, 37, 40\]"):
        align_recording(recording, relative[..., :-1], good)
    with pytest.raises(ValueError, match="alignment must be accepted, got one that is rejected: because"):
        align_recording(recording, relative, replace(good, reason="because"), camera_scale=1.0)
    with pytest.raises(ValueError, match="camera_scale must be given .* unit is not known, got None"):
        align_recording(recording, relative, good)
    with pytest.raises(ValueError, match="camera_scale must be above 0, got -1"):
        align_recording(recording, relative, good, camera_scale=-1)
    bare = replace(recording, cameras=None, tracks=None, visible=None)
    assert align_recording(bare, relative, good).unit == "metre"
