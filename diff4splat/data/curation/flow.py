"""Optical flow: what the pictures show, and what the camera alone would cause."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import pixel_grid, project, rigid_inverse, unproject

__all__ = ["FlowMethod", "VideoFlow", "ego_flow", "estimate_flow"]

FlowMethod = Literal["tvl1", "ilk"]
"""How `estimate_flow` finds flow: "tvl1" is smoother and right more often, "ilk" takes half of the time."""

_NEAREST = 1e-6
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class VideoFlow:
    """Where pixels go between neighbouring frames, as any model of optical flow tells it.

    Args:
        forward: From each frame but the last to the next one, (x, y) in pixels.
        backward: From each frame but the first to the one before.

    Raises:
        ValueError: If the shapes differ.
    """

    forward: Float[Tensor, "pair xy=2 height width"]
    backward: Float[Tensor, "pair xy=2 height width"]

    def __post_init__(self) -> None:
        if self.forward.shape != self.backward.shape:
            raise ValueError(
                f"backward must have the shape of forward, {list(self.forward.shape)}, got "
                f"{list(self.backward.shape)}."
            )


def ego_flow(
    depth: Float[Tensor, "pair height width"], source: Cameras, target: Cameras
) -> Float[Tensor, "pair xy=2 height width"]:
    r"""Flow that a moving camera alone causes, if all that it sees rests.

    $$f(p) = \pi\bigl(K' R'^\top (R K^{-1} z\,(p, 1)^\top + t - t')\bigr) - p,
      \qquad \pi(x, y, z) = (x, y) / z$$

    with $p$ the centre of a pixel, $z$ = `depth`, $K, R, t$ of `source` and $K', R', t'$ of `target`. Its
    difference from the flow that is observed is the motion of things.

    Args:
        depth: z-depth seen by `source`, scene units.
        source: The cameras that flow starts from, one per pair, without batch axes.
        target: The cameras that it leads to, one per pair.

    Returns:
        Flow (x, y) in pixels, in float64; NaN where depth is not finite and > 0, or the point would be behind
        the target camera.

    Raises:
        ValueError: If the cameras are not those of the maps.
    """
    for name, cameras in (("source", source), ("target", target)):
        found = (*cameras.batch_shape, cameras.num_frames, cameras.height, cameras.width)
        if found != tuple(depth.shape):
            raise ValueError(f"{name} must have the size of depth, {tuple(depth.shape)}, got {found}.")
    height, width = depth.shape[-2:]
    known = torch.isfinite(depth) & (depth > 0)
    z = torch.where(known, depth, 1).double()
    start, end = source.camera_to_world.double(), target.camera_to_world.double()
    points = unproject(z, rigid_inverse(end) @ start, source.intrinsics.double()).flatten(1, 2)
    identity = torch.eye(4, dtype=torch.float64, device=depth.device).expand(len(depth), 4, 4)
    pixels, there = project(points, identity, target.intrinsics.double())
    grid = pixel_grid(height, width, device=depth.device, dtype=torch.float64).flatten(0, 1)
    seen = known.flatten(1) & (there > _NEAREST)
    flow = torch.where(seen[..., None], pixels - grid, torch.nan)
    return flow.mT.unflatten(-1, (height, width))


def estimate_flow(
    video: UInt8[Tensor, "frame rgb=3 height width"], *, method: FlowMethod = "tvl1"
) -> VideoFlow:
    """Optical flow between neighbouring frames, by classical methods that need no weights.

    It is meant for small motions of some pixels between frames and for recordings without anything better;
    give the flow of a learned model where there is one.

    Args:
        video: sRGB frames, at least two.
        method: Of scikit-image; see `FlowMethod`.

    Returns:
        Flow forward and backward.

    Raises:
        ValueError: If there are fewer than two frames, or the method is not known.
        ModuleNotFoundError: If scikit-image is missing.
    """
    if len(video) < 2:
        raise ValueError(f"video must have at least 2 frames, got {len(video)}.")
    if method not in get_args(FlowMethod):
        raise ValueError(f"method must be one of {list(get_args(FlowMethod))}, got {method!r}.")
    try:
        from skimage.registration import optical_flow_ilk, optical_flow_tvl1
    except ImportError as error:
        raise ModuleNotFoundError(
            'estimate_flow needs scikit-image: pip install "diff4splat[data]", or pip install scikit-image.'
        ) from error
    find = optical_flow_tvl1 if method == "tvl1" else optical_flow_ilk
    grey = np.tensordot(_LUMA, video.cpu().numpy().astype(np.float32) / 255, axes=(0, 1)).astype(np.float32)
    pairs = list(zip(grey, grey[1:], strict=False))
    forward = [find(one, other)[::-1] for one, other in pairs]  # rows before columns, there
    backward = [find(other, one)[::-1] for one, other in pairs]
    return VideoFlow(*(torch.from_numpy(np.stack(flow).astype(np.float32)) for flow in (forward, backward)))
