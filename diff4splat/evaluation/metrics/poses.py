"""How far the path of a camera is from the one that was commanded, frame by frame."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import rigid_inverse

__all__ = ["PathScale", "RelativePoseErrors", "relative_pose_errors"]

PathScale = Literal["none", "steps", "positions"]
"""What estimated positions are multiplied by: nothing, or the factor that suits steps or positions best."""

_REST = 1e-6  # length of a path by its distance from the origin, below which it has no scale


@dataclass(frozen=True, eq=False)
class RelativePoseErrors:
    """Errors of each pair of frames, and what they come to.

    Args:
        translation: Length of the error of the way from one frame to the other, in the unit of the reference;
            NaN throughout where the scale cannot be found.
        rotation_deg: Angle of the error of the turn, degrees.
        scale: Factor that the estimated positions were multiplied by; NaN where it cannot be found.
        num_missing: Pairs of which a frame was not registered; they have no errors, and are not left unsaid.
    """

    translation: Float[Tensor, " pair"]
    rotation_deg: Float[Tensor, " pair"]
    scale: float
    num_missing: int

    @property
    def translation_mean(self) -> float:
        """Mean of the translation errors; NaN where there is none."""
        return float(self.translation.mean())

    @property
    def translation_rmse(self) -> float:
        """Root of their mean square."""
        return float(self.translation.square().mean().sqrt())

    @property
    def rotation_mean_deg(self) -> float:
        """Mean of the rotation errors, degrees; NaN where there is none."""
        return float(self.rotation_deg.mean())

    @property
    def rotation_rmse_deg(self) -> float:
        """Root of their mean square, degrees."""
        return float(self.rotation_deg.square().mean().sqrt())


def relative_pose_errors(
    estimated: Cameras,
    reference: Cameras,
    *,
    scale: PathScale,
    step: int = 1,
    registered: Bool[Tensor, " frame"] | None = None,
) -> RelativePoseErrors:
    r"""Relative pose error: how much the way between two frames differs.

    $$E_i = (Q_i^{-1} Q_{i+d})^{-1} (P_i^{-1} P_{i+d}), \qquad
      \epsilon_i = \lVert t(E_i) \rVert, \quad \phi_i = \angle R(E_i)$$

    with $P$ = `estimated` and $Q$ = `reference`, camera to world, and $d$ = `step`. A rigid motion of either
    path as a whole changes nothing. Its scale does, and estimated paths have none of their own, so what to do
    has to be said: "steps" takes $s = \sum_i t(Q_i^{-1} Q_{i+d}) \cdot t(P_i^{-1} P_{i+d}) / \sum_i \lVert
    t(P_i^{-1} P_{i+d}) \rVert^2$, "positions" the scale of the similarity that takes the centres of the
    cameras to each other with the least squares. Source: Sturm et al. 2012, which reports the root of the
    mean square; Diff4Splat reports "RPE" as an average and states neither scale nor unit.

    Args:
        estimated: One path, without batch axes, any unit unless `scale` is "none".
        reference: The path that was commanded, as many frames.
        scale: See above.
        step: Frames between the two of a pair; all pairs are taken.
        registered: Frames that the estimator found; all when omitted.

    Returns:
        Errors in float64 of the pairs whose frames are registered.

    Raises:
        ValueError: If there are batch axes, the numbers of frames differ or are not above `step`, a pose of a
            registered frame is not finite, or an option is none.
    """
    if scale not in get_args(PathScale):
        raise ValueError(f"scale must be one of {', '.join(get_args(PathScale))}, got {scale!r}.")
    if estimated.batch_shape or reference.batch_shape:
        raise ValueError("estimated and reference must be single paths, got batch axes.")
    frames = reference.num_frames
    if estimated.num_frames != frames:
        raise ValueError(f"estimated must have the {frames} frames of reference, got {estimated.num_frames}.")
    if not 1 <= step < frames:
        raise ValueError(f"step must be from 1 to {frames - 1}, got {step}.")
    known = torch.ones(frames, dtype=torch.bool) if registered is None else registered.cpu()
    if len(known) != frames:
        raise ValueError(f"registered must be one for each of {frames} frames, got {len(known)}.")
    paths = [path.camera_to_world.detach().cpu().double() for path in (estimated, reference)]
    for name, path in zip(("estimated", "reference"), paths, strict=True):
        if not torch.isfinite(path[known]).all():
            raise ValueError(f"{name} must have finite poses where registered, got NaN or infinity.")
    pairs = known[:-step] & known[step:]
    moved, expected = (rigid_inverse(path[:-step][pairs]) @ path[step:][pairs] for path in paths)
    factor = _factor(scale, moved, expected, *(path[known, :3, 3] for path in paths))
    moved = moved.clone()
    moved[:, :3, 3] *= factor
    error = rigid_inverse(expected) @ moved
    return RelativePoseErrors(
        error[:, :3, 3].norm(dim=-1), _angles_deg(error[:, :3, :3]), factor, int((~pairs).sum())
    )


def _factor(scale: PathScale, moved: Tensor, expected: Tensor, centres: Tensor, targets: Tensor) -> float:
    """Reference units per unit of the estimate; NaN where the estimated camera rests."""
    if scale == "none":
        return 1.0
    size = 1e-12 + float(centres.norm(dim=-1).max()) if len(centres) else 0.0
    if len(centres) < 2 or float((centres - centres[:1]).norm(dim=-1).max()) <= _REST * size:
        return math.nan
    if scale == "steps":
        ways, goals = moved[:, :3, 3], expected[:, :3, 3]
        weight = float(ways.square().sum())
        return float((ways * goals).sum()) / weight if weight > 0 else math.nan
    offsets, goals = centres - centres.mean(0), targets - targets.mean(0)
    u, strengths, v = torch.linalg.svd(goals.T @ offsets)
    signs = torch.ones_like(strengths)
    signs[-1] = torch.linalg.det(u @ v).sign()  # a rotation, not a reflection
    return float((strengths * signs).sum() / offsets.square().sum())


def _angles_deg(rotations: Float[Tensor, "pair 3 3"]) -> Float[Tensor, " pair"]:
    """Angles of rotations, exact near 0 and 180 degrees, too."""
    skew = rotations - rotations.mT
    sine = torch.stack((skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]), -1).norm(dim=-1)
    cosine = rotations.diagonal(dim1=-2, dim2=-1).sum(-1) - 1
    return torch.rad2deg(torch.atan2(sine, cosine))
