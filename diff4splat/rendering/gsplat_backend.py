"""The CUDA rasterizer: arguments for `gsplat.rasterization`, and a clear word when gsplat cannot run."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["max_alpha", "rasterize"]


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
    inputs = (means, quaternions, scales, opacities, harmonics, world_to_camera, intrinsics)
    values, alpha, _ = _load_rasterization()(
        *(v.to(torch.float32) for v in inputs),
        width=width,
        height=height,
        near_plane=near,
        far_plane=far,
        radius_clip=radius_clip,
        eps2d=eps2d,
        sh_degree={1: 0, 4: 1, 9: 2, 16: 3, 25: 4}[harmonics.shape[-2]],
        packed=False,  # packed mode gives cameras no gradient in some releases
        render_mode="RGB+D",
        rasterize_mode=mode,
    )
    images = values.movedim(-1, -3).to(means.dtype)
    return images[..., :3, :, :], alpha.movedim(-1, -3).to(means.dtype), images[..., 3:, :, :]


def max_alpha() -> float:
    """Largest opacity of one Gaussian at a pixel in the installed gsplat: 0.999, and 0.99 from 1.6 on."""
    import gsplat

    major, minor = (int(v) for v in gsplat.__version__.split(".")[:2])
    return 0.99 if (major, minor) >= (1, 6) else 0.999


def _load_rasterization() -> Callable[..., Any]:
    try:
        from gsplat import rasterization
        from gsplat.cuda._backend import _C
    except Exception as error:  # an import error, or anything that a failing build raises
        raise RuntimeError(
            f"render needs gsplat for CUDA tensors, and importing it failed: {error}\n{_CURE}"
        ) from error
    if _C is None:
        raise RuntimeError(
            f"render needs gsplat for CUDA tensors, but its CUDA code is not built (no nvcc found).\n{_CURE}"
        )
    return rasterization


_CURE = (
    "Install it with: pip install gsplat packaging\n"
    "The PyPI release builds its CUDA code at first use and needs the CUDA toolkit (nvcc) of the version in "
    "torch.version.cuda; to watch the build: python -c 'from gsplat.cuda._backend import _C'\n"
    "Without a toolkit, move the tensors to the CPU: gaussians.to('cpu') and cameras.to('cpu')."
)
