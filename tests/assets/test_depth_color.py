import pytest
import torch
from reference.assets_depth_color import oklab_lightness

from diff4splat.assets import depth_to_color
from diff4splat.assets.depth_color import position_to_color


def test_lightness_is_linear_along_the_scale_and_colours_lie_inside_srgb():
    position = torch.linspace(0, 1, 101, dtype=torch.float64)
    colors = position_to_color(position)
    lightness = [oklab_lightness(*color) for color in colors.tolist()]
    # Clipping at the border of sRGB would bend the line.
    assert lightness == pytest.approx((0.22 + 0.70 * position).tolist(), abs=1e-3)


def test_near_is_warm_and_bright_and_far_is_cool_and_dark():
    depth = torch.linspace(1.0, 9.0, 7 * 11, dtype=torch.float64).reshape(7, 11)
    color = depth_to_color(depth, near=1.0, far=9.0)
    assert color.shape == (3, 7, 11)
    near, far = color[:, 0, 0], color[:, -1, -1]
    assert near[0] > near[2] + 0.3 and far[2] > far[0] + 0.1
    assert near.sum() > far.sum() + 1
    torch.testing.assert_close(near, position_to_color(torch.tensor(1.0, dtype=torch.float64)))
    # Linear in inverse depth: the harmonic mean of the limits is the middle of the scale.
    middle = depth_to_color(torch.full((1, 1), 1.8, dtype=torch.float64), near=1.0, far=9.0)[:, 0, 0]
    torch.testing.assert_close(middle, position_to_color(torch.tensor(0.5, dtype=torch.float64)))


def test_limits_are_shared_by_the_whole_clip():
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 4 * torch.rand(5, 7, 11, generator=generator)
    depth[3] *= 10
    depth[:, 2, 3] = 2.5
    color = depth_to_color(depth)
    assert color.shape == (5, 3, 7, 11)
    assert (color[:, :, 2, 3] == color[0, :, 2, 3]).all()
    batch = depth_to_color(depth[None])
    assert torch.equal(batch[0], color)


def test_scale_of_depth_does_not_matter_with_its_own_limits():
    depth = 1 + 4 * torch.rand(7, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(depth_to_color(depth), depth_to_color(1000 * depth), rtol=0, atol=1e-9)


def test_nothing_is_black_and_does_not_move_the_limits():
    depth = 1 + 4 * torch.rand(7, 11, generator=torch.Generator().manual_seed(1))
    holes = depth.clone()
    holes[0, :3] = torch.tensor([0.0, torch.nan, torch.inf])
    mask = torch.ones(7, 11, dtype=torch.bool)
    mask[0, :3] = False
    color = depth_to_color(holes)
    assert (color[:, 0, :3] == 0).all() and (color[:, 1:].sum(dim=0) > 0).all()
    assert torch.equal(color, depth_to_color(depth, mask=mask))
    assert (depth_to_color(torch.zeros(7, 11)) == 0).all()


def test_flat_depth_is_one_colour():
    color = depth_to_color(torch.full((5, 7), 3.0))
    assert torch.isfinite(color).all() and (color == color[:, :1, :1]).all()


def test_dtype_and_gradient():
    depth = torch.full((5, 7), 3.0, dtype=torch.float64, requires_grad=True)
    color = depth_to_color(depth, near=1.0, far=4.0)
    assert color.dtype == torch.float64 and not color.requires_grad


@pytest.mark.parametrize("limits", [{}, {"near": 2.0}, {"far": 0.5}, {"near": 2.0, "far": 3.0}])
def test_no_pixel_and_nothing_seen_are_black_whatever_the_limits(limits):
    assert (depth_to_color(torch.zeros(2, 5, 7), **limits) == 0).all()
    assert depth_to_color(torch.zeros(2, 0, 7), **limits).shape == (2, 3, 0, 7)
    assert depth_to_color(torch.zeros(0, 5, 7), **limits).shape == (0, 3, 5, 7)


@pytest.mark.parametrize(
    ("near", "far"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, float("inf"))]
)
def test_errors(near, far):
    with pytest.raises(ValueError, match="near and far"):
        depth_to_color(torch.ones(3, 5) * torch.arange(1, 6), near=near, far=far)
