"""Per-scene optimisation: it fits, leaves its inputs alone, repeats, and steps along the true gradient."""

from dataclasses import replace

import pytest
import torch
from rendering.scenes import random_cameras

from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.losses import pearson_depth_loss
from diff4splat.rendering import render_field
from diff4splat.training import RefinementRates, random_field, refine

ATTRIBUTES = ("means", "quaternions", "scales", "opacities", "harmonics")
DELTAS = ("delta_means", "delta_quaternions", "delta_scales")
STILL = dict.fromkeys((*ATTRIBUTES, *DELTAS), 0.0)
FRAMES, HEIGHT, WIDTH, COUNT = 5, 19, 23, 47


def moving_field(*, coefficients=1, dtype=torch.float32, scale_space="log", seed=0):
    """A cloud around (0, 0, 4) that drifts, all of it visible."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    means = normal(COUNT, 3) * torch.tensor([0.9, 0.7, 0.4], dtype=torch.float64)
    means[:, 2] += 4
    colors = rgb_to_harmonics(torch.rand(COUNT, 1, 3, generator=generator, dtype=torch.float64))
    harmonics = torch.cat((colors, 0.1 * normal(COUNT, coefficients - 1, 3)), dim=1)
    canonical = Gaussians(
        means, normal(COUNT, 4), 0.25 * (0.3 * normal(COUNT, 3)).exp(), normal(COUNT).sigmoid(), harmonics
    )
    times = torch.linspace(0, 1, FRAMES)
    turns = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64) + 0.05 * normal(FRAMES, COUNT, 4)
    turns = turns / turns.norm(dim=-1, keepdim=True)
    moves = times[:, None, None].double() * 0.3 * normal(COUNT, 3)
    stretch = 0.02 * normal(FRAMES, COUNT, 3)
    field = DeformableGaussianField(canonical, times, moves, turns, stretch, scale_space, {"name": "cloud"})
    return field.to(dtype=dtype)


def seen(field):
    """Cameras, and what they see of a field."""
    cameras = random_cameras(FRAMES, HEIGHT, WIDTH, dtype=field.dtype)
    with torch.no_grad():
        view = render_field(field, cameras, field.times)
    return cameras, view.color.clamp(0, 1), view.depth[:, 0]


def tensors(field):
    return [getattr(field.canonical, n) for n in ATTRIBUTES] + [getattr(field, n) for n in DELTAS]


def psnr(field, video, cameras):
    return float(-10 * (render_field(field, cameras, field.times).color - video).square().mean().log10())


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def displaced(field, by=0.1):
    offset = by * torch.randn(field.canonical.means.shape, generator=draws(1)).to(field.canonical.means)
    return replace(field, canonical=replace(field.canonical, means=field.canonical.means + offset))


def test_fits_a_field_to_its_video() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    start = random_field(video, cameras, num_gaussians=2 * COUNT, near=3.0, far=5.0, generator=draws())
    fitted = refine(start, video, cameras, steps=60, generator=draws())
    assert psnr(fitted, video, cameras) > psnr(start, video, cameras) + 8


def test_displaced_means_move_back() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    start = displaced(truth)
    only_means = RefinementRates(**{**STILL, "means": 3e-3})
    fitted = refine(start, video, cameras, steps=80, rates=only_means, generator=draws())

    def distance(field):
        return float((field.canonical.means - truth.canonical.means)[:, :2].norm())

    assert distance(fitted) < 0.6 * distance(start)


def test_inputs_are_untouched_and_results_carry_no_gradient() -> None:
    truth = moving_field(coefficients=4)
    cameras, video, depth = seen(truth)
    start = displaced(truth)
    start.delta_means.requires_grad_()
    inputs = [*tensors(start), start.times, video, depth, cameras.camera_to_world, cameras.intrinsics]
    before = [v.detach().clone() for v in inputs]
    with torch.no_grad():
        fitted = refine(start, video, cameras, depth=depth, steps=3, generator=draws())
    assert all(torch.equal(v, w) for v, w in zip(inputs, before, strict=True))
    assert start.delta_means.grad is None
    assert not any(v.requires_grad for v in tensors(fitted))
    changed = [not torch.equal(v, w) for v, w in zip(tensors(fitted), tensors(start), strict=True)]
    assert all(changed)
    assert fitted.metadata == {"name": "cloud"} and torch.equal(fitted.times, start.times)


def test_same_draws_give_the_same_bits() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    start = displaced(truth)
    first, second, other = (
        refine(start, video, cameras, steps=4, frames_per_step=2, generator=draws(seed)) for seed in (3, 3, 4)
    )
    assert all(torch.equal(v, w) for v, w in zip(tensors(first), tensors(second), strict=True))
    assert not torch.equal(first.canonical.means, other.canonical.means)


@pytest.mark.parametrize("frozen", [*ATTRIBUTES, *DELTAS])
def test_rate_zero_leaves_an_attribute_as_it_is(frozen: str) -> None:
    truth = moving_field(coefficients=4)
    cameras, video, _ = seen(truth)
    start = displaced(truth)
    fitted = refine(start, video, cameras, steps=2, rates=RefinementRates(**{frozen: 0.0}), generator=draws())
    for name, before, after in zip((*ATTRIBUTES, *DELTAS), tensors(start), tensors(fitted), strict=True):
        assert torch.equal(before, after) == (name == frozen), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_type_and_scale_space_are_kept(dtype: torch.dtype, scale_space: str) -> None:
    truth = moving_field(dtype=dtype, scale_space=scale_space)
    cameras, video, _ = seen(truth)
    fitted = refine(displaced(truth), video, cameras, steps=2, generator=draws())
    assert fitted.dtype == dtype and fitted.scale_space == scale_space
    assert all(v.dtype == dtype for v in tensors(fitted))
    fitted.validate()


def test_a_step_follows_the_gradient_of_the_reference() -> None:
    """Adam's first step is the rate times the sign; the sign is that of float64 through plain torch."""
    truth = moving_field(dtype=torch.float64, coefficients=4)
    cameras, video, depth = seen(truth)
    start = displaced(truth)
    rate = 1e-3
    rates = RefinementRates(**{name: rate for name in STILL}, final=1.0)
    fitted = refine(
        start, video, cameras, depth=depth, depth_weight=0.3, steps=1, frames_per_step=FRAMES, rates=rates
    )

    moved = start.detach()
    extent = (moved.canonical.means - cameras.positions.mean(0)).norm(dim=-1).median()
    leaves = {
        "means": moved.canonical.means,
        "scales": moved.canonical.scales.log(),
        "opacities": moved.canonical.opacities.logit(),
        "harmonics": moved.canonical.harmonics,
        "delta_means": moved.delta_means,
        "delta_scales": moved.delta_scales,
    }
    leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}
    canonical = replace(
        moved.canonical,
        means=leaves["means"],
        scales=leaves["scales"].exp(),
        opacities=leaves["opacities"].sigmoid(),
        harmonics=leaves["harmonics"],
    )
    field = replace(
        moved, canonical=canonical, delta_means=leaves["delta_means"], delta_scales=leaves["delta_scales"]
    )
    view = render_field(field, cameras, field.times, backend="reference")
    known = depth > 0
    loss = (view.color - video).square().mean()
    (loss + 0.3 * pearson_depth_loss(view.depth[:, 0], depth, mask=known).mean()).backward()

    results = {
        "means": (fitted.canonical.means - leaves["means"]) / extent,
        "scales": fitted.canonical.scales.log() - leaves["scales"],
        "opacities": fitted.canonical.opacities.logit() - leaves["opacities"],
        "harmonics": (fitted.canonical.harmonics - leaves["harmonics"])
        * torch.tensor([1.0, 20, 20, 20])[:, None],
        "delta_means": (fitted.delta_means - leaves["delta_means"]) / extent,
        "delta_scales": fitted.delta_scales - leaves["delta_scales"],
    }
    for name, step in results.items():
        slope = leaves[name].grad
        clear = slope.abs() > 1e-3 * slope.abs().max()  # the renderer is float32: smaller signs may differ
        assert clear.sum() > COUNT / 2, name
        # Adam divides a slope by its own size.
        torch.testing.assert_close(
            step.detach()[clear], -rate * slope.sign()[clear], rtol=1e-4, atol=1e-9, msg=name
        )


def test_rates_of_places_fall_and_callback_sees_every_step() -> None:
    truth = moving_field()
    cameras, video, depth = seen(truth)
    told = []
    refine(
        displaced(truth),
        video,
        cameras,
        depth=depth,
        depth_weight=0.5,
        steps=7,
        generator=draws(),
        callback=lambda step, losses: told.append((step, dict(losses))),
    )
    assert [step for step, _ in told] == list(range(1, 8))
    for _, losses in told:
        assert set(losses) == {"photometric", "depth", "total"}
        expected = losses["photometric"] + 0.5 * losses["depth"]
        assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_unknown_depth_does_not_count() -> None:
    truth = moving_field()
    cameras, video, depth = seen(truth)
    holes = torch.where(torch.rand(depth.shape, generator=draws()) < 0.3, torch.nan, depth)
    start = displaced(truth)
    fitted = [
        refine(start, video, cameras, depth=known, steps=3, generator=draws())
        for known in (holes, holes.nan_to_num(-1.0))
    ]
    assert all(torch.equal(v, w) for v, w in zip(*map(tensors, fitted), strict=True))


def test_no_steps_give_the_field() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    same = refine(truth, video, cameras, steps=0)
    assert all(torch.equal(v, w) for v, w in zip(tensors(same), tensors(truth), strict=True))


def test_opaque_and_invisible_gaussians_stay_finite() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    extreme = truth.canonical.opacities.clone()
    extreme[:7], extreme[7:13] = 1.0, 0.0
    start = replace(truth, canonical=replace(truth.canonical, opacities=extreme))
    refine(start, video, cameras, steps=3, generator=draws()).validate()


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"video": torch.zeros(4, 3, HEIGHT, WIDTH)}, r"video must have shape \[5, 3, 19, 23\].*\[4, 3"),
        ({"video": torch.full((5, 3, HEIGHT, WIDTH), 2.0)}, r"video must lie in \[0, 1\]"),
        ({"video": torch.full((5, 3, HEIGHT, WIDTH), torch.nan)}, r"video must lie in \[0, 1\]"),
        ({"depth": torch.ones(5, HEIGHT, 7)}, r"depth must have shape \[5, 19, 23\]"),
        ({"times": torch.zeros(3)}, r"times must have one entry per frame \(5\), got shape \[3\]"),
        ({"times": torch.full((5,), 1.5)}, r"times must lie in \[0, 1\]"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"frames_per_step": 0}, "frames_per_step must be at least 1, got 0"),
        ({"depth_weight": -1.0}, "depth_weight must be finite and >= 0"),
        ({"rates": RefinementRates(**STILL)}, "rates must hold at least one rate above 0"),
        (
            {"photometric": lambda image, _: image.mean() * torch.nan},
            "loss must be finite, got nan at step 1",
        ),
    ],
)
def test_errors(change: dict, words: str) -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    arguments = {"video": video, "steps": 2, **change}
    with pytest.raises(ValueError, match=words):
        refine(truth, cameras=cameras, **arguments)


def test_batches_integers_and_empty_fields_are_refused() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    with pytest.raises(ValueError, match=r"no batch axes.*got \[1\]"):
        refine(truth.batch(None), video, cameras)
    with pytest.raises(ValueError, match="at least one Gaussian"):
        refine(truth.select([]), video, cameras)


@pytest.mark.usefixtures("without_shape_checker")
def test_integers_are_refused() -> None:
    truth = moving_field()
    cameras, video, _ = seen(truth)
    with pytest.raises(TypeError, match="video must be floating point, got torch.uint8"):
        refine(truth, (255 * video).byte(), cameras)


@pytest.mark.parametrize("rates", [{"means": -1.0}, {"scales": float("nan")}, {"final": 0.0}])
def test_rates_out_of_range(rates: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(rates))} must"):
        RefinementRates(**rates)
