"""How pixels see their surfaces: planes, jumps, holes, and the loop in float64."""

import math

import pytest
import torch
from assets.sphere import ball
from reference.assets_tsdf import pixel_weight

from diff4splat.assets import surface_weights
from diff4splat.cameras import field_of_view_to_intrinsics
from diff4splat.geometry import pixel_rays

LENS = field_of_view_to_intrinsics(50.0, height=53, width=61, dtype=torch.float64)


def plane(tilt_deg: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth of a tilted plane, and the cosine between its normal and each ray."""
    tilt = math.radians(tilt_deg)
    normal = torch.tensor([math.sin(tilt), 0.0, -math.cos(tilt)], dtype=torch.float64)
    rays = pixel_rays(LENS, height=53, width=61)
    return -3 * math.cos(tilt) / (rays @ normal), -(rays @ normal) / torch.linalg.vector_norm(rays, dim=-1)


@pytest.mark.parametrize("tilt_deg", [0, 20, 45])
def test_a_plane_gives_the_cosine_between_ray_and_normal(tilt_deg: float) -> None:
    depth, cosine = plane(tilt_deg)
    weights = surface_weights(depth, LENS)
    assert (weights - cosine).abs()[1:-1, 1:-1].max() < 0.02


def test_matches_the_loop() -> None:
    depth, _, cameras = ball(num_views=2, side=19)
    depth, lenses = depth.double(), cameras.intrinsics.double()
    for angle in (60.0, 80.0):
        weights = surface_weights(depth, lenses, max_angle_deg=angle)
        for view in range(2):
            for row in range(19):
                for column in range(19):
                    expected = pixel_weight(depth[view].numpy(), lenses[view].numpy(), row, column, angle)
                    assert float(weights[view, row, column]) == pytest.approx(expected, abs=1e-9)
        assert 0 < int((weights > 0).sum()) < int((depth > 0).sum())


def test_jumps_and_what_is_unknown_count_as_nothing() -> None:
    depth = torch.full((2, 53, 61), 3.0, dtype=torch.float64)
    depth[0, :, 30:] = 4.0
    depth[1, 20, 30] = torch.nan
    weights = surface_weights(depth, LENS.expand(2, 3, 3))
    assert (
        (weights[0, :, 29:31] == 0).all()
        and (weights[0, :, :29] > 0.8).all()
        and (weights[0, :, 31:] > 0.8).all()
    )
    nothing = (weights[1] == 0).nonzero().tolist()
    assert nothing == [[19, 30], [20, 29], [20, 30], [20, 31], [21, 30]]
    assert (surface_weights(torch.zeros(5, 7, dtype=torch.float64), LENS) == 0).all()
    one = surface_weights(torch.ones(1, 1, dtype=torch.float64), LENS)
    assert float(one) == 1, "no neighbour, no slope"
    for angle in (0, 90):
        with pytest.raises(ValueError, match="max_angle_deg must lie between 0 and 90, got"):
            surface_weights(depth[0], LENS, max_angle_deg=angle)
