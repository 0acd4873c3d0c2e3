"""Optical flow: what the pictures show, and what the camera alone would cause."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.recordings import Recording
from diff4splat.geometry import pixel_grid, project, rigid_inverse, unproject

__all__ = ["FlowMethod", "VideoFlow", "camera_flow", "ego_flow", "estimate_flow"]

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
    flow = torch.empty(len(depth), 2, *depth.shape[1:], dtype=torch.float64, device=depth.device)
    start, end = source.camera_to_world.double(), target.camera_to_world.double()
    lens, other_lens = source.intrinsics.double(), target.intrinsics.double()
    moves = rigid_inverse(end) @ start
    for pair, z in enumerate(depth):  # one after the other, as maps in float64 are large
        flow[pair] = _ego_flow(z.double(), moves[pair], lens[pair], other_lens[pair])
    return flow


def camera_flow(recording: Recording) -> VideoFlow:
    """`ego_flow` between all neighbouring frames of a recording.

    Args:
        recording: With cameras and depth, two frames or more.

    Returns:
        Flow in float64; NaN where depth is not known.

    Raises:
        ValueError: If there are no cameras, no depth or fewer than two frames.
    """
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None:
        raise ValueError("recording must have cameras and depth, got one without.")
    if recording.num_frames < 2:
        raise ValueError("recording must have at least 2 frames, got 1.")
    known = torch.where(mask, depth, torch.nan)
    earlier, later = cameras.select(slice(0, -1)), cameras.select(slice(1, None))
    return VideoFlow(ego_flow(known[:-1], earlier, later), ego_flow(known[1:], later, earlier))


def estimate_flow(
    video: UInt8[Tensor, "frame rgb=3 height width"],
    *,
    guess: VideoFlow | None = None,
    method: FlowMethod = "tvl1",
) -> VideoFlow:
    r"""Optical flow between neighbouring frames, by classical methods that need no weights.

    It is meant for recordings without anything better; give the flow of a learned model where there is one.
    With a guess $g$, the second frame is carried back by it first, and what is left is found,

    $$f(p) = r(p) + g(p + r(p)), \qquad I(p) \approx J\bigl(p + r(p) + g(p + r(p))\bigr),$$

    so that only the motion of things has to be small and not that of the camera.

    Args:
        video: sRGB frames, at least two.
        guess: Such as `camera_flow`; NaN is no motion.
        method: Of scikit-image; see `FlowMethod`.

    Returns:
        Flow forward and backward.

    Raises:
        ValueError: If there are fewer than two frames, the guess is not that of these frames, or the method
            is not known.
        ModuleNotFoundError: If scikit-image is missing.
    """
    frames, _, height, width = video.shape
    if frames < 2:
        raise ValueError(f"video must have at least 2 frames, got {frames}.")
    if method not in get_args(FlowMethod):
        raise ValueError(f"method must be one of {list(get_args(FlowMethod))}, got {method!r}.")
    shape = (frames - 1, 2, height, width)
    if guess is not None and guess.forward.shape != shape:
        raise ValueError(f"guess must have shape {list(shape)}, got {list(guess.forward.shape)}.")
    try:
        from skimage.registration import optical_flow_ilk, optical_flow_tvl1
    except ImportError as error:
        raise ModuleNotFoundError(
            'estimate_flow needs scikit-image: pip install "diff4splat[data]", or pip install scikit-image.'
        ) from error
    find = optical_flow_tvl1 if method == "tvl1" else optical_flow_ilk
    grey = np.tensordot(_LUMA, video.cpu().numpy().astype(np.float64) / 255, axes=(0, 1))
    found = []
    for ahead in (True, False):
        guesses = np.zeros(shape)
        if guess is not None:
            guesses = (guess.forward if ahead else guess.backward).double().nan_to_num(0, 0, 0).cpu().numpy()
        pairs = zip(*((grey, grey[1:]) if ahead else (grey[1:], grey)), guesses, strict=False)
        found.append(np.stack([_flow(find, one, other, start) for one, other, start in pairs]))
    return VideoFlow(*(torch.from_numpy(flow.astype(np.float32)) for flow in found))


def _ego_flow(depth: Tensor, move: Tensor, lens: Tensor, other_lens: Tensor) -> Tensor:
    """Flow [xy, height, width] of one pair, by the rigid motion from one camera to the other."""
    height, width = depth.shape
    known = torch.isfinite(depth) & (depth > 0)
    points = unproject(torch.where(known, depth, 1), move, lens).flatten(0, 1)
    pixels, z = project(points, torch.eye(4, dtype=depth.dtype, device=depth.device), other_lens)
    grid = pixel_grid(height, width, device=depth.device, dtype=depth.dtype).flatten(0, 1)
    seen = known.flatten() & (z > _NEAREST)
    return torch.where(seen[:, None], pixels - grid, torch.nan).T.unflatten(-1, (height, width))


def _flow(
    find: Callable[..., np.ndarray], one: np.ndarray, other: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Flow [xy, height, width] from one picture to another, from a start."""
    if not start.any():
        return find(one.astype(np.float32), other.astype(np.float32))[::-1]  # rows before columns, there
    from scipy.ndimage import map_coordinates

    places = np.indices(one.shape) + start[::-1]
    size = np.array(one.shape).reshape(2, 1, 1)
    inside = ((places >= 0) & (places <= size - 1)).all(0)
    carried = np.where(inside, map_coordinates(other, places, order=1, mode="nearest"), one)
    rest = find(one.astype(np.float32), carried.astype(np.float32))
    there = np.indices(one.shape) + rest
    moved = np.stack([map_coordinates(part, there, order=1, mode="nearest") for part in start])
    return rest[::-1] + moved
