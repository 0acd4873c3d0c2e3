"""Anchors from object masks and from SfM points."""

import math

import numpy as np
import pytest
import torch
from reference import data_metric_depth as reference

from diff4splat.cameras import Cameras
from diff4splat.data.metric_depth import Anchors, anchors_from_masks, anchors_from_points, mask_medians
from diff4splat.geometry import unproject, unproject_pixels

FRAMES, OBJECTS, HEIGHT, WIDTH = 3, 5, 17, 23


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A relative map, masks of which one is empty, and readings of which some are not valid."""
    draw = torch.Generator().manual_seed(0)
    relative = torch.rand(FRAMES, HEIGHT, WIDTH, generator=draw, dtype=torch.float64)
    masks = torch.rand(FRAMES, OBJECTS, HEIGHT, WIDTH, generator=draw) > 0.9
    masks[1, 2] = False
    readings = 1 + torch.rand(FRAMES, OBJECTS, generator=draw, dtype=torch.float64)
    readings[0, 0], readings[0, 1], readings[2, 3], readings[2, 4] = math.nan, math.inf, 0.0, -1.0
    return relative, masks, readings


def cameras(dtype: torch.dtype = torch.float64) -> Cameras:
    """Cameras that move sideways and forwards."""
    poses = torch.eye(4, dtype=dtype).repeat(FRAMES, 1, 1)
    poses[:, 0, 3] = torch.linspace(0, 0.4, FRAMES)
    poses[:, 2, 3] = torch.linspace(0, 0.3, FRAMES)
    lens = torch.tensor([[20.0, 0, WIDTH / 2], [0, 20.0, HEIGHT / 2], [0, 0, 1]], dtype=dtype)
    return Cameras(poses, lens.repeat(FRAMES, 1, 1), HEIGHT, WIDTH)


def test_masks_match_the_loop() -> None:
    relative, masks, readings = scene()
    anchors = anchors_from_masks(relative, masks, readings)
    expected = reference.anchors(*(value.numpy() for value in (relative, masks, readings)))
    assert len(anchors) == len(expected) == FRAMES * OBJECTS - 5
    np.testing.assert_array_equal(torch.stack((anchors.relative, anchors.depth), 1), expected)
    assert anchors.frames.tolist() == [0] * 3 + [1] * 4 + [2] * 3
    assert anchors.num_sources == len(anchors) and bool((anchors.weights == 1).all())


def test_pixels_that_are_not_valid_do_not_count() -> None:
    relative, masks, readings = scene()
    valid = torch.rand(relative.shape, generator=torch.Generator().manual_seed(1)) > 0.5
    spoiled = torch.where(valid, relative, math.nan)
    by_mask = mask_medians(relative, masks, valid=valid)
    assert by_mask[1, 2].isnan() and int(by_mask.isnan().sum()) == 1
    for other in (mask_medians(spoiled, masks), mask_medians(relative, masks & valid[:, None])):
        torch.testing.assert_close(other, by_mask, rtol=0, atol=0, equal_nan=True)
    most = int((masks & valid[:, None]).sum((-2, -1)).max())
    assert int(torch.isfinite(mask_medians(relative, masks, valid=valid, min_pixels=most)).sum()) >= 1
    assert len(anchors_from_masks(relative, masks, readings, min_pixels=HEIGHT * WIDTH)) == 0


def test_an_object_that_is_followed_is_one_source() -> None:
    relative, masks, readings = scene()
    anchors = anchors_from_masks(relative, masks, readings, objects=torch.arange(OBJECTS).repeat(FRAMES, 1))
    assert anchors.num_sources == OBJECTS < len(anchors)
    assert anchors.sources.tolist() == [2, 3, 4, 0, 1, 3, 4, 0, 1, 2]


def test_points_give_the_map_and_the_depth_at_their_pixels() -> None:
    views = cameras()
    where = torch.tensor([[3.5, 4.5], [11.25, 8.5], [18.5, 12.0]], dtype=torch.float64)
    depth = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    points = unproject_pixels(where, depth, views.camera_to_world[0], views.intrinsics[0])
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    slope = (0.3 * (columns + 0.5) + 0.7 * (rows + 0.5)).double().expand(FRAMES, -1, -1)
    anchors = anchors_from_points(slope, points, views)
    first = anchors.frames == 0
    torch.testing.assert_close(anchors.depth[first], depth)
    # bilinear sampling of a slope is exact: 0.3 x + 0.7 y at the pixel, centres at +0.5
    torch.testing.assert_close(anchors.relative[first], 0.3 * where[:, 0] + 0.7 * where[:, 1])
    assert anchors.sources[first].tolist() == [0, 1, 2]
    last = anchors.frames == FRAMES - 1
    torch.testing.assert_close(anchors.depth[last], depth[anchors.sources[last]] - 0.3)


def test_every_pixel_of_a_depth_map_is_found_again() -> None:
    views = cameras(torch.float32)
    depth = 2 + torch.rand(FRAMES, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    points = unproject(depth, views.camera_to_world, views.intrinsics)[1].reshape(-1, 3)
    seen = torch.zeros(len(points), FRAMES, dtype=torch.bool)
    seen[:, 1] = True
    anchors = anchors_from_points(depth, points, views, visible=seen, min_views=1)
    assert len(anchors) == HEIGHT * WIDTH and anchors.relative.dtype == torch.float32
    torch.testing.assert_close(anchors.relative, anchors.depth, rtol=1e-4, atol=1e-4)


def test_points_are_filtered() -> None:
    views = cameras()
    relative = torch.rand(FRAMES, HEIGHT, WIDTH, dtype=torch.float64)
    centre, behind = [0.1, 0.0, 4.0], [0.0, 0.0, -4.0]
    points = torch.tensor([centre, centre, centre, behind, [50.0, 0, 4], [math.nan, 0, 4]]).double()

    def sources(**options: torch.Tensor | int | float) -> list[int]:
        return anchors_from_points(relative, points, views, **options).sources.tolist()

    assert sources() == [0, 1, 2] * FRAMES, "behind, outside, not finite"
    assert sources(num_views=torch.tensor([2, 3, 4, 9, 9, 9])) == [1, 2] * FRAMES
    assert sources(num_views=torch.tensor([2, 3, 4, 9, 9, 9]), min_views=4) == [2] * FRAMES
    errors = torch.tensor([0.5, 2.5, math.nan, 0, 0, 0])
    assert sources(errors=errors) == [0] * FRAMES and sources(errors=errors, max_error=3.0) == [0, 1] * FRAMES
    visible = torch.ones(6, FRAMES, dtype=torch.bool)
    visible[1, 0] = visible[2, 1:] = False
    assert sources(visible=visible) == [0] * FRAMES, "views are counted in the clip where nobody says"
    assert sources(visible=visible, min_views=1) == [0, 2, 0, 1, 0, 1]
    assert sources(visible=visible, num_views=torch.full((6,), 3)) == [0, 2, 0, 1, 0, 1]
    holed = relative.clone()
    holed[1] = math.nan
    assert len(anchors_from_points(holed, points, views)) == 3 * (FRAMES - 1)
    valid = torch.ones_like(relative, dtype=torch.bool)
    valid[0] = False
    assert len(anchors_from_points(relative, points, views, valid=valid)) == 3 * (FRAMES - 1)
    weighted = anchors_from_points(relative, points, views, weights=torch.arange(6.0))
    assert weighted.weights.tolist() == [0, 1, 2] * FRAMES and weighted.num_sources == 2


def test_gradient_reaches_the_map() -> None:
    views = cameras()
    relative = torch.rand(FRAMES, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[0.1, 0.0, 4.0], [0.3, 0.2, 3.0]], dtype=torch.float64)
    anchors_from_points(relative, points, views).relative.sum().backward()
    assert float(relative.grad.sum()) == pytest.approx(2 * FRAMES)


def test_bad_arguments_are_named(without_shape_checker: None) -> None:
    relative, masks, readings = scene()
    with pytest.raises(
        ValueError, match=r"masks must have shape \[3, 'object', 17, 23\], got \[2, 5, 17, 23\]"
    ):
        mask_medians(relative, masks[:2])
    with pytest.raises(ValueError, match="min_pixels must be at least 1, got 0"):
        mask_medians(relative, masks, min_pixels=0)
    with pytest.raises(ValueError, match=r"readings must have shape \[3, 5\], got \[3, 4\]"):
        anchors_from_masks(relative, masks, readings[:, :4])
    with pytest.raises(ValueError, match="cameras must be 3 of 17 x 23 pixels, got"):
        anchors_from_points(relative, torch.zeros(1, 3), cameras().resize(9, 9))
    with pytest.raises(ValueError, match=r"errors must have shape \[1\], got \[2\]"):
        anchors_from_points(relative, torch.zeros(1, 3), cameras(), errors=torch.zeros(2))
    ones, numbers = torch.ones(2), torch.arange(2)
    for wrong, name in (
        (Anchors(torch.tensor([1.0, math.nan]), ones, ones, numbers, numbers), "relative"),
        (Anchors(ones, torch.tensor([1.0, 0.0]), ones, numbers, numbers), "depth"),
        (Anchors(ones, ones, torch.tensor([1.0, -1.0]), numbers, numbers), "weights"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be finite.*, got 1 other values"):
            wrong.validate()
