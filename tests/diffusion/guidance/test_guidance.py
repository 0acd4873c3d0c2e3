"""What every guidance has to do; any schedule with any combination."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from reference import diffusion_guidance as reference

from diff4splat.diffusion import (
    AdaptiveProjectedGuidance,
    ConstantGuidance,
    CosineGuidance,
    Guidance,
    GuidanceSchedule,
    GuidanceWrapper,
    IntervalGuidance,
    ZeroStarGuidance,
    euler_sample,
    guide,
    network_passes,
)


@dataclass(frozen=True)
class LinearGuidance(GuidanceSchedule):
    """A user's schedule: falls evenly from 1 + `maximum`."""

    maximum: float = 6.0
    skip_below: float = 3.1

    def scale(self, step: int, num_steps: int) -> float:
        return 1 + self.maximum * (1 - step / num_steps)


@dataclass(frozen=True)
class HalvedGuidance(GuidanceWrapper):
    """A user's combination: half the update."""

    def combine(self, conditional: torch.Tensor, unconditional: torch.Tensor, scale: float) -> torch.Tensor:
        return (conditional + self.guidance.combine(conditional, unconditional, scale)) / 2


class OwnGuidance:
    """A user's guidance that inherits nothing: full scale in even steps."""

    def scale(self, step: int, num_steps: int) -> float:
        return 5.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        return step % 2 == 0

    def combine(self, conditional: torch.Tensor, unconditional: torch.Tensor, scale: float) -> torch.Tensor:
        return guide(conditional, unconditional, scale)


# How many of 30 steps each guides, counted by hand.
SCHEDULES: dict[Guidance, int] = {
    ConstantGuidance(3.0): 30,
    ConstantGuidance(1.0): 0,
    CosineGuidance(): 16,
    CosineGuidance(skip_below=1.0): 30,
    LinearGuidance(): 20,
    IntervalGuidance(ConstantGuidance(3.0), 0.2, 0.8): 18,
    IntervalGuidance(CosineGuidance(), 0.1, 0.8): 13,
    IntervalGuidance(LinearGuidance(), 0.5, 1.0): 5,
    IntervalGuidance(IntervalGuidance(CosineGuidance(), 0.1, 1.0), 0.0, 0.2): 3,
    OwnGuidance(): 15,
}

Loop = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def projected(conditional: np.ndarray, unconditional: np.ndarray, scale: float) -> np.ndarray:
    return reference.adaptive_projected(conditional, unconditional, scale, 0.5, 1.5)


# A combination of combinations: what one makes of the unconditional prediction (its result at scale 0), the
# other receives.
COMBINATIONS: dict[str, tuple[Callable[[Guidance], Guidance], Loop]] = {
    "plain": (lambda guidance: guidance, reference.guide),
    "zero star": (ZeroStarGuidance, reference.zero_star),
    "projected": (lambda guidance: AdaptiveProjectedGuidance(guidance, 0.5, 1.5), projected),
    "projected in zero star": (
        lambda guidance: ZeroStarGuidance(AdaptiveProjectedGuidance(guidance, 0.5, 1.5)),
        lambda c, u, scale: projected(c, reference.zero_star(c, u, 0.0), scale),
    ),
    "zero star in projected": (
        lambda guidance: AdaptiveProjectedGuidance(ZeroStarGuidance(guidance), 0.5, 1.5),
        lambda c, u, scale: reference.zero_star(c, projected(c, u, 0.0), scale),
    ),
    "zero star in an interval": (
        lambda guidance: IntervalGuidance(ZeroStarGuidance(guidance)),
        reference.zero_star,
    ),
    "a user's own": (HalvedGuidance, lambda c, u, scale: (c + reference.guide(c, u, scale)) / 2),
}

OURS = [
    ConstantGuidance(3.0),
    CosineGuidance(),
    IntervalGuidance(CosineGuidance(), 0.2, 0.8),
    ZeroStarGuidance(ConstantGuidance(3.0)),
    AdaptiveProjectedGuidance(IntervalGuidance(ConstantGuidance(3.0)), parallel=0.5, norm_limit=1.5),
]
BY_NAME = pytest.mark.parametrize("guidance", OURS, ids=lambda guidance: type(guidance).__name__)
ANY_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
ANY_COMBINATION = pytest.mark.parametrize(("wrap", "loop"), COMBINATIONS.values(), ids=COMBINATIONS)


@ANY_SCHEDULE
@ANY_COMBINATION
def test_any_schedule_goes_with_any_combination(schedule, wrap, loop, predictions) -> None:
    guidance = wrap(schedule)
    assert isinstance(guidance, Guidance)
    for step in (0, 4, 7, 12, 29):
        assert guidance.scale(step, 30) == schedule.scale(step, 30)
        assert guidance.needs_unconditional(step, 30) is schedule.needs_unconditional(step, 30)
    conditional, unconditional = (value.numpy() for value in predictions)
    result = guidance.combine(*predictions, 4.0)
    np.testing.assert_allclose(result.numpy(), loop(conditional, unconditional, 4.0), atol=1e-12)


@ANY_SCHEDULE
@ANY_COMBINATION
def test_sampler_runs_the_network_as_often_as_counted(schedule, wrap, loop) -> None:
    calls: list[bool] = []

    def velocity(latents: torch.Tensor, time: torch.Tensor, conditional: bool) -> torch.Tensor:
        calls.append(conditional)
        return latents

    euler_sample(velocity, torch.ones(2, 3), num_steps=30, guidance=wrap(schedule))
    assert (calls.count(True), calls.count(False)) == (30, SCHEDULES[schedule])
    assert network_passes(wrap(schedule), 30) == len(calls)


def test_the_paper_s_guidance_saves_14_of_60_passes() -> None:
    assert network_passes(CosineGuidance(skip_below=1.0), 30) == 60
    assert network_passes(CosineGuidance(), 30) == 60 - 14
    assert network_passes(None, 30) == 30


def test_a_schedule_below_one_is_not_skipped() -> None:
    """A scale of 0.5 weakens the condition, which is no reason to save the pass that does so."""

    @dataclass(frozen=True)
    class WeakGuidance(GuidanceSchedule):
        skip_below: float = 2.0

        def scale(self, step: int, num_steps: int) -> float:
            return [0.5, 1.0, 1.5, 2.0][step]

    guidance = WeakGuidance()
    assert [guidance.needs_unconditional(step, 4) for step in range(4)] == [True, False, False, True]


@BY_NAME
def test_scale_one_returns_the_conditional_prediction_to_the_last_bit(guidance, predictions) -> None:
    # float32 values for which u + 1 * (c - u) is not c
    conditional, unconditional = predictions[0].float(), predictions[1].float() * 1e4
    assert not torch.equal(unconditional + (conditional - unconditional), conditional)
    assert torch.equal(guidance.combine(conditional, unconditional, 1.0), conditional)


@BY_NAME
def test_equal_predictions_are_left_alone(guidance, predictions) -> None:
    conditional, _ = predictions
    result = guidance.combine(conditional, conditional.clone(), 5.0)
    torch.testing.assert_close(result, conditional, atol=1e-12, rtol=0)


@BY_NAME
def test_samples_do_not_mix(guidance, predictions) -> None:
    conditional, unconditional = predictions
    whole = guidance.combine(conditional, unconditional, 4.0)
    alone = guidance.combine(conditional[1:], unconditional[1:], 4.0)
    torch.testing.assert_close(whole[1:], alone, atol=1e-14, rtol=0)


@BY_NAME
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_type_is_kept(guidance, dtype, predictions) -> None:
    conditional, unconditional = (value.to(dtype) for value in predictions)
    assert guidance.combine(conditional, unconditional, 4.0).dtype == dtype


@BY_NAME
def test_gradient(guidance, predictions) -> None:
    pair = [value[:, :1, :2, :2].clone().requires_grad_() for value in predictions]
    assert torch.autograd.gradcheck(lambda c, u: guidance.combine(c, u, 3.0), pair)


@pytest.mark.parametrize("scale", [0.0, 0.5, 7.5])
def test_guide_matches_reference(scale, predictions) -> None:
    expected = reference.guide(*(value.numpy() for value in predictions), scale)
    np.testing.assert_allclose(guide(*predictions, scale).numpy(), expected, atol=1e-13)


def test_gradient_of_guide_is_the_scale(predictions) -> None:
    pair = [value.clone().requires_grad_() for value in predictions]
    guide(*pair, 4.0).sum().backward()
    assert torch.all(pair[0].grad == 4.0)
    assert torch.all(pair[1].grad == -3.0)


@BY_NAME
def test_guidance_is_a_value(guidance) -> None:
    assert pickle.loads(pickle.dumps(guidance)) == guidance == eval(repr(guidance), globals())
    assert hash(replace(guidance)) == hash(guidance)
    others = [other for other in OURS if other is not guidance]
    assert guidance not in others


@BY_NAME
@pytest.mark.parametrize(("step", "num_steps"), [(30, 30), (-1, 30), (0, 0)])
def test_steps_that_do_not_exist_are_refused(guidance, step, num_steps) -> None:
    message = rf"step must be in \[0, 30\), got {step}" if num_steps else "num_steps must be >= 1, got 0"
    for method in (guidance.scale, guidance.needs_unconditional):
        with pytest.raises(ValueError, match=message):
            method(step, num_steps)


def test_no_steps_have_no_passes() -> None:
    with pytest.raises(ValueError, match="num_steps must be >= 1, got 0"):
        network_passes(None, 0)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("wrap", [IntervalGuidance, ZeroStarGuidance, AdaptiveProjectedGuidance])
def test_a_number_is_no_guidance(wrap) -> None:
    message = r"guidance must be a guidance such as ConstantGuidance\(7.5\), got float"
    with pytest.raises(TypeError, match=message):
        wrap(3.0)


def test_a_schedule_without_scale_cannot_be_made() -> None:
    class Unfinished(GuidanceSchedule):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("guidance, got", [(7.5, "float"), (CosineGuidance, "the class CosineGuidance")])
def test_what_is_no_guidance_is_refused_everywhere(guidance, got) -> None:
    message = rf"guidance must be a guidance such as ConstantGuidance\(7.5\), got {got}\."
    with pytest.raises(TypeError, match=message):
        ZeroStarGuidance(guidance)
    with pytest.raises(TypeError, match=message):
        network_passes(guidance, 30)
    with pytest.raises(TypeError, match=message):
        euler_sample(
            lambda sample, time, conditional: sample, torch.zeros(2, 3), num_steps=2, guidance=guidance
        )


@pytest.mark.parametrize("wrap", [ZeroStarGuidance, AdaptiveProjectedGuidance])
def test_a_sample_may_be_one_number(wrap) -> None:
    """Without axes beyond the batch, the unconditional prediction fits and the update is all parallel."""
    conditional, unconditional = torch.tensor([3.0, -2.0]), torch.tensor([1.0, 5.0])
    guided = wrap(ConstantGuidance(4.0)).combine(conditional, unconditional, 4.0)
    torch.testing.assert_close(guided, conditional)
