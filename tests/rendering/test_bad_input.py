"""What is no scene ends in an error that names the argument; what is an odd one, in the documented result."""

import math
from dataclasses import replace

import pytest
import torch
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.rendering import render, render_field

pytestmark = pytest.mark.parametrize("backend", ["cpu", "reference"])
FIELDS = ("means", "quaternions", "scales", "opacities", "harmonics")


def scene(dtype=torch.float64):
    return random_gaussians(19, dtype=dtype), random_cameras(2, 11, 13, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", FIELDS)
def test_values_that_are_not_finite(backend, name, value, dtype):
    gaussians, cameras = scene(dtype)
    getattr(gaussians, name)[3] = value
    with pytest.raises(ValueError, match=f"^{name} must be finite"):
        render(gaussians, cameras, backend=backend)


def test_one_value_that_is_not_finite_in_one_set_of_a_batch(backend):
    gaussians, cameras = random_gaussians(19, batch=(2, 3), coefficients=4), random_cameras(1, batch=(2, 3))
    gaussians.harmonics[1, 2, 18, 3, 2] = math.nan
    with pytest.raises(ValueError, match="^harmonics must be finite"):
        render(gaussians, cameras, backend=backend)


def test_values_that_are_not_finite_in_a_field(backend):
    gaussians, cameras = scene()
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0], dtype=torch.float64))
    field.delta_means[1, 5] = math.nan
    with pytest.raises(ValueError, match="means must be finite"):
        render_field(field, cameras, [0.0, 1.0], backend=backend)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [0.0, 9e-9])
def test_zero_quaternions(backend, length, dtype):
    gaussians, cameras = scene(dtype)
    gaussians.quaternions[3] = torch.tensor([0.0, length, 0.0, 0.0])
    with pytest.raises(ValueError, match="^quaternions must not have length zero"):
        render(gaussians, cameras, backend=backend)


@pytest.mark.parametrize("length", [1.1e-8, 1e38])
def test_quaternions_of_any_other_length(backend, length):
    gaussians, cameras = scene(torch.float32)
    unit = gaussians.quaternions / gaussians.quaternions.norm(dim=-1, keepdim=True)
    scaled = replace(gaussians, quaternions=length * unit)
    expected = render(replace(gaussians, quaternions=unit), cameras, backend=backend).color
    torch.testing.assert_close(render(scaled, cameras, backend=backend).color, expected, rtol=0, atol=1e-5)


def test_colours_beyond_the_reach_of_float32(backend):
    gaussians, cameras = scene()
    gaussians.harmonics[3, 0, 1] = 1e19
    with pytest.raises(ValueError, match="^harmonics must give colours of at most 1e"):
        render(gaussians, cameras, backend=backend)


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_scales_of_zero_are_dots_as_wide_as_the_dilation(backend, mode):
    point = replace(
        random_gaussians(1),
        opacities=torch.tensor([0.8], dtype=torch.float64),
        means=torch.tensor([[0.0, 0.0, 4.0]], dtype=torch.float64),
        scales=torch.zeros(1, 3, dtype=torch.float64),
    )
    lens = torch.tensor([[[20.0, 0, 6.5], [0, 20, 5.5], [0, 0, 1]]], dtype=torch.float64)
    cameras = Cameras(torch.eye(4, dtype=torch.float64)[None], lens, 11, 13)
    x = torch.arange(13) - 6.0
    expected = 0.8 * torch.exp(-0.5 * x**2 / 0.3) if mode == "classic" else 0 * x
    expected = torch.where(expected >= 1 / 255, expected, 0.0).double()
    alpha = render(point, cameras, backend=backend, mode=mode).alpha
    torch.testing.assert_close(alpha[0, 0, 5], expected, rtol=0, atol=1e-6)


def test_signs_of_scales_do_not_count(backend):
    gaussians, cameras = scene()
    flipped = replace(gaussians, scales=-gaussians.scales)
    expected = render(gaussians, cameras, backend=backend).color
    assert torch.equal(render(flipped, cameras, backend=backend).color, expected)


def test_opacities_of_zero_or_less_are_not_seen(backend):
    gaussians, cameras = scene()
    for opacity in (-1.0, 0.0, 0.0039):
        faint = replace(gaussians, opacities=torch.full_like(gaussians.opacities, opacity))
        assert (render(faint, cameras, backend=backend).alpha == 0).all()


def test_no_gaussians_have_gradients_too(backend):
    gaussians, cameras = scene()
    leaves = [getattr(gaussians, name)[:0].clone().requires_grad_() for name in FIELDS]
    background = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    seen = render(Gaussians(*leaves), cameras, backend=backend, background=background)
    (seen.color.sum() + seen.alpha.sum() + seen.depth.sum()).backward()
    assert all(leaf.grad.shape == leaf.shape for leaf in leaves)
    torch.testing.assert_close(background.grad, torch.full((3,), 2.0 * 11 * 13, dtype=torch.float64))


def test_huge_values_end(backend):
    gaussians, cameras = random_gaussians(97, dtype=torch.float32), random_cameras(1, dtype=torch.float32)
    gaussians.scales[60:70] = 1e18
    gaussians.means[70:80] = 3e18
    gaussians.means[80:90, 2] = 0.0100001
    assert render(gaussians, cameras, backend=backend).color.isfinite().all()


@pytest.mark.parametrize(
    ("height", "width", "name"), [(0, 13, "height"), (11, 0, "width"), (-3, 13, "height")]
)
def test_images_without_pixels(backend, height, width, name):
    gaussians, cameras = scene()
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got"):
        render(gaussians, replace(cameras, height=height, width=width), backend=backend)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k, p: k[0, 0, 0].zero_(), "intrinsics must have focal lengths > 0"),
        (lambda k, p: k[1, 1, 1].neg_(), "intrinsics must have focal lengths > 0"),
        (lambda k, p: k[0, 0, 1].fill_(2.0), "intrinsics must have no skew"),
        (lambda k, p: k[0, 0, 2].fill_(math.nan), "intrinsics must be finite"),
        (lambda k, p: k[0, 2, 2].fill_(2.0), "intrinsics must be upper triangular"),
        (lambda k, p: k[0, 2].zero_(), "intrinsics must be upper triangular"),
        (lambda k, p: p[1, 0, 3].fill_(math.inf), "camera_to_world must be finite"),
        (lambda k, p: p[0, :3, :3].mul_(2.0), "camera_to_world must be rigid"),
        (lambda k, p: p[0].zero_(), "camera_to_world must have last row"),
        (lambda k, p: p[0, :3, 0].mul_(-1.0), "camera_to_world must have rotations of determinant"),
        (lambda k, p: p[0, 3, 0].fill_(1.0), "camera_to_world must have last row"),
    ],
)
def test_cameras_that_are_none(backend, change, message):
    gaussians, cameras = scene()
    change(cameras.intrinsics, cameras.camera_to_world)
    with pytest.raises(ValueError, match=f"^{message}"):
        render(gaussians, cameras, backend=backend)


@pytest.mark.parametrize("coefficients", [0, 2, 5, 24, 36])
def test_harmonics_of_no_degree(backend, coefficients):
    gaussians, cameras = scene()
    harmonics = torch.zeros(19, coefficients, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="^harmonics must have shape .* 1, 4, 9, 16 or 25 coefficients"):
        render(replace(gaussians, harmonics=harmonics), cameras, backend=backend)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_different_lengths(backend, name, without_shape_checker):
    gaussians, cameras = scene()
    shorter = getattr(gaussians, name)[:-1]
    with pytest.raises(ValueError, match="must have shape .* to match means|harmonics must have shape"):
        render(replace(gaussians, **{name: shorter}), cameras, backend=backend)


def test_batches_that_do_not_match(backend):
    with pytest.raises(ValueError, match="^cameras must have the batch shape of gaussians"):
        render(random_gaussians(7, batch=(2,)), random_cameras(1, batch=(3,)), backend=backend)


@pytest.mark.parametrize("name", [*FIELDS[1:], "camera_to_world", "intrinsics"])
@pytest.mark.parametrize("other", [{"dtype": torch.float32}, {"device": "meta"}])
def test_mixed_dtypes_and_devices(backend, name, other):
    gaussians, cameras = scene()
    owner = cameras if name in ("camera_to_world", "intrinsics") else gaussians
    changed = replace(owner, **{name: getattr(owner, name).to(**other)})
    mixed = (changed, cameras) if owner is gaussians else (gaussians, changed)
    with pytest.raises(TypeError, match=f"^{name} must be torch.float64 on cpu like means"):
        render(*mixed, backend=backend)


def test_numbers_that_are_not_floating_point(backend, without_shape_checker):
    gaussians, cameras = scene()
    whole = Gaussians(*(getattr(gaussians, name).long() for name in FIELDS))
    with pytest.raises(TypeError, match="^means must be floating point, got torch.int64"):
        render(whole, cameras, backend=backend)


@pytest.mark.parametrize(
    ("background", "error", "message"),
    [
        ("white", TypeError, "must be three numbers or None, got 'white'"),
        ((0.0, math.nan, 0.0), ValueError, "must be finite"),
        ((0.0, 1e19, 0.0), ValueError, r"must be finite, at most 1e\+18"),
        ((0.1, 0.2), ValueError, r"must have shape \[3\], got \[2\]"),
        (torch.zeros(3), TypeError, "must be torch.float64 on cpu like means"),
        (torch.zeros(3, dtype=torch.float64, device="meta"), TypeError, "must be torch.float64 on cpu"),
    ],
)
def test_backgrounds_that_are_no_colour(backend, background, error, message, without_shape_checker):
    with pytest.raises(error, match=f"^background {message}"):
        render(*scene(), backend=backend, background=background)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near": 0.0}, "near and far must satisfy 0 < near < far"),
        ({"near": 2.0, "far": 1.0}, "near and far must satisfy 0 < near < far"),
        ({"near": math.nan}, "near and far must satisfy 0 < near < far"),
        ({"far": math.nan}, "near and far must satisfy 0 < near < far"),
        ({"eps2d": -0.1}, "eps2d must be finite and at least 0"),
        ({"eps2d": math.inf}, "eps2d must be finite and at least 0"),
        ({"radius_clip": math.nan}, "radius_clip must be finite and at least 0"),
        ({"max_alpha": 1.0}, "max_alpha must be above 1/255 and below 0.9999, got 1.0"),
        ({"max_alpha": 0.99995}, "max_alpha"),  # one opaque Gaussian would leave too little, and be dropped
        ({"max_alpha": 1 / 256}, "max_alpha"),
        ({"max_alpha": math.nan}, "max_alpha"),
        ({"mode": "sharp"}, "mode must be one of 'classic', 'antialiased', got 'sharp'"),
        ({"depth_mode": "median"}, "depth_mode must be one of 'expected', 'accumulated', got 'median'"),
    ],
)
def test_wrong_options(backend, options, message, without_shape_checker):
    with pytest.raises(ValueError, match=f"^{message}"):
        render(*scene(), backend=backend, **options)


def test_backends_that_cannot_run_here(backend, without_shape_checker):
    gaussians, cameras = scene()
    with pytest.raises(ValueError, match="^backend='gsplat' cannot render tensors on cpu"):
        render(gaussians, cameras, backend="gsplat")
    with pytest.raises(ValueError, match=f"^backend must be one of .*, got '{backend}x'"):
        render(gaussians, cameras, backend=backend + "x")
