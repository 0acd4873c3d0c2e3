"""Samples with a scheduler object of diffusers, guided and watched as `euler_sample` is.

Needs no diffusers by itself: a scheduler is any object that steps as theirs do.
"""

import copy
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion import Guidance, SampleStep

__all__ = ["cache_context", "denoise", "reset_cache"]


def denoise(
    predict: Callable[[Tensor, Tensor, bool], Tensor],
    noise: Float[Tensor, " batch *event"],
    scheduler: Any,
    *,
    num_steps: int,
    guidance: Guidance | None = None,
    generator: torch.Generator | None = None,
    hold: Callable[[Tensor], Tensor] | None = None,
    visible: Callable[[Tensor], Tensor] | None = None,
    callback: Callable[[SampleStep], Tensor | None] | None = None,
) -> Float[Tensor, " batch *event"]:
    r"""Clean sample from noise along the steps of a scheduler of diffusers.

    With `ConstantGuidance` it is the loop of the pipelines there, except that the two passes of a step are
    made one after the other and the unconditional one only where `guidance.needs_unconditional` asks for it,
    and that sample, guidance and step are in float32 whatever the network computes in.

    The clean sample of `SampleStep` follows from the prediction $v$ at the sample $z$:

    $$\hat x = z - \sigma v \ \text{(flow)}, \qquad \hat x = \sqrt{1 - \sigma^2} \, z - \sigma v
      \ \text{(v-prediction)},$$

    with $\sigma$ = `SampleStep.time`, the noise level. Source: Salimans and Ho, "Progressive Distillation for
    Fast Sampling of Diffusion Models", Appendix D, for the second.

    Args:
        predict: Network as `predict(latents, timestep, conditional)`: `latents` is float32, `timestep` one
            number of the scheduler per batch element, and `conditional` says whether to use the prompt. Its
            result is of the scheduler's prediction type; the conditional pass is the first of a step.
        noise: Standard normal draw.
        scheduler: Scheduler of diffusers that predicts a flow or v, such as `UniPCMultistepScheduler` with
            flow sigmas, `FlowMatchEulerDiscreteScheduler` or the two of CogVideoX. A copy is stepped, so one
            object serves any number of calls.
        num_steps: Number of steps; a scheduler of higher order may make more of it.
        guidance: Guidance schedule; conditional passes alone when omitted.
        generator: For schedulers that draw noise at each step.
        hold: Puts known values into a sample, for instance a clean first frame; applied to the noise and
            after each step.
        visible: View of the part of a sample that the callback is shown and may replace; all of it when
            omitted.
        callback: Called after each step, see `diff4splat.diffusion.SampleStep`. A tensor it returns replaces
            the sample; what a multistep scheduler remembers of the steps before is then forgotten.

    Returns:
        The sample after the last step, in float32.

    Raises:
        TypeError: If `guidance` is none.
        ValueError: If `num_steps` < 1, the scheduler predicts neither a flow nor v, or the network or
            callback changes the shape.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
    if guidance is not None and (isinstance(guidance, type) or not isinstance(guidance, Guidance)):
        raise TypeError(f"guidance must be a guidance such as ConstantGuidance(6.0), got {guidance!r}.")
    kind = _prediction_kind(scheduler)
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(num_steps, device=noise.device)
    timesteps = scheduler.timesteps
    levels = _noise_levels(scheduler)
    num_steps = len(timesteps)
    step_once = _stepper(scheduler, generator)
    latents = noise.float() * getattr(scheduler, "init_noise_sigma", 1.0)
    latents = latents if hold is None else hold(latents)
    passes = 0
    for step, timestep in enumerate(timesteps):
        each = timestep.expand(len(latents))
        prediction = _same_shape(predict(latents, each, True), noise, "predict").float()
        passes += 1
        scale = 1.0
        if guidance is not None and guidance.needs_unconditional(step, num_steps):
            scale = guidance.scale(step, num_steps)
            unconditional = _same_shape(predict(latents, each, False), noise, "predict").float()
            prediction = guidance.combine(prediction, unconditional, scale)
            passes += 1
        before = latents
        latents = step_once(prediction, step, latents)
        latents = latents if hold is None else hold(latents)
        if callback is None:
            continue
        time, next_time = levels[step], levels[step + 1]
        clean = (1.0 if kind == "flow" else (1 - time**2) ** 0.5) * before - time * prediction
        clean = clean if hold is None else hold(clean)
        shown = [part if visible is None else visible(part) for part in (latents, prediction, clean)]
        replacement = callback(SampleStep(step, num_steps, time, next_time, scale, passes, *shown))
        if replacement is not None:
            latents = latents.clone()
            view = latents if visible is None else visible(latents)
            view.copy_(_same_shape(replacement, view, "callback"))
            step_once = _stepper(scheduler, generator)
            scheduler.last_sample = None  # the corrector of UniPC would undo the replacement
            scheduler.lower_order_nums = 0  # multistep solvers start again at first order
    return latents


def cache_context(model: Any, conditional: bool) -> AbstractContextManager[Any]:
    """Context that one pass of a transformer of diffusers needs where feature caching is on.

    Args:
        model: Transformer; one that knows no caches gets a context that does nothing.
        conditional: Which of the two passes of a step it is; each has features of its own.

    Returns:
        The context; call the transformer inside.
    """
    if not hasattr(model, "cache_context"):
        return nullcontext()
    return model.cache_context("cond" if conditional else "uncond")


def reset_cache(model: Any) -> None:
    """Forget what feature caching kept of a sampling run, as the pipelines of diffusers do after each.

    Args:
        model: Transformer; nothing happens to one that knows no caches.
    """
    if hasattr(model, "_reset_stateful_cache"):
        model._reset_stateful_cache()


def _prediction_kind(scheduler: Any) -> str:
    """What the scheduler predicts: "flow" or "v"."""
    config = getattr(scheduler, "config", {})
    predicts = config.get("prediction_type", "flow_prediction")
    if predicts not in ("flow_prediction", "v_prediction"):
        raise ValueError(
            f"scheduler must predict a flow or v, got prediction_type={predicts!r} of "
            f"{type(scheduler).__name__}."
        )
    return "flow" if predicts == "flow_prediction" else "v"


def _noise_levels(scheduler: Any) -> list[float]:
    """Standard deviation of the noise at each timestep, and after the last."""
    if _prediction_kind(scheduler) == "flow":
        return [float(sigma) for sigma in scheduler.sigmas]
    alphas = scheduler.alphas_cumprod
    timesteps = [int(timestep) for timestep in scheduler.timesteps]
    end = timesteps[-1] - len(alphas) // len(timesteps)  # where the last step of diffusers' schedulers ends
    kept = [alphas[timestep] for timestep in timesteps]
    kept.append(alphas[end] if end >= 0 else scheduler.final_alpha_cumprod)
    return [max(1 - float(value), 0.0) ** 0.5 for value in kept]


def _stepper(scheduler: Any, generator: torch.Generator | None) -> Callable[[Tensor, int, Tensor], Tensor]:
    """`scheduler.step` as `step(prediction, index, sample)`; that of CogVideoX's DPM remembers."""
    accepted = inspect.signature(scheduler.step).parameters
    options: dict[str, Any] = {"return_dict": False}
    if "generator" in accepted:
        options["generator"] = generator
    if "old_pred_original_sample" not in accepted:
        return lambda prediction, index, sample: scheduler.step(
            prediction, scheduler.timesteps[index], sample, **options
        )[0]
    remembered: Tensor | None = None

    def step(prediction: Tensor, index: int, sample: Tensor) -> Tensor:
        nonlocal remembered
        last = None if remembered is None else scheduler.timesteps[index - 1]
        sample, remembered = scheduler.step(
            prediction, remembered, scheduler.timesteps[index], last, sample, **options
        )
        return sample

    return step


def _same_shape(value: object, like: Tensor, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a tensor, got {type(value).__name__}.")
    if value.shape != like.shape:
        raise ValueError(f"{name} must keep the shape {tuple(like.shape)}, got {tuple(value.shape)}.")
    return value
