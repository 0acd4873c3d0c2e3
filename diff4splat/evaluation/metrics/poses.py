"""How far the path of a camera is from the one that was commanded."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import rigid_inverse

__all__ = [
    "PathScale",
    "PathScores",
    "RelativePoseErrors",
    "absolute_trajectory_errors",
    "path_scores",
    "relative_pose_errors",
]

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
        problem: Why there is no error, or none of translation, in words; empty if there is.
    """

    translation: Float[Tensor, " pair"]
    rotation_deg: Float[Tensor, " pair"]
    scale: float
    num_missing: int
    problem: str = ""

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
    t(P_i^{-1} P_{i+d}) \rVert^2$, at least 0, so that a path walked backwards is not turned round;
    "positions" the scale of the similarity that takes the centres of the cameras to each other with the least
    squares. Where either camera rests, there is no scale: translation errors are NaN and rotations remain.
    Source: Sturm et al. 2012, which reports the root of the mean square; Diff4Splat reports "RPE" as an
    average and states neither scale nor unit. The RotErr and TransErr of CameraCtrl are no RPE: they compare
    absolute poses and sum over the frames.

    Args:
        estimated: One path, without batch axes, any unit unless `scale` is "none".
        reference: The path that was commanded, as many frames.
        scale: See above.
        step: Frames between the two of a pair; all pairs are taken.
        registered: Frames that the estimator found; all when omitted.

    Returns:
        Errors in float64 of the pairs whose frames are registered.

    Raises:
        TypeError: If `registered` is not boolean.
        ValueError: If there are batch axes, the numbers of frames differ or are not above `step`, a pose of a
            registered frame is not finite, or an option is none.
    """
    if scale not in get_args(PathScale):
        raise ValueError(f"scale must be one of {', '.join(get_args(PathScale))}, got {scale!r}.")
    paths, known = _checked(estimated, reference, registered)
    if len(known) < 2:
        raise ValueError(f"reference must have at least 2 frames, got {len(known)}.")
    if not 1 <= step < len(known):
        raise ValueError(f"step must be from 1 to {len(known) - 1}, got {step}.")
    pairs = known[:-step] & known[step:]
    moved, expected = (rigid_inverse(path[:-step][pairs]) @ path[step:][pairs] for path in paths)
    factor, problem = _factor(scale, moved, expected, *(path[known, :3, 3] for path in paths))
    moved = moved.clone()
    moved[:, :3, 3] *= factor
    error = rigid_inverse(expected) @ moved
    if not pairs.any():
        problem = f"no two frames at a distance of {step} are registered"
    return RelativePoseErrors(
        error[:, :3, 3].norm(dim=-1), _angles_deg(error[:, :3, :3]), factor, int((~pairs).sum()), problem
    )


@dataclass(frozen=True)
class PathScores:
    """What a path is worth, under the names of `METRICS`.

    Args:
        rpe_translation_mean: Mean translation error between neighbours, unit of the reference; NaN where
            there is none.
        rpe_translation_rmse: Root of their mean square.
        rpe_rotation_mean_deg: Mean rotation error between neighbours, degrees.
        rpe_rotation_rmse_deg: Root of their mean square, degrees.
        registered: Share of the frames whose pose was found.
        problem: Why numbers are NaN, in words; empty if none is.
    """

    rpe_translation_mean: float
    rpe_translation_rmse: float
    rpe_rotation_mean_deg: float
    rpe_rotation_rmse_deg: float
    registered: float
    problem: str = ""


def path_scores(
    estimated: Cameras,
    reference: Cameras,
    *,
    scale: PathScale,
    registered: Bool[Tensor, " frame"] | None = None,
) -> PathScores:
    """Relative pose errors between neighbours as numbers, and the share of the frames that have a pose.

    Errors are those of the registered frames alone, so they mean little beside a small share.

    Args:
        estimated: One path, without batch axes.
        reference: The path that was commanded, as many frames, at least two.
        scale: What estimated positions are multiplied by; see `relative_pose_errors`.
        registered: Frames that the estimator found; all when omitted.

    Returns:
        The numbers; NaN with a problem where there is none.

    Raises:
        TypeError: As `relative_pose_errors`.
        ValueError: As `relative_pose_errors`.
    """
    errors = relative_pose_errors(estimated, reference, scale=scale, registered=registered)
    return PathScores(
        errors.translation_mean,
        errors.translation_rmse,
        errors.rotation_mean_deg,
        errors.rotation_rmse_deg,
        1.0 if registered is None else float(registered.double().mean()),
        errors.problem,
    )


def absolute_trajectory_errors(
    estimated: Cameras,
    reference: Cameras,
    *,
    alignment: Literal["rigid", "similarity"],
    registered: Bool[Tensor, " frame"] | None = None,
) -> Float[Tensor, " found"]:
    r"""Distances of camera centres after the estimated path was laid on the commanded one.

    $$\epsilon_i = \lVert q_i - (s R p_i + t) \rVert, \qquad
      (s, R, t) = \arg\min \sum_i \lVert q_i - (s R p_i + t) \rVert^2$$

    with the centres $p$ of `estimated` and $q$ of `reference`; $s = 1$ for "rigid". Their root of the mean
    square is the ATE. Turns of the cameras do not count. Source: Sturm et al. 2012; Umeyama 1991.

    Args:
        estimated: One path, without batch axes.
        reference: The path that was commanded, as many frames.
        alignment: What may be fitted.
        registered: Frames that the estimator found, which alone are fitted and measured; all when omitted.

    Returns:
        Distances in float64, unit of the reference; NaN for "similarity" where either camera rests or fewer
        than two frames are registered.

    Raises:
        TypeError: If `registered` is not boolean.
        ValueError: If there are batch axes, the numbers of frames differ, a pose of a registered frame is not
            finite, or an option is none.
    """
    if alignment not in ("rigid", "similarity"):
        raise ValueError(f"alignment must be rigid or similarity, got {alignment!r}.")
    paths, known = _checked(estimated, reference, registered)
    centres, targets = (path[known, :3, 3] for path in paths)
    scale, rotation = _similarity(centres, targets)
    if alignment == "rigid":
        scale = 1.0
    elif _problem(centres, targets):
        return torch.full((len(centres),), torch.nan, dtype=torch.float64)
    laid = scale * (centres - centres.mean(0)) @ rotation.T
    return (targets - targets.mean(0) - laid).norm(dim=-1)


def _checked(
    estimated: Cameras, reference: Cameras, registered: Tensor | None
) -> tuple[list[Tensor], Bool[Tensor, " frame"]]:
    """Poses of two paths in float64, and which frames count."""
    if estimated.batch_shape or reference.batch_shape:
        raise ValueError("estimated and reference must be single paths, got batch axes.")
    frames = reference.num_frames
    if estimated.num_frames != frames:
        raise ValueError(f"estimated must have the {frames} frames of reference, got {estimated.num_frames}.")
    known = torch.ones(frames, dtype=torch.bool) if registered is None else registered.cpu()
    if known.dtype != torch.bool:  # numbers would choose frames by their places
        raise TypeError(f"registered must be boolean, got {known.dtype}.")
    if known.shape != (frames,):
        raise ValueError(f"registered must be one for each of {frames} frames, got {tuple(known.shape)}.")
    paths = [path.camera_to_world.detach().cpu().double() for path in (estimated, reference)]
    for name, path in zip(("estimated", "reference"), paths, strict=True):
        if not torch.isfinite(path[known]).all():
            raise ValueError(f"{name} must have finite poses where registered, got NaN or infinity.")
    return paths, known


def _factor(
    scale: PathScale, moved: Tensor, expected: Tensor, centres: Tensor, targets: Tensor
) -> tuple[float, str]:
    """Reference units per unit of the estimate; NaN and a reason where there is no scale."""
    if scale == "none":
        return 1.0, ""
    problem = _problem(centres, targets)
    if problem:
        return math.nan, problem
    if scale == "positions":
        return _similarity(centres, targets)[0], ""
    ways, goals = moved[:, :3, 3], expected[:, :3, 3]
    weight = float(ways.square().sum())
    if weight == 0:
        return math.nan, "the estimated camera rests between registered neighbours"
    return max(0.0, float((ways * goals).sum()) / weight), ""


def _problem(centres: Tensor, targets: Tensor) -> str:
    """Why two paths have no common scale; empty if they have."""
    if len(centres) < 2:
        return f"{len(centres)} of the frames registered, a scale needs two"
    for name, places in (("estimated", centres), ("commanded", targets)):
        size = 1e-12 + float(places.norm(dim=-1).max())
        if float((places - places[:1]).norm(dim=-1).max()) <= _REST * size:
            return f"the {name} camera rests, so positions have no scale"
    return ""


def _similarity(centres: Tensor, targets: Tensor) -> tuple[float, Float[Tensor, "3 3"]]:
    """Scale and rotation that take centred points to others with the least squares."""
    offsets, goals = centres - centres.mean(0), targets - targets.mean(0)
    u, strengths, v = torch.linalg.svd(goals.T @ offsets)
    signs = torch.ones_like(strengths)
    signs[-1] = torch.linalg.det(u @ v).sign()  # a rotation, not a reflection
    return float((strengths * signs).sum() / offsets.square().sum()), u @ signs.diag() @ v


def _angles_deg(rotations: Float[Tensor, "pair 3 3"]) -> Float[Tensor, " pair"]:
    """Angles of rotations, exact near 0 and 180 degrees, too."""
    skew = rotations - rotations.mT
    sine = torch.stack((skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]), -1).norm(dim=-1)
    cosine = rotations.diagonal(dim1=-2, dim2=-1).sum(-1) - 1
    return torch.rad2deg(torch.atan2(sine, cosine))
