"""Flow matching on straight paths: noise levels, their weights, training loss.

Time 0 is clean data and time 1 is noise, so the velocity points from data to noise.
"""

import math
from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "flow_matching_loss",
    "flow_matching_weight",
    "noise_interpolate",
    "sample_times",
    "shifted_times",
    "velocity_target",
]

_Time = TypeVar("_Time", float, Tensor)


def noise_interpolate(
    clean: Float[Tensor, "*shape"], noise: Float[Tensor, "*shape"], time: Float[Tensor, "*batch"]
) -> Float[Tensor, "*shape"]:
    r"""Noisy sample on the straight path between data and noise.

    $$z_t = (1 - t) \, z^{(0)} + t \, z^{(1)}$$

    with $z^{(0)}$ = `clean`, $z^{(1)}$ = `noise`, $t$ = `time`. Source: Diff4Splat, Sec. 3.4.

    Args:
        clean: Data.
        noise: Standard normal draw.
        time: In [0, 1]; its axes are the leading axes of `clean`, and it is constant over the others. So it
            may be one value, one per batch element, or one per batch element and latent frame.

    Returns:
        Sample at `time`, in the type of `clean` whatever that of `time`; exactly `clean` at 0 and `noise` at
        1.

    Raises:
        TypeError: If `clean` is not floating point or `time` no tensor.
        ValueError: If the axes of `time` are not the leading axes of `clean`, or the shapes differ.
    """
    check_floating("clean", clean)
    _check_shape("noise", noise, clean)
    wide = torch.promote_types(clean.dtype, torch.float32)
    time = _align(time, clean, "time").to(wide)
    return ((1 - time) * clean.to(wide) + time * noise.to(wide)).to(clean.dtype)


def velocity_target(
    clean: Float[Tensor, "*shape"], noise: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    r"""Velocity of the straight path, the same at every time: $u = z^{(1)} - z^{(0)}$.

    Source: Diff4Splat, Sec. 3.4 (target in Eq. 2).

    Args:
        clean: Data, $z^{(0)}$.
        noise: Standard normal draw, $z^{(1)}$.

    Returns:
        Derivative of `noise_interpolate` with respect to time.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_shape("noise", noise, clean)
    return noise - clean


def flow_matching_loss(
    prediction: Float[Tensor, " batch *event"],
    clean: Float[Tensor, " batch *event"],
    noise: Float[Tensor, " batch *event"],
    *,
    weight: Float[Tensor, "*leading"] | None = None,
) -> Float[Tensor, " batch"]:
    r"""Weighted squared error of a predicted velocity, per batch element.

    $$\mathcal{L}_{FM} = w(t) \, \lVert v_\theta(z_t, t) - (z^{(1)} - z^{(0)}) \rVert^2$$

    with $v_\theta$ = `prediction`, $z^{(0)}$ = `clean`, $z^{(1)}$ = `noise`, $w$ = `weight`.
    Source: Diff4Splat, Eq. 2. Differs: mean instead of sum over the axes of one sample, so that the value
    does not grow with the resolution.

    Args:
        prediction: Velocity predicted at `noise_interpolate(clean, noise, time)`.
        clean: Data.
        noise: The draw used for the interpolation.
        weight: Not normalised; axes are leading axes of `prediction`. Shape `batch` for $w(t)$; shape
            `batch latent_frame` with zeros leaves out frames that are given, which may then hold anything.

    Returns:
        One value per batch element, not reduced over the batch.

    Raises:
        TypeError: If `prediction` is not floating point or `weight` no tensor.
        ValueError: If the axes of `weight` are not leading axes of `prediction`, or the shapes differ.
    """
    check_floating("prediction", prediction)
    _check_shape("prediction", prediction, clean)
    wide = torch.promote_types(prediction.dtype, torch.float32)
    error = prediction.to(wide) - velocity_target(clean.to(wide), noise.to(wide))
    if weight is None:
        error = error.square()
    else:
        weight = _align(weight, error, "weight").to(wide)
        # Selecting before any product keeps NaN in what is left out from the values and the gradients.
        error = weight * torch.where(weight == 0, 0, error).square()
    loss = error.flatten(1).mean(1) if error.ndim > 1 else error
    return loss.to(prediction.dtype)


def flow_matching_weight(
    time: Float[Tensor, "*batch"],
    *,
    scheme: Literal["uniform", "logit_normal", "cosmap"] | Callable[[Tensor], Tensor] = "uniform",
    mean: float = 0.0,
    std: float = 1.0,
) -> Float[Tensor, "*batch"]:
    r"""Loss weight $w(t)$ of a noise level.

    "uniform" is 1. "logit_normal" is the density of the times that `sample_times` draws under that name, with
    $m$ = `mean` and $\sigma$ = `std`; "cosmap" has its peak at the middle as well and falls less:

    $$w_{ln}(t) = \frac{1}{\sigma \sqrt{2 \pi}\, t (1 - t)}
      \exp\left(-\frac{(\log\frac{t}{1 - t} - m)^2}{2 \sigma^2}\right), \qquad
      w_{cos}(t) = \frac{2}{\pi (1 - 2t + 2t^2)}$$

    All have mean 1 over [0, 1]. Weighting evenly drawn times by a density, or drawing from it, minimises the
    same loss. Source: $w(t)$ of Diff4Splat, Eq. 2 (not specified there); the others from Esser et al.,
    "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis".

    Args:
        time: In [0, 1].
        scheme: Name of the weighting, or a function of `time` that gives one.
        mean: Of "logit_normal"; positive values move the peak towards noise.
        std: Of "logit_normal".

    Returns:
        Weight of each time; 0 at both ends for "logit_normal".

    Raises:
        TypeError: If `scheme` is a function that gives no tensor.
        ValueError: If `scheme` is unknown, or a function that gives another shape, or `std` is not positive.
    """
    if scheme == "uniform":
        return torch.ones_like(time)
    if scheme == "logit_normal":
        if not std > 0:
            raise ValueError(f"std must be > 0, got {std}.")
        wide = time.to(torch.promote_types(time.dtype, torch.float32))
        inside = (wide > 0) & (wide < 1)
        safe = torch.where(inside, wide, 0.5)
        score = (torch.logit(safe) - mean) / std
        density = torch.exp(-0.5 * score.square()) / (std * math.sqrt(2 * math.pi) * safe * (1 - safe))
        return torch.where(inside, density, 0).to(time.dtype)
    if scheme == "cosmap":
        return 2.0 / (math.pi * (1.0 - 2.0 * time + 2.0 * time.square()))
    if callable(scheme):
        return check_output(scheme(time), time, "scheme")
    raise ValueError(f"scheme must be 'uniform', 'logit_normal', 'cosmap' or a function, got {scheme!r}.")


def sample_times(
    batch: int,
    *,
    distribution: Literal["uniform", "logit_normal"] = "uniform",
    mean: float = 0.0,
    std: float = 1.0,
    shift: float = 1.0,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Float[Tensor, " batch"]:
    """Noise levels to train on.

    Args:
        batch: Number of draws.
        distribution: "uniform" on [0, 1), or "logit_normal": the logistic function of a normal draw, which
            trains the middle of the path more than its ends.
        mean: Mean of the logit-normal's normal draw; positive values move towards noise.
        std: Standard deviation of that draw.
        shift: Applied to every draw as in `shifted_times`; values above 1 move towards noise.
        generator: Source of randomness.
        device: Device of the result; the generator's when omitted.

    Returns:
        Times in [0, 1], float32.

    Raises:
        ValueError: If `batch`, `std` or `shift` is out of range or `distribution` is unknown.
    """
    if batch < 0:
        raise ValueError(f"batch must be >= 0, got {batch}.")
    _check_shift(shift)
    if device is None and generator is not None:
        device = generator.device
    if distribution == "uniform":
        times = torch.rand(batch, generator=generator, device=device, dtype=torch.float32)
    elif distribution == "logit_normal":
        if not std > 0:
            raise ValueError(f"std must be > 0, got {std}.")
        draw = torch.randn(batch, generator=generator, device=device, dtype=torch.float32)
        times = torch.sigmoid(mean + std * draw)
    else:
        raise ValueError(f"distribution must be 'uniform' or 'logit_normal', got {distribution!r}.")
    return _shifted(times, shift)


def shifted_times(
    num_steps: int,
    shift: float = 1.0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, " step_plus_one"]:
    r"""Sampling times from 1 down to 0, denser where the noise is if shifted.

    $$t' = \frac{s \, t}{1 + (s - 1) \, t}$$

    for evenly spaced $t$, with $s$ = `shift`. Source: Esser et al., "Scaling Rectified Flow Transformers for
    High-Resolution Image Synthesis", Eq. 23.

    Args:
        num_steps: Number of sampler steps.
        shift: 1 keeps the times even; larger values spend more steps near noise, as large latents need.
        device: Device of the result.
        dtype: Type of the result.

    Returns:
        Falling times, `num_steps` + 1 of them, the first exactly 1 and the last exactly 0; neighbours are
        equal where `dtype` cannot tell them apart, as a thousand steps in bfloat16.

    Raises:
        ValueError: If `num_steps` < 1 or `shift` <= 0.

    Examples:
        >>> shifted_times(2, 3.0)
        tensor([1.0000, 0.7500, 0.0000])
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
    _check_shift(shift)
    even = [(num_steps - step) / num_steps for step in range(num_steps + 1)]
    return torch.tensor([_shifted(time, shift) for time in even], device=device, dtype=dtype)


def _shifted(time: _Time, shift: float) -> _Time:
    return shift * time / (1.0 + (shift - 1.0) * time)


def _check_shift(shift: float) -> None:
    if not (math.isfinite(shift) and shift > 0):
        raise ValueError(f"shift must be finite and > 0, got {shift}.")


def check_floating(name: str, values: Tensor) -> None:
    """TypeError where values are integers."""
    if not values.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {values.dtype}.")


def _check_shape(name: str, values: Tensor, clean: Tensor) -> None:
    if values.shape != clean.shape:
        raise ValueError(
            f"{name} must have the shape of clean {tuple(clean.shape)}, got {tuple(values.shape)}."
        )


def _align(values: Tensor, like: Tensor, name: str) -> Tensor:
    """`values` with trailing axes of length 1 so that it broadcasts over the leading axes of `like`."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor, got {values!r}.")
    if values.shape != like.shape[: values.ndim]:
        raise ValueError(
            f"{name} must have the leading axes of the sample {tuple(like.shape)}, got {tuple(values.shape)}."
        )
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def check_output(output: object, like: Tensor, name: str) -> Tensor:
    """What a function of the caller's gave; TypeError or ValueError where it is no tensor of the shape."""
    if not isinstance(output, Tensor):
        raise TypeError(f"{name} must return a tensor of shape {tuple(like.shape)}, got {output!r}.")
    if output.shape != like.shape:
        raise ValueError(f"{name} must return shape {tuple(like.shape)}, got {tuple(output.shape)}.")
    return output
