"""The CPU rasterizer: numba kernels behind one autograd function.

numba is imported and the kernels are compiled (some seconds once per machine, then read from disk) when the
first frame is rendered. Results are the same bits on every run and for every number of threads; the number
follows `torch.get_num_threads()`.
"""

import os
import threading
import warnings
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.gaussians import Gaussians, evaluate_harmonics
from diff4splat.rendering import reference

__all__ = ["CpuOptions", "Unavailable", "rasterize"]

_lock = threading.Lock()
_state = SimpleNamespace(pipeline=None, failure=None)


class Unavailable(RuntimeError):
    """numba is missing or cannot compile here; a warning has said so."""


class CpuOptions(NamedTuple):
    """What `render` asks for besides tensors; see there."""

    height: int
    width: int
    near: float
    far: float
    eps2d: float
    radius_clip: float
    antialiased: bool
    max_alpha: float
    expected: bool
    details: bool
    linear_scales: bool = False


def rasterize(
    gaussians: Gaussians,
    world_to_camera: Float[Tensor, "frame 4 4"],
    centers: Float[Tensor, "frame xyz=3"],
    intrinsics: Float[Tensor, "frame 3 3"],
    background: Float[Tensor, "rgb=3"] | None,
    options: CpuOptions,
    *,
    deltas: Sequence[Tensor] | None = None,
    lower: Int[Tensor, " frame"] | None = None,
    fractions: Float[Tensor, " frame"] | None = None,
) -> tuple[
    Float[Tensor, "frame rgb=3 height width"],
    Float[Tensor, "frame 1 height width"],
    Float[Tensor, "frame 1 height width"],
    Int[Tensor, "frame 1 height width"] | None,
    Int[Tensor, "frame 1 height width"] | None,
]:
    """Colour, alpha and depth of one set of Gaussians from several cameras, at rest or each at its own time.

    The fast twin of `reference.rasterize`, of `evaluate_harmonics` and of `DeformableGaussianField.at`:
    float64 per Gaussian, float32 per pixel.

    Args:
        gaussians: One set, at rest or canonical.
        world_to_camera: Rigid transforms into OpenCV camera frames.
        centers: Camera centres, world units; harmonics are seen from there.
        intrinsics: Pixels, no skew.
        background: Colour behind everything; black when omitted.
        options: The rest.
        deltas: Displacements, rotations and changes of scale at the stored times, (time, gaussian, ...).
        lower: With `deltas`, the last stored time not after that of each frame.
        fractions: With `deltas`, how far each frame is from there to the next one, in [0, 1).

    Returns:
        Colour over the background, alpha and depth, in the dtype of `gaussians`; with `options.details` also
        the number of contributing Gaussians and the index of the strongest, else None for both.

    Raises:
        ValueError: If an input holds a value that is not finite, or a quaternion of length zero.
        Unavailable: If the kernels cannot be had.
    """
    pipeline = _load_pipeline()
    if pipeline is None:
        raise Unavailable
    frames, means = len(world_to_camera), gaussians.means
    if background is None:
        background = means.new_zeros(3)
    if deltas is None:
        deltas = [means.new_empty(0, 0, size) for size in (3, 4, 3)]
    if lower is None or fractions is None:
        lower = torch.zeros(frames, dtype=torch.int64, device="cpu")
        fractions = means.new_zeros(frames)
    scene = (means, gaussians.quaternions, gaussians.scales, gaussians.opacities, gaussians.harmonics)
    inputs = (*scene, *deltas, fractions, world_to_camera, centers, intrinsics, background)
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in inputs)
    try:
        images = _Rasterize.apply(*(v.to(torch.float32) for v in inputs), lower, options, keep)
    except pipeline.KernelError as error:
        _give_up(error)
        raise Unavailable from error
    return *(image.to(means.dtype) for image in images[:3]), *images[3:]


class _Rasterize(torch.autograd.Function):
    """Frames of one set of Gaussians; some at a time, all threads on all of them."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor | None, ...]:
        *tensors, lower, options, keep = inputs
        pipeline, arrays = _state.pipeline, _arrays(_state.pipeline, tensors, lower, options)
        shape = len(tensors[9]), options.height, options.width
        color = pipeline.empty((shape[0], 3, *shape[1:]), np.float32)
        alpha, depth = (pipeline.empty((shape[0], 1, *shape[1:]), np.float32) for _ in range(2))
        details = pipeline.empty((2, *shape), np.float32) if options.details else None
        saved = []
        for part in pipeline.sort_frames(arrays):
            if part is None:
                _name_what_is_broken(tensors)
            pipeline.draw_forward(arrays, part, color, alpha, depth)
            if details is not None:
                pipeline.draw_inspection(arrays, part, *details)
            if keep:  # what backward needs grows with the number of frames
                saved.append(pipeline.Kept(*(getattr(part, name) for name in pipeline.Kept._fields)))
        images = torch.from_numpy(color), torch.from_numpy(alpha), torch.from_numpy(depth)
        # as tensors, so that torch lets go of them after backward
        kept = [torch.from_numpy(array) for part in saved for array in part[2:]]
        ctx.save_for_backward(*tensors, lower, *images, *kept)
        ctx.frames, ctx.options, ctx.pipeline = [part[:2] for part in saved], options, pipeline
        if details is None:
            return *images, None, None
        counts = torch.from_numpy(details[0].astype(np.int32)), torch.from_numpy(details[1].view(np.int32))
        ctx.mark_non_differentiable(*counts)
        return *images, *(v[:, None] for v in counts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        pipeline, saved = ctx.pipeline, ctx.saved_tensors
        tensors, lower, (color, alpha, depth), kept = saved[:13], saved[13], saved[14:17], saved[17:]
        size = len(pipeline.Kept._fields) - 2
        parts = [
            pipeline.Kept(*ends, *(v.numpy() for v in kept[size * i : size * (i + 1)]))
            for i, ends in enumerate(ctx.frames)
        ]
        arrays = _arrays(pipeline, tensors, lower, ctx.options, moving_times=ctx.needs_input_grad[8])
        images, image_grads = [_array(v) for v in (color, alpha, depth)], [_array(v) for v in grads[:3]]
        results = pipeline.draw_backward(arrays, parts, images, image_grads)
        return *(torch.from_numpy(v) for v in results), None, None, None


def _arrays(p: Any, tensors: Any, lower: Tensor, options: CpuOptions, moving_times: bool = False) -> Any:
    """Tensors as the kernels take them: float32 for Gaussians, float64 for frames."""
    arrays = [_array(v) for v in tensors]
    times, poses, centers, intrinsics, background = arrays[8:]
    before = _array(lower)
    after = np.minimum(before + 1, max(len(arrays[5]) - 1, 0))
    focal = intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    frames = p.Frames(
        *(np.ascontiguousarray(v, dtype=np.float64) for v in (poses[:, :3], focal, centers)),
        *(before, after, times.astype(np.float64)),
    )
    limits = p.Limits(
        options.height, options.width, float(options.near), float(options.far), float(options.eps2d),
        float(options.radius_clip), options.antialiased, options.linear_scales, moving_times,
    )  # fmt: skip
    max_alpha = np.float32(options.max_alpha)
    return p.Inputs(
        p.Scene(*arrays[:5]), p.Motion(*arrays[5:8]), frames, limits, background, max_alpha, options.expected
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _name_what_is_broken(tensors: Any) -> None:
    """Raise the ValueError of values that the kernels refused."""
    values = [v.detach().double() for v in tensors]
    means, quaternions, scales, opacities, harmonics = values[:5]
    for name, value in zip(("delta_means", "delta_quaternions", "delta_scales"), values[5:8], strict=True):
        if not value.isfinite().all():
            raise ValueError(f"{name} must be finite, got values that are NaN or infinite.")
    check_values = partial(reference.check_values, means, quaternions, scales, opacities)
    for center in values[10]:
        check_values(evaluate_harmonics(harmonics, means - center)[None])
    if len(values[6]) and (values[6].norm(dim=-1) == 0).any():
        raise ValueError("delta_quaternions must not have length zero.")
    raise ValueError(
        "delta_means, delta_quaternions and delta_scales must give Gaussians that float32 can hold, "
        "got others."
    )


def _load_pipeline() -> Any:
    """The module with the kernels, loaded at the first call; None, after one warning, without numba."""
    if _state.pipeline is None and _state.failure is None:
        with _lock:
            if _state.pipeline is None and _state.failure is None:
                try:
                    from diff4splat.rendering import cpu_pipeline

                    _state.pipeline = cpu_pipeline
                except Exception as error:  # numba raises many kinds: a missing wheel, LLVM, an unknown numpy
                    _give_up(error)
    return _state.pipeline


def _renew_lock() -> None:
    """A forked process has a lock that a thread of its parent may have held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _give_up(error: Exception) -> None:
    _state.pipeline, _state.failure = None, error
    warnings.warn(
        f"The fast CPU rasterizer is off, because numba does not work ({type(error).__name__}: {error}). "
        "Rendering goes on in plain torch, correct but very much slower. To cure it: "
        "pip install --upgrade numba",
        RuntimeWarning,
        stacklevel=4,
    )
