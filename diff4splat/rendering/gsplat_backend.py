"""The CUDA rasterizer: arguments for `gsplat.rasterization`, and a clear word when gsplat cannot run.

gsplat computes in float32, gives intrinsics no gradient and sums gradients in no fixed order, so that their
last bits differ between runs. Its versions differ: from 1.6 on no Gaussian covers more than 0.99 of a pixel
(0.999 before), "antialiased" lowers no opacity to less than 0.005 of itself, and batches of harmonics are
refused, which are therefore evaluated here.
"""

import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians import evaluate_harmonics

__all__ = ["opacity_cap", "rasterize", "require"]

_lock = threading.Lock()
_state = SimpleNamespace(rasterization=None, failure=None)


def rasterize(
    means: Float[Tensor, "*batch gaussian xyz=3"],
    quaternions: Float[Tensor, "*batch gaussian wxyz=4"],
    scales: Float[Tensor, "*batch gaussian xyz=3"],
    opacities: Float[Tensor, "*batch gaussian"],
    harmonics: Float[Tensor, "*batch gaussian coefficient rgb=3"],
    world_to_camera: Float[Tensor, "*batch frame 4 4"],
    intrinsics: Float[Tensor, "*batch frame 3 3"],
    *,
    height: int,
    width: int,
    near: float,
    far: float,
    eps2d: float,
    radius_clip: float,
    mode: Literal["classic", "antialiased"],
) -> tuple[
    Float[Tensor, "*batch frame rgb=3 height width"],
    Float[Tensor, "*batch frame 1 height width"],
    Float[Tensor, "*batch frame 1 height width"],
]:
    """Colour, alpha and accumulated depth over black; intrinsics receive no gradient.

    Args:
        means: Centres, world units.
        quaternions: Rotations, wxyz, any nonzero length.
        scales: Standard deviations along the axes, world units.
        opacities: In [0, 1].
        harmonics: Coefficients of degree 0 to 4; all are used.
        world_to_camera: Rigid transforms into OpenCV camera frames.
        intrinsics: Pixels, no skew.
        height: Image height, pixels.
        width: Image width, pixels.
        near: Gaussians with smaller z are dropped.
        far: Gaussians with larger z are dropped.
        eps2d: Added to both variances of the 2D covariance, pixels squared.
        radius_clip: Gaussians whose footprint is no wider than this on both axes are dropped, pixels.
        mode: "antialiased" lowers opacities so that the dilation adds no energy.

    Returns:
        Colour, alpha and depth times alpha, in the dtype of `means`.

    Raises:
        RuntimeError: If gsplat is missing or its CUDA code cannot be built.
    """
    if means.shape[-2] == 0 or world_to_camera.shape[:-2].numel() == 0:
        empty = means.new_zeros(*world_to_camera.shape[:-2], 5, height, width)
        return empty[..., :3, :, :], empty[..., 3:4, :, :], empty[..., 4:, :, :]
    rasterization = _load_rasterization()
    inputs = (means, quaternions, scales, opacities, harmonics, world_to_camera, intrinsics)
    means, quaternions, scales, opacities, harmonics, poses, lenses = (v.to(torch.float32) for v in inputs)
    colors, degree = _colors(harmonics, means, poses)
    values, alpha, _ = rasterization(
        *(means, quaternions, scales, opacities, colors, poses, lenses),
        width=width,
        height=height,
        near_plane=near,
        far_plane=far,
        radius_clip=radius_clip,
        eps2d=eps2d,
        sh_degree=degree,
        packed=False,  # packed mode gives cameras no gradient in some releases
        render_mode="RGB+D",
        rasterize_mode=mode,
    )
    dtype = inputs[0].dtype
    images = values.movedim(-1, -3).to(dtype)
    return images[..., :3, :, :], alpha.movedim(-1, -3).to(dtype), images[..., 3:, :, :]


def require(max_alpha: float | None = None) -> None:
    """Load gsplat, and build its CUDA code where that was not done yet; later calls cost nothing.

    Args:
        max_alpha: Largest opacity at a pixel that is asked for; any when omitted.

    Raises:
        ValueError: If the installed gsplat has another `max_alpha`.
        RuntimeError: If gsplat is missing or its CUDA code cannot be built. A failure is remembered: later
            calls fail at once.
    """
    _load_rasterization()
    if max_alpha is not None and max_alpha != opacity_cap():
        import gsplat

        raise ValueError(
            f"max_alpha must be {opacity_cap()} for CUDA tensors, which is built into the installed gsplat "
            f"{gsplat.__version__}, got {max_alpha}. For equal pictures of both, render the tensors on the "
            f"CPU with max_alpha={opacity_cap()}."
        )


def opacity_cap() -> float:
    """Largest opacity of one Gaussian at a pixel in the installed gsplat: 0.999, and 0.99 from 1.6 on."""
    import gsplat

    major, minor = (int(v) for v in gsplat.__version__.split(".")[:2])
    return 0.99 if (major, minor) >= (1, 6) else 0.999


def _colors(harmonics: Tensor, means: Tensor, world_to_camera: Tensor) -> tuple[Tensor, int | None]:
    """Harmonics and their degree for gsplat, or finished colours per camera where there are batch axes."""
    if harmonics.ndim == 3:
        return harmonics, math.isqrt(harmonics.shape[-2]) - 1
    centers = torch.linalg.solve(world_to_camera[..., :3, :3], -world_to_camera[..., :3, 3])
    directions = means[..., None, :, :] - centers[..., :, None, :]
    return evaluate_harmonics(harmonics[..., None, :, :, :], directions).clamp_min(0), None


def _load_rasterization() -> Callable[..., Any]:
    with _lock:  # two threads would build it twice
        if _state.failure is not None:
            raise RuntimeError(
                f"render needs gsplat for CUDA tensors, and loading it failed before: {_state.failure} "
                "Once that is cured, start Python again."
            )
        if _state.rasterization is None:
            try:
                _state.rasterization = _import_rasterization()
            except RuntimeError as error:
                _state.failure = str(error).partition("\n")[0]
                raise
        return _state.rasterization


def _import_rasterization() -> Callable[..., Any]:
    try:
        from gsplat import rasterization
        from gsplat.cuda._backend import _C
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"render needs gsplat for CUDA tensors, and it is missing: {_gist(error)}\n"
            f"Install it with: pip install gsplat packaging\n{_BUILD}{_OTHERWISE}"
        ) from error
    except Exception as error:  # whatever a build raises that fails, or that is of another torch
        raise RuntimeError(
            "render needs gsplat for CUDA tensors, and its CUDA code cannot be built or loaded: "
            f"{_gist(error)}\n{_BUILD}{_OTHERWISE}"
        ) from error
    if _C is None:
        raise RuntimeError(
            "render needs gsplat for CUDA tensors, but its CUDA code is not built, because no nvcc was found."
            f"\n{_BUILD}{_OTHERWISE}"
        )
    return rasterization


def _gist(error: Exception) -> str:
    """The first line of an error, and the first that a compiler calls one; a failed build says thousands."""
    lines = str(error).splitlines() or [type(error).__name__]
    faults = [line for line in lines[1:] if "error:" in line or "fatal" in line]
    return " ".join(dict.fromkeys([lines[0].strip(), *(line.strip() for line in faults[:1])]))


_BUILD = (
    f"At first use it compiles its CUDA code, with the nvcc of the CUDA {torch.version.cuda} that torch was "
    f"built for: conda install -c conda-forge cuda-toolkit={torch.version.cuda}\n"
    "To watch that: VERBOSE=1 python -c 'from gsplat.cuda._backend import _C'\n"
)
_OTHERWISE = "Or render on the CPU: move the tensors with .to('cpu'); on the command line, --device cpu."
