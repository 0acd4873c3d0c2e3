"""Per-scene optimisation: one field fitted to one video through the renderer.

Source: Kerbl et al., 3D Gaussian Splatting, for what is fitted in which space and how rates fall. Diff4Splat,
supplement, recommends the feed-forward field as the start.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import quaternion_normalize
from diff4splat.losses import pearson_depth_loss, photometric_mse, weighted_sum
from diff4splat.rendering import render_field
from diff4splat.rendering.backends import Backend
from diff4splat.training.initial_field import check_frames
from diff4splat.training.targets import is_known

__all__ = ["RefinementRates", "refine"]

Photometric = Callable[[Tensor, Tensor], Tensor]

# Opacities this close to 0 or 1 start a little inside, where the logit has a gradient.
_OPACITY_MARGIN = 1e-4
_HIGHER_HARMONICS = 1 / 20
_SMALLEST_SCALE = 1e-9
_MOVES = ("means", "delta_means")
_TURNS = ("quaternions", "delta_quaternions")


@dataclass(frozen=True)
class RefinementRates:
    """Learning rates of `refine`, one per attribute of a field; 0 leaves an attribute as it is.

    They are far above those of 3D Gaussian splatting, which is given 30,000 steps and not some hundreds.

    Args:
        means: Per scene extent; falls to `final` of it.
        quaternions: Of the unit quaternions.
        scales: Of the logarithms of the scales.
        opacities: Of the logits of the opacities.
        harmonics: Of the constant coefficient; the others have a twentieth of it.
        delta_means: Per scene extent; falls to `final` of it.
        delta_quaternions: Of the unit quaternions.
        delta_scales: Of changes of log-scales; in linear space per median scale.
        final: What is left of the rates of places at the last step, as a share, > 0.

    Raises:
        ValueError: If a rate is negative or `final` not in (0, 1].
    """

    means: float = 3e-3
    quaternions: float = 1e-2
    scales: float = 3e-2
    opacities: float = 1e-1
    harmonics: float = 2e-2
    delta_means: float = 3e-3
    delta_quaternions: float = 2e-2
    delta_scales: float = 5e-2
    final: float = 0.01

    def __post_init__(self) -> None:
        for rate in fields(self):
            if not 0 <= getattr(self, rate.name) < float("inf"):
                raise ValueError(f"{rate.name} must be finite and >= 0, got {getattr(self, rate.name)}.")
        if not 0 < self.final <= 1:
            raise ValueError(f"final must lie in (0, 1], got {self.final}.")


def refine(
    field: DeformableGaussianField,
    video: Float[Tensor, "frame rgb=3 height width"],
    cameras: Cameras,
    *,
    times: Float[Tensor, " frame"] | None = None,
    steps: int = 100,
    frames_per_step: int = 3,
    rates: RefinementRates | None = None,
    photometric: Photometric = photometric_mse,
    depth: Float[Tensor, "frame height width"] | None = None,
    depth_weight: float = 0.1,
    background: Float[Tensor, "rgb=3"] | None = None,
    backend: Backend = "auto",
    generator: torch.Generator | None = None,
    callback: Callable[[int, Mapping[str, float]], None] | None = None,
) -> DeformableGaussianField:
    """The field fitted to a video of the scene, by Adam on renderings of its frames.

    Canonical Gaussians and deltas are fitted together. Their number stays: there is no densification, which
    in 3D Gaussian splatting splits, clones and prunes. Scales move in log space, opacities as logits;
    quaternions are normalised after each step.

    Args:
        field: Where to start, without batch axes; it is not changed.
        video: What the cameras saw, in [0, 1].
        cameras: One camera per frame, in the world of `field`.
        times: Time of each frame in [0, 1]. When omitted, the stored times of the field if there is one per
            frame, else equally spaced from 0 to 1.
        steps: Steps of the optimiser; 0 gives the field itself.
        frames_per_step: Frames that a step renders, drawn anew; all have had their turn before one comes
            again. As many as the video has, if it has fewer.
        rates: Learning rates; those measured to serve when omitted.
        photometric: Loss of `[frame rgb height width]` rendered and true, one value per frame, such as
            `PhotometricLoss()`.
        depth: z-depth of each frame up to scale and shift; not positive or NaN where unknown. Its loss is
            `pearson_depth_loss`.
        depth_weight: Weight of that loss.
        background: Colour behind everything, black when omitted.
        backend: See `diff4splat.rendering.render`.
        generator: Source of the drawn frames, on the CPU; torch's own when omitted.
        callback: Called after each step as `callback(step, losses)`, steps from 1 on, with the losses that
            the step started from: "photometric", "depth" if given, and "total".

    Returns:
        New field in the type, on the device and with the times and metadata of `field`, without gradients. It
        shares the tensors that are not fitted.

    Raises:
        ValueError: If shapes, sizes or values are not as said, or the loss is NaN or infinite at a step.
        TypeError: If a tensor is not floating point or on another device.
        RuntimeError: If the renderer cannot run here.

    Examples:
        >>> better = refine(field, video, cameras, steps=100)  # doctest: +SKIP
    """
    _check(field, video, cameras, depth, steps, frames_per_step, depth_weight)
    if times is None:
        stored = field.num_times == len(video)
        times = field.times if stored else torch.linspace(0, 1, len(video))
    if times.shape != (len(video),):
        raise ValueError(
            f"times must have one entry per frame ({len(video)}), got shape {list(times.shape)}."
        )
    wide = torch.promote_types(field.dtype, torch.float32)
    start = field.detach().to(dtype=wide)
    start.validate()
    if steps == 0:
        return field.detach()
    video, cameras, times = video.detach().to(wide), cameras.to(dtype=wide), times.detach().to(start.times)
    rates = rates or RefinementRates()
    with torch.enable_grad():
        parameters = _parameters(start, rates)
        if not parameters:
            raise ValueError("rates must hold at least one rate above 0, got none.")
        groups = _groups(start, cameras, parameters, rates)
        optimizer = torch.optim.Adam(groups, eps=1e-15, fused=True)
        frames = _drawn_frames(len(video), frames_per_step, generator)
        for step in range(1, steps + 1):
            for group in optimizer.param_groups:
                decay = rates.final ** ((step - 1) / max(steps - 1, 1)) if group["name"] in _MOVES else 1.0
                group["lr"] = group["first_rate"] * decay
            chosen = next(frames)
            seen = render_field(
                _field(start, parameters),
                cameras.select(chosen),
                times[chosen],
                background=background,
                backend=backend,
            )
            losses = {"photometric": photometric(seen.color, video[chosen]).mean()}
            if depth is not None:
                losses["depth"] = _depth_loss(seen.depth[:, 0], depth[chosen])
            total = weighted_sum(losses, {"photometric": 1.0, "depth": depth_weight})
            values = {name: value.item() for name, value in (losses | {"total": total}).items()}
            if not abs(values["total"]) < float("inf"):
                raise ValueError(f"the loss must be finite, got {values['total']} at step {step} of {steps}.")
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            _normalize(parameters)
            if callback is not None:
                callback(step, MappingProxyType(values))
    return _field(start, parameters).detach().to(dtype=field.dtype)


def _check(
    field: DeformableGaussianField,
    video: Tensor,
    cameras: Cameras,
    depth: Tensor | None,
    steps: int,
    frames_per_step: int,
    depth_weight: float,
) -> None:
    """What `refine` refuses before it starts."""
    if field.batch_shape or cameras.batch_shape:
        raise ValueError(
            "field and cameras must have no batch axes (take one with .batch(0)), "
            f"got {list(field.batch_shape)} and {list(cameras.batch_shape)}."
        )
    if field.num_gaussians == 0:
        raise ValueError("field must hold at least one Gaussian, got none.")
    size = (cameras.num_frames, cameras.height, cameras.width)
    for name, value, shape in (
        ("video", video, (size[0], 3, *size[1:])),
        ("depth", depth, size),
    ):
        if value is None:
            continue
        check_frames(name, value, shape)
        if value.device != field.device:
            raise TypeError(f"{name} must be on the device of field, {field.device}, got {value.device}.")
    if not ((video >= 0) & (video <= 1)).all():
        raise ValueError("video must lie in [0, 1], got other values or NaN.")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}.")
    if frames_per_step < 1:
        raise ValueError(f"frames_per_step must be at least 1, got {frames_per_step}.")
    if not 0 <= depth_weight < float("inf"):
        raise ValueError(f"depth_weight must be finite and >= 0, got {depth_weight}.")


def _parameters(field: DeformableGaussianField, rates: RefinementRates) -> dict[str, Tensor]:
    """What is fitted, by name, free of bounds; attributes of rate 0 are left out."""
    canonical = field.canonical
    free = {
        "means": canonical.means,
        "quaternions": quaternion_normalize(canonical.quaternions),
        "scales": canonical.scales.abs().clamp_min(_SMALLEST_SCALE).log(),
        "opacities": canonical.opacities.logit(eps=_OPACITY_MARGIN),
        "harmonics": canonical.harmonics[:, :1],
        "higher_harmonics": canonical.harmonics[:, 1:],
        "delta_means": field.delta_means,
        "delta_quaternions": quaternion_normalize(field.delta_quaternions),
        "delta_scales": field.delta_scales,
    }
    return {
        name: value.clone(memory_format=torch.contiguous_format).requires_grad_()
        for name, value in free.items()
        if getattr(rates, name.removeprefix("higher_")) > 0 and value.numel() > 0
    }


def _groups(
    field: DeformableGaussianField,
    cameras: Cameras,
    parameters: Mapping[str, Tensor],
    rates: RefinementRates,
) -> list[dict[str, object]]:
    """Parameters with the rates they start with."""
    middle = cameras.positions.mean(0)
    extent = float((field.canonical.means - middle).norm(dim=-1).median())
    unit = dict.fromkeys(_MOVES, extent) | {"higher_harmonics": _HIGHER_HARMONICS}
    if field.scale_space == "linear":
        unit["delta_scales"] = float(field.canonical.scales.abs().median())
    groups: list[dict[str, object]] = []
    for name, value in parameters.items():
        rate = getattr(rates, name.removeprefix("higher_")) * unit.get(name, 1.0)
        groups.append({"name": name, "params": [value], "lr": rate, "first_rate": rate})
    return groups


def _field(start: DeformableGaussianField, parameters: Mapping[str, Tensor]) -> DeformableGaussianField:
    """The field of some parameters; what is not fitted is that of `start`."""
    values = dict(parameters)
    if "scales" in values:
        values["scales"] = values["scales"].exp()
    if "opacities" in values:
        values["opacities"] = values["opacities"].sigmoid()
    if "higher_harmonics" in values:
        values["harmonics"] = torch.cat((values["harmonics"], values.pop("higher_harmonics")), dim=1)
    deltas: dict[str, Any] = {name: values.pop(name) for name in list(values) if name.startswith("delta_")}
    return replace(start, canonical=replace(start.canonical, **values), **deltas)


@torch.no_grad()
def _normalize(parameters: Mapping[str, Tensor]) -> None:
    for name in _TURNS:
        if name in parameters:
            parameters[name].copy_(quaternion_normalize(parameters[name]))


def _depth_loss(depth: Tensor, target: Tensor) -> Tensor:
    """Over the pixels whose depth is known; of frames without any, 0."""
    return pearson_depth_loss(depth, target.to(depth), mask=is_known(target)).mean()


def _drawn_frames(count: int, at_once: int, generator: torch.Generator | None) -> Iterator[list[int]]:
    """Frames in random order, `at_once` at a time, without end; each round has every frame once."""
    at_once = min(at_once, count)
    waiting: list[int] = []
    while True:
        if len(waiting) < at_once:
            new = torch.randperm(count, generator=generator).tolist()
            waiting += [frame for frame in new if frame not in waiting]
        yield waiting[:at_once]
        waiting = waiting[at_once:]
