"""Samples from a predicted velocity: Euler steps from noise at time 1 to data at time 0."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion.flow_matching import check_floating, check_output, shifted_times
from diff4splat.diffusion.guidance import Guidance
from diff4splat.diffusion.guidance.guidance import check_guidance

__all__ = ["SampleStep", "euler_sample", "euler_step"]


def euler_step(
    latents: Float[Tensor, "*shape"],
    velocity: Float[Tensor, "*shape"],
    time: float | Float[Tensor, ""],
    next_time: float | Float[Tensor, ""],
) -> Float[Tensor, "*shape"]:
    r"""One step along the flow: $z_{t'} = z_t + (t' - t) \, v$.

    Args:
        latents: Sample at `time`.
        velocity: Predicted velocity at `time`.
        time: Current time, in [0, 1].
        next_time: Time after the step; below `time` when sampling.

    Returns:
        Sample at `next_time`.
    """
    return latents + (next_time - time) * velocity


@dataclass(frozen=True)
class SampleStep:
    """State of the sampler after one step, as its callback receives it.

    Args:
        step: Index of the step that was just made, from 0.
        num_steps: Number of steps in all.
        time: Time before the step: the noise level, 1 for pure noise.
        next_time: Time after the step; 0 after the last one.
        scale: Guidance scale in use; 1 when the unconditional pass was skipped.
        num_passes: Calls of `velocity` made so far, conditional and unconditional.
        latents: Sample at `next_time`.
        velocity: Guided prediction that made the step: noise minus data for flow matching; what the network
            predicts, for a network trained otherwise.
        clean: Clean sample that the prediction points to, whatever its kind; good for previews.
    """

    step: int
    num_steps: int
    time: float
    next_time: float
    scale: float
    num_passes: int
    latents: Tensor
    velocity: Tensor
    clean: Tensor


def euler_sample(
    velocity: Callable[[Tensor, Tensor, bool], Tensor],
    noise: Float[Tensor, " batch *event"],
    *,
    num_steps: int,
    shift: float = 1.0,
    guidance: Guidance | None = None,
    callback: Callable[[SampleStep], Tensor | None] | None = None,
) -> Float[Tensor, " batch *event"]:
    """Clean sample from noise by Euler steps along a predicted velocity.

    Exact, up to rounding, for every number of steps where the velocity is that of a straight path. The
    running sample is kept in float32 or wider, whatever the network computes in.

    Args:
        velocity: Network as `velocity(latents, time, conditional)`; `latents` has the type of `noise`, `time`
            is one value per batch element, and `conditional` says whether to use the condition; that pass is
            the first of a step.
        noise: Standard normal draw; its type and device are those of the result.
        num_steps: Number of steps.
        shift: Time shift, see `shifted_times`.
        guidance: Guidance schedule; conditional passes alone when omitted. The unconditional pass is made
            only where `guidance.needs_unconditional` asks for it.
        callback: Called after each step; a tensor it returns replaces the sample, which is how a known first
            frame is held in place.

    Returns:
        Sample at time 0. Differentiable; wrap the call in `torch.no_grad()` for plain sampling.

    Raises:
        TypeError: If the network or callback gives no tensor, `guidance` is none, or `noise` is not floating
            point.
        ValueError: If `num_steps` or `shift` is out of range, or the network or callback changes the shape.
    """
    check_floating("noise", noise)
    if guidance is not None:
        check_guidance(guidance)
    times = shifted_times(num_steps, shift, device="cpu", dtype=torch.float64).tolist()
    latents = noise.to(torch.promote_types(noise.dtype, torch.float32))
    passes = 0
    for step, (time, next_time) in enumerate(zip(times[:-1], times[1:], strict=True)):
        inputs = latents.to(noise.dtype)
        batch_time = torch.full((noise.shape[0],), time, device=noise.device, dtype=latents.dtype)
        prediction = check_output(velocity(inputs, batch_time, True), noise, "velocity").to(latents.dtype)
        passes += 1
        scale = 1.0
        if guidance is not None and guidance.needs_unconditional(step, num_steps):
            scale = guidance.scale(step, num_steps)
            unconditional = check_output(velocity(inputs, batch_time, False), noise, "velocity")
            prediction = guidance.combine(prediction, unconditional.to(latents.dtype), scale)
            passes += 1
        before, latents = latents, euler_step(latents, prediction, time, next_time)
        if callback is not None:
            clean = euler_step(before, prediction, time, 0.0)
            state = SampleStep(step, num_steps, time, next_time, scale, passes, latents, prediction, clean)
            replacement = callback(state)
            if replacement is not None:
                latents = check_output(replacement, noise, "callback").to(latents.dtype)
    return latents.to(noise.dtype)
