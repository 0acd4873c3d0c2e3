"""The CPU rasterizer: numba kernels behind one autograd function.

numba is imported and the kernels are compiled (about ten seconds once per machine, then read from disk) when
the first frame is rendered. Results are the same bits on every run and for every number of threads; the
number follows `torch.get_num_threads()`. Where other programs keep the cores busy, OpenMP's threads lose time
by waiting actively; `OMP_WAIT_POLICY=passive` in the environment then makes frames faster.
"""

import os
import threading
import warnings
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.rendering import reference

__all__ = ["available", "rasterize"]

_FALLBACK_BLOCK_PX = 16
_lock = threading.Lock()  # numba's portable thread pool must not be entered twice at once
_state = SimpleNamespace(kernels=None, failure=None, first_process=None)


def rasterize(
    means: Float[Tensor, "gaussian xyz=3"],
    quaternions: Float[Tensor, "gaussian wxyz=4"],
    scales: Float[Tensor, "gaussian xyz=3"],
    opacities: Float[Tensor, " gaussian"],
    colors: Float[Tensor, "#frame gaussian rgb=3"],
    world_to_camera: Float[Tensor, "frame 4 4"],
    intrinsics: Float[Tensor, "frame 3 3"],
    *,
    height: int,
    width: int,
    near: float,
    far: float,
    eps2d: float,
    radius_clip: float,
    mode: Literal["classic", "antialiased"],
    max_alpha: float = reference.MAX_ALPHA,
) -> tuple[
    Float[Tensor, "frame rgb=3 height width"],
    Float[Tensor, "frame 1 height width"],
    Float[Tensor, "frame 1 height width"],
]:
    """Colour, alpha and accumulated depth of one set of Gaussians from several cameras, over black.

    The fast twin of `reference.rasterize`: projects in float64 and rasterizes in float32, always.

    Args:
        means: Centres, world units.
        quaternions: Rotations, wxyz, any nonzero length.
        scales: Standard deviations along the axes, world units.
        opacities: In [0, 1].
        colors: Colours, negative values count as 0; one set per camera, or one for all.
        world_to_camera: Rigid transforms into OpenCV camera frames.
        intrinsics: Pixels, no skew.
        height: Image height, pixels.
        width: Image width, pixels.
        near: Gaussians with smaller z are dropped.
        far: Gaussians with larger z are dropped.
        eps2d: Added to both variances of the 2D covariance, pixels squared.
        radius_clip: Gaussians whose footprint is no wider than this on both axes are dropped, pixels.
        mode: "antialiased" lowers opacities so that the dilation adds no energy.
        max_alpha: Largest opacity of one Gaussian at a pixel.

    Returns:
        Colour, alpha and depth times alpha, in the dtype of `means`.

    Raises:
        ValueError: If an input holds a value that is not finite, or a quaternion of length zero.
        RuntimeError: In a process forked after its parent had rendered.
    """
    _refuse_forked_process()
    kernels = _load_kernels()
    options = (height, width, near, far, eps2d, radius_clip, mode == "antialiased", max_alpha)
    inputs = (means, quaternions, scales, opacities, colors, world_to_camera, intrinsics)
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in inputs)
    if kernels is not None:
        try:
            color, alpha, depth = _Rasterize.apply(*(v.to(torch.float32) for v in inputs), options, keep)
            return color.to(means.dtype), alpha.to(means.dtype), depth.to(means.dtype)
        except kernels.compile_errors as error:
            _give_up(error)
    return reference.rasterize(
        *inputs,
        height=height,
        width=width,
        near=near,
        far=far,
        eps2d=eps2d,
        radius_clip=radius_clip,
        mode=mode,
        max_alpha=max_alpha,
        block_px=_FALLBACK_BLOCK_PX,
    )


def available() -> bool:
    """Whether the numba kernels load here; loads them. A warning says why not."""
    return _load_kernels() is not None


class _Rasterize(torch.autograd.Function):
    """All frames of one set of Gaussians; frame after frame, each on all threads."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        *tensors, options, keep = inputs
        height, width, near, far, eps2d, radius_clip, antialiased, max_alpha = options
        means, quaternions, scales, opacities, colors, poses, intrinsics = (_array(v) for v in tensors)
        count, frames = means.shape[0], poses.shape[0]
        color = np.empty((frames, 3, height, width), np.float32)
        alpha = np.empty((frames, height, width), np.float32)
        depth = np.empty((frames, height, width), np.float32)
        tiles_x, tiles_y = -(-width // 16), -(-height // 16)
        saved = []
        kernels = _state.kernels
        with _lock:
            kernels.set_threads()
            for frame in range(frames):
                rows, boxes = np.empty((count, 10), np.float32), np.empty((count, 4), np.int32)
                keys, num_tiles = np.empty(count, np.uint32), np.empty(count, np.int32)
                broken = kernels.project_forward(
                    means, quaternions, scales, opacities, colors[min(frame, len(colors) - 1)],
                    *_camera(poses, intrinsics, frame), height, width, near, far, eps2d, radius_clip,
                    antialiased, rows, boxes, keys, num_tiles,
                )  # fmt: skip
                if broken:
                    reference.check_values(*tensors[:5])
                pairs, tile_starts, slot_starts = kernels.bin_gaussians(
                    keys, num_tiles, boxes, tiles_x, tiles_y
                )
                kernels.rasterize_forward(
                    rows, boxes, pairs, tile_starts, tiles_x, np.float32(max_alpha),
                    color[frame], alpha[frame], depth[frame],
                )  # fmt: skip
                if keep:  # what backward needs grows with the number of frames
                    saved.append((rows, boxes, num_tiles, pairs, tile_starts, slot_starts))
        outputs = torch.from_numpy(color), torch.from_numpy(alpha)[:, None], torch.from_numpy(depth)[:, None]
        ctx.save_for_backward(*tensors, *outputs)
        ctx.frames, ctx.options = saved, options
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        _refuse_forked_process()
        height, width, _, _, eps2d, _, antialiased, max_alpha = ctx.options
        means, quaternions, scales, opacities, colors, poses, intrinsics = (
            _array(v) for v in ctx.saved_tensors[:7]
        )
        color, alpha, depth = (_array(v) for v in ctx.saved_tensors[7:])
        grad_color, grad_alpha, grad_depth = (_array(v) for v in grads)
        results = [
            np.zeros(v.shape, np.float32)
            for v in (means, quaternions, scales, opacities, colors, poses, intrinsics)
        ]
        kernels = _state.kernels
        blocks = np.empty((kernels.num_blocks, 16), np.float64)
        with _lock:
            kernels.set_threads()
            for frame, (rows, boxes, num_tiles, pairs, tile_starts, slot_starts) in enumerate(ctx.frames):
                slots = np.empty((len(pairs), 10), np.float32)
                kernels.rasterize_backward(
                    rows, boxes, pairs, tile_starts, slot_starts, -(-width // 16),
                    np.float32(max_alpha), color[frame], alpha[frame, 0], depth[frame, 0],
                    grad_color[frame], grad_alpha[frame, 0], grad_depth[frame, 0], slots,
                )  # fmt: skip
                kernels.project_backward(
                    means, quaternions, scales, opacities, colors[min(frame, len(colors) - 1)],
                    *_camera(poses, intrinsics, frame), height, width, eps2d,
                    antialiased, num_tiles, slot_starts, slots, *results[:4],
                    results[4][min(frame, len(colors) - 1)], blocks,
                )  # fmt: skip
                totals = blocks.sum(axis=0)
                results[5][frame, :3] = totals[:12].reshape(3, 4)
                results[6][frame, [0, 1, 0, 1], [0, 1, 2, 2]] = totals[12:]
        return *(torch.from_numpy(v) for v in results), None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _camera(poses: np.ndarray, intrinsics: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """The 3x4 transform and (fx, fy, cx, cy) of one frame, float64."""
    pose = np.ascontiguousarray(poses[frame, :3], dtype=np.float64)
    return pose, intrinsics[frame, [0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float64)


def _load_kernels() -> SimpleNamespace | None:
    """The kernels, loaded at the first call; None, after one warning, where numba does not work."""
    if _state.kernels is None and _state.failure is None:
        with _lock:
            if _state.kernels is None and _state.failure is None:
                try:
                    _state.kernels = _import_kernels()
                except Exception as error:  # numba raises many kinds: a missing wheel, LLVM, an unknown numpy
                    _give_up(error)
    return _state.kernels


def _import_kernels() -> SimpleNamespace:
    import numba
    from numba.core.errors import NumbaError

    from diff4splat.rendering import cpu_binning, cpu_jit, cpu_projection, cpu_rasterization

    def set_threads() -> None:
        _state.first_process = _state.first_process or os.getpid()
        numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))

    return SimpleNamespace(
        project_forward=cpu_projection.project_forward,
        project_backward=cpu_projection.project_backward,
        bin_gaussians=cpu_binning.bin_gaussians,
        rasterize_forward=cpu_rasterization.rasterize_forward,
        rasterize_backward=cpu_rasterization.rasterize_backward,
        set_threads=set_threads,
        num_blocks=cpu_jit.NUM_BLOCKS,
        compile_errors=(NumbaError,),
        threading_layer=numba.threading_layer,
    )


def _give_up(error: Exception) -> None:
    _state.kernels, _state.failure = None, error
    warnings.warn(
        f"The fast CPU rasterizer is off, because numba does not work ({type(error).__name__}: {error}). "
        "Rendering goes on in plain torch, correct but very much slower. To cure it: "
        "pip install --upgrade numba",
        RuntimeWarning,
        stacklevel=4,
    )


def _refuse_forked_process() -> None:
    """OpenMP kills a forked child that enters it after its parent did; say so instead."""
    if _state.first_process in (None, os.getpid()) or _state.kernels is None:
        return
    if _state.kernels.threading_layer() != "workqueue":
        raise RuntimeError(
            "render cannot run in this process: it was forked after its parent had rendered, and the "
            "thread pool does not survive that. Start the process with 'spawn' or 'forkserver' (for a "
            "DataLoader: multiprocessing_context='spawn'), or render only in the child."
        )
