"""Guidance schedules and combinations against loops in float64."""

import math

import numpy as np
import pytest
import torch
from reference import diffusion_guidance as reference

from diff4splat.diffusion import (
    AdaptiveProjectedGuidance,
    ConstantGuidance,
    CosineGuidance,
    Guidance,
    IntervalGuidance,
    ZeroStarGuidance,
    guide,
)

ALL = [
    ConstantGuidance(3.0),
    CosineGuidance(),
    IntervalGuidance(ConstantGuidance(3.0), 0.2, 0.8),
    ZeroStarGuidance(ConstantGuidance(3.0)),
    AdaptiveProjectedGuidance(ConstantGuidance(3.0)),
    AdaptiveProjectedGuidance(ConstantGuidance(3.0), parallel=0.5, norm_limit=1.5),
]
BY_NAME = pytest.mark.parametrize("guidance", ALL, ids=lambda guidance: type(guidance).__name__)


def predictions(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 5, 7)
    return (
        torch.randn(shape, generator=generator, dtype=dtype),
        torch.randn(shape, generator=generator, dtype=dtype),
    )


def test_cosine_schedule_has_the_published_values() -> None:
    scales = [CosineGuidance().scale(step, 30) for step in range(30)]
    expected = [
        8.50,
        8.06,
        7.03,
        5.80,
        4.62,
        3.61,
        2.82,
        2.23,
        1.80,
        1.51,
        1.32,
        1.19,
        1.11,
        1.06,
        1.03,
        1.02,
        1.01,
    ]
    # half a unit of the second digit, the precision of the list
    np.testing.assert_allclose(scales[:17], expected, atol=0.005)
    assert scales[29] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("num_steps", "maximum", "exponent"), [(30, 7.5, 5.0), (7, 3.0, 2.0), (1, 5.0, 1.0)])
def test_cosine_schedule_matches_reference(num_steps, maximum, exponent) -> None:
    guidance = CosineGuidance(maximum=maximum, exponent=exponent)
    for step in range(num_steps):
        expected = reference.cosine_scale(step, num_steps, maximum, exponent)
        assert guidance.scale(step, num_steps) == pytest.approx(expected, rel=1e-14)


def test_cosine_schedule_falls_from_one_plus_maximum_to_one() -> None:
    scales = [CosineGuidance(maximum=3.0).scale(step, 31) for step in range(31)]
    assert scales[0] == 4.0
    assert all(before > after for before, after in zip(scales[:-1], scales[1:], strict=True))
    assert scales[-1] >= 1


@pytest.mark.parametrize(("skip_below", "skipped"), [(1.01, 14), (1.05, 16), (1.0, 0)])
def test_cosine_schedule_skips_passes(skip_below, skipped) -> None:
    guidance = CosineGuidance(skip_below=skip_below)
    assert [guidance.needs_unconditional(step, 30) for step in range(30)].count(False) == skipped


def test_cosine_schedule_without_maximum_needs_no_second_pass() -> None:
    guidance = CosineGuidance(maximum=0.0, skip_below=1.0)
    assert not any(guidance.needs_unconditional(step, 7) for step in range(7))


def test_constant_schedule() -> None:
    assert ConstantGuidance(2.5).scale(3, 7) == 2.5
    assert ConstantGuidance(2.5).needs_unconditional(3, 7)
    assert ConstantGuidance(0.0).needs_unconditional(3, 7)
    assert not ConstantGuidance(1.0).needs_unconditional(3, 7)


def test_interval_is_half_open() -> None:
    guidance = IntervalGuidance(ConstantGuidance(3.0), start=0.2, stop=0.6)
    assert [guidance.scale(step, 5) for step in range(5)] == [1.0, 3.0, 3.0, 1.0, 1.0]
    assert [guidance.needs_unconditional(step, 5) for step in range(5)] == [False, True, True, False, False]


@BY_NAME
def test_every_guidance_fits_the_protocol(guidance) -> None:
    assert isinstance(guidance, Guidance)


@BY_NAME
def test_scale_one_returns_the_conditional_prediction_to_the_last_bit(guidance) -> None:
    # float32 values for which u + 1 * (c - u) is not c
    conditional, unconditional = predictions(torch.float32)
    unconditional = unconditional * 1e4
    assert not torch.equal(unconditional + (conditional - unconditional), conditional)
    assert torch.equal(guidance.combine(conditional, unconditional, 1.0), conditional)


@BY_NAME
def test_equal_predictions_are_left_alone(guidance) -> None:
    conditional, _ = predictions()
    result = guidance.combine(conditional, conditional.clone(), 5.0)
    torch.testing.assert_close(result, conditional, atol=1e-12, rtol=0)


@BY_NAME
def test_samples_do_not_mix(guidance) -> None:
    conditional, unconditional = predictions()
    whole = guidance.combine(conditional, unconditional, 4.0)
    alone = guidance.combine(conditional[1:], unconditional[1:], 4.0)
    torch.testing.assert_close(whole[1:], alone, atol=1e-14, rtol=0)


@BY_NAME
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_type_is_kept(guidance, dtype) -> None:
    assert guidance.combine(*predictions(dtype), 4.0).dtype == dtype


@BY_NAME
def test_gradient(guidance) -> None:
    pair = [value[:, :1, :2, :2].clone().requires_grad_() for value in predictions()]
    assert torch.autograd.gradcheck(lambda c, u: guidance.combine(c, u, 3.0), pair)


@pytest.mark.parametrize("scale", [0.0, 0.5, 7.5])
def test_guide_matches_reference(scale) -> None:
    conditional, unconditional = predictions()
    expected = reference.guide(conditional.numpy(), unconditional.numpy(), scale)
    np.testing.assert_allclose(guide(conditional, unconditional, scale).numpy(), expected, atol=1e-13)


def test_zero_star_matches_reference() -> None:
    conditional, unconditional = predictions()
    expected = reference.zero_star(conditional.numpy(), unconditional.numpy(), 4.0)
    result = ZeroStarGuidance(ConstantGuidance(4.0)).combine(conditional, unconditional, 4.0)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)


def test_zero_star_ignores_the_length_of_the_unconditional_prediction() -> None:
    conditional, unconditional = predictions()
    guidance = ZeroStarGuidance(ConstantGuidance(4.0))
    torch.testing.assert_close(
        guidance.combine(conditional, 17 * unconditional, 4.0),
        guidance.combine(conditional, unconditional, 4.0),
        atol=1e-11,
        rtol=0,
    )


def test_zero_star_without_unconditional_prediction_is_finite() -> None:
    conditional, unconditional = predictions()
    result = ZeroStarGuidance(ConstantGuidance(4.0)).combine(conditional, 0 * unconditional, 4.0)
    torch.testing.assert_close(result, 4 * conditional)


@pytest.mark.parametrize(("parallel", "norm_limit"), [(0.0, math.inf), (0.3, 2.0), (1.0, 1e6)])
def test_adaptive_projection_matches_reference(parallel, norm_limit) -> None:
    conditional, unconditional = predictions()
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.0), parallel=parallel, norm_limit=norm_limit)
    expected = reference.adaptive_projected(
        conditional.numpy(), unconditional.numpy(), 4.0, parallel, norm_limit
    )
    np.testing.assert_allclose(
        guidance.combine(conditional, unconditional, 4.0).numpy(), expected, atol=1e-12
    )


def test_adaptive_projection_with_everything_kept_is_plain_guidance() -> None:
    conditional, unconditional = predictions()
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.0), parallel=1.0)
    torch.testing.assert_close(
        guidance.combine(conditional, unconditional, 4.0),
        guide(conditional, unconditional, 4.0),
        atol=1e-12,
        rtol=0,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantGuidance(math.nan), "value must be finite, got nan"),
        (lambda: CosineGuidance(maximum=-1.0), "maximum must be finite and >= 0, got -1.0"),
        (lambda: CosineGuidance(exponent=0.0), "exponent must be finite and > 0, got 0.0"),
        (lambda: IntervalGuidance(ConstantGuidance(2.0), 0.7, 0.3), "expected 0 <= start <= stop <= 1"),
        (lambda: AdaptiveProjectedGuidance(ConstantGuidance(2.0), norm_limit=0.0), "norm_limit must be > 0"),
        (lambda: CosineGuidance().scale(30, 30), r"step must be in \[0, 30\), got 30"),
        (lambda: CosineGuidance().scale(-1, 30), r"step must be in \[0, 30\), got -1"),
        (lambda: ConstantGuidance().scale(0, 0), "num_steps must be >= 1, got 0"),
    ],
)
def test_bad_values_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
