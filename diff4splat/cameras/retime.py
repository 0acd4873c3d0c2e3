"""Another number of frames along a camera path, or another speed."""

from typing import Literal

import torch

from diff4splat.cameras.cameras import Cameras

__all__ = ["retime_path"]


def retime_path(
    cameras: Cameras, num_frames: int | None = None, *, speed: Literal["kept", "constant"] = "kept"
) -> Cameras:
    """The same path with other frames on it, from the first camera to the last.

    Args:
        cameras: One path without batch axes.
        num_frames: New number of frames, at least 1; as many as before when omitted.
        speed: "kept" spreads the frames evenly in time; "constant" evenly along the way, so that pauses
            vanish (a path that goes nowhere keeps its time).

    Returns:
        Cameras between the given ones, by `Cameras.interpolate`.

    Raises:
        ValueError: If there are batch axes, or an argument is out of range.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> path = trajectory.forward(5, height=64, width=96)
        >>> retime_path(path, 3).positions[:, 2].tolist()
        [0.0, 0.5, 1.0]
    """
    if cameras.batch_shape:
        raise ValueError(f"cameras must have no batch axes, got batch shape {list(cameras.batch_shape)}.")
    if speed not in ("kept", "constant"):
        raise ValueError(f"speed must be kept or constant, got {speed!r}.")
    count = cameras.num_frames if num_frames is None else num_frames
    if count < 1:
        raise ValueError(f"num_frames must be at least 1, got {count}.")
    times = torch.linspace(0, 1, count, dtype=torch.float64)
    steps = torch.linalg.vector_norm(cameras.positions.detach().cpu().double().diff(dim=-2), dim=-1)
    if speed == "constant" and steps.sum() > 0:
        times = _times_of_even_steps(steps, times)
    return cameras.interpolate(times.to(cameras.dtype).clamp(0, 1))


def _times_of_even_steps(steps: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Times at which shares of the whole way are done, frame i of F standing at i / (F - 1)."""
    way = torch.cat((steps.new_zeros(1), steps.cumsum(dim=0)))
    wanted = shares * way[-1]
    upper = torch.searchsorted(way, wanted).clamp(1, len(steps))
    step = steps[upper - 1]
    within = (wanted - way[upper - 1]) / torch.where(step > 0, step, torch.ones_like(step))
    return (upper - 1 + within) / len(steps)
