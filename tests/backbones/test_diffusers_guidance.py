"""The guider inside diffusers' own loop of preparing inputs, predicting and combining."""

import sys

import pytest
import torch

from diff4splat.backbones import diffusers_guider
from diff4splat.diffusion import AdaptiveProjectedGuidance, ConstantGuidance, CosineGuidance, guide

NUM_STEPS = 30


def predict(condition: torch.Tensor) -> torch.Tensor:
    return condition.sin()


def run(guider, prompt: torch.Tensor, negative: torch.Tensor) -> tuple[list[torch.Tensor], int]:
    """Predictions of all steps, and how often the network ran."""
    predictions, passes = [], 0
    for step in range(NUM_STEPS):
        guider.set_state(step=step, num_inference_steps=NUM_STEPS, timestep=torch.tensor([999 - step]))
        batches = guider.prepare_inputs({"prompt": (prompt, negative)})
        for batch in batches:
            guider.prepare_models(torch.nn.Identity())
            batch.noise_pred = predict(batch.prompt)
            passes += 1
        predictions.append(guider(batches).pred)
    return predictions, passes


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 7, generator=generator), torch.randn(2, 7, generator=generator)


def test_cosine_schedule_guides_each_step_and_saves_14_passes_of_60(inputs) -> None:
    guidance = CosineGuidance()
    predictions, passes = run(diffusers_guider(guidance), *inputs)
    assert passes == 60 - 14
    for step, prediction in enumerate(predictions):
        scale = guidance.scale(step, NUM_STEPS) if guidance.needs_unconditional(step, NUM_STEPS) else 1.0
        torch.testing.assert_close(prediction, guide(predict(inputs[0]), predict(inputs[1]), scale))


def test_constant_scale_is_that_of_diffusers_itself(inputs) -> None:
    from diffusers.guiders.classifier_free_guidance import ClassifierFreeGuidance

    ours, passes = run(diffusers_guider(ConstantGuidance(4.5)), *inputs)
    theirs, their_passes = run(ClassifierFreeGuidance(guidance_scale=4.5), *inputs)
    assert passes == their_passes == 60
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right)


def test_combination_is_that_of_the_guidance(inputs) -> None:
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.5))
    predictions, _ = run(diffusers_guider(guidance), *inputs)
    expected = guidance.combine(predict(inputs[0]), predict(inputs[1]), 4.5)
    torch.testing.assert_close(predictions[0], expected)
    assert not torch.allclose(expected, guide(predict(inputs[0]), predict(inputs[1]), 4.5))


def test_a_disabled_guider_runs_conditional_passes_alone(inputs) -> None:
    guider = diffusers_guider(CosineGuidance())
    guider.disable()
    predictions, passes = run(guider, *inputs)
    assert passes == NUM_STEPS
    torch.testing.assert_close(predictions[0], predict(inputs[0]))


def test_both_inputs_are_announced_before_the_first_step() -> None:
    assert diffusers_guider(CosineGuidance()).num_conditions == 2


def test_a_new_guider_follows_the_same_guidance(inputs) -> None:
    guider = diffusers_guider(CosineGuidance())
    again = guider.new()
    assert again is not guider
    assert run(again, *inputs)[1] == 46
    with pytest.raises(ValueError, match="got guidance_scale: make another guidance"):
        guider.new(guidance_scale=3.0)


def test_without_diffusers_the_error_says_what_to_install(monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "diffusers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'diff4splat\[diffusers\]'"):
        diffusers_guider(CosineGuidance())
