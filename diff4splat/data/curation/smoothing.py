"""Tracks without the noise of depth: points move along the rays that they were seen on."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.curation.seen_places import seen_places

__all__ = ["moving_tracks", "smooth_tracks"]


def smooth_tracks(
    tracks: Float[Tensor, "track frame xyz=3"],
    visible: Bool[Tensor, "track frame"],
    cameras: Cameras,
    *,
    moving: Bool[Tensor, " track"],
    numbers: Sequence[int] = (),
    depth_deviation: float = 0.05,
    pixel_deviation: float = 1.0,
    acceleration: float = 0.01,
) -> Float[Tensor, "track frame xyz=3"]:
    r"""Lifted tracks with the noise of depth taken out, in closed form.

    A point that rests becomes the one place that fits all frames best,

    $$X = \arg\min_X \sum_t \frac{\lVert P_t (X - X_t) \rVert^2}{(\sigma_p z_t / f_t)^2} +
      \frac{(d_t^\top (X - X_t))^2}{(\sigma_d z_t)^2}, \qquad P_t = I - d_t d_t^\top,$$

    and one that moves stays on the rays that it was seen on, $X_t' = c_t + s_t (X_t - c_t)$, with

    $$s = \arg\min_s \sum_t \frac{(s_t - 1)^2}{\sigma_d^2} +
      \sum_t \frac{\lVert D_t X' \rVert^2}{(\sigma_a \bar z)^2},$$

    where $X_t$ = `tracks`, $c_t$ the centre of the camera, $d_t$ the direction from there to $X_t$, $z_t$
    their distance, $f_t$ the focal length, $\bar z$ the median of $z_t$, $D_t$ the second divided
    difference of three frames in which the point is visible, times 2, and $\sigma_d$ = `depth_deviation`,
    $\sigma_p$ = `pixel_deviation`, $\sigma_a$ = `acceleration`. The second is a system of five bands for each
    track. Source: ours, after the two kinds of track that Stereo4D tells apart.

    Args:
        tracks: World positions, scene units; any value where not visible.
        visible: Where they count.
        cameras: One per frame, without batch axes.
        moving: Which points move; see `moving_tracks`.
        numbers: Number of each frame, ascending, so that gaps are gaps in time; 0, 1, ... when omitted.
        depth_deviation: Error of depth, share of it.
        pixel_deviation: Error of the tracker, pixels.
        acceleration: Usual change of the motion per frame, share of the distance.

    Returns:
        Positions, NaN where not visible. A point that rests has one position; one that moves and is visible
        in fewer than three frames stays as it is.

    Raises:
        ValueError: If shapes do not agree, positions are not finite where visible, numbers do not ascend, or
            a deviation is not above 0.
    """
    frames = cameras.num_frames
    times = list(numbers) or list(range(frames))
    if cameras.batch_shape or tracks.shape[1] != frames or visible.shape != tracks.shape[:2]:
        raise ValueError(
            f"tracks and visible must have the {frames} frames of cameras without batch axes, got "
            f"{list(tracks.shape)} and {list(visible.shape)}."
        )
    if moving.shape != tracks.shape[:1]:
        raise ValueError(f"moving must have shape {[len(tracks)]}, got {list(moving.shape)}.")
    if len(times) != frames or any(b <= a for a, b in zip(times, times[1:], strict=False)):
        raise ValueError(f"numbers must be {frames} that ascend, got {times}.")
    for name, value in (
        ("depth_deviation", depth_deviation),
        ("pixel_deviation", pixel_deviation),
        ("acceleration", acceleration),
    ):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}.")
    if not torch.isfinite(tracks[visible]).all():
        raise ValueError("tracks must be finite where visible, got NaN or infinity.")
    points = torch.where(visible[..., None], tracks.double(), 0.0)
    centres = cameras.positions.double()
    focal = cameras.intrinsics.double()[:, [0, 1], [0, 1]].mean(-1)
    result = torch.where(visible[..., None], points, torch.nan)
    still = ~moving
    if still.any():
        spread = (depth_deviation, pixel_deviation)
        fitted = _one_place(points[still], visible[still], centres, focal, *spread)
        result[still] = torch.where(visible[still][..., None], fitted[:, None], torch.nan)
    ratio = (depth_deviation / acceleration) ** 2
    for index in moving.nonzero()[:, 0].tolist():
        seen = visible[index].nonzero()[:, 0]
        if len(seen) >= 3:
            when = np.array([times[frame] for frame in seen.tolist()], dtype=np.float64)
            rays = (points[index, seen] - centres[seen]).numpy()
            result[index, seen] = torch.from_numpy(_along_rays(rays, centres[seen].numpy(), when, ratio))
    return result.to(tracks.dtype)


def moving_tracks(
    tracks: Float[Tensor, "track frame xyz=3"],
    visible: Bool[Tensor, "track frame"],
    cameras: Cameras,
    *,
    min_motion: float = 8 / 512,
    min_depth_motion: float = 0.15,
    quantile: float = 0.9,
) -> Bool[Tensor, " track"]:
    """Which points move: no single place of the world explains where they are seen, and how far away.

    The place is the one that `smooth_tracks` would give; a point moves if, in some of the frames, it is seen
    far from where that place would be, or at another depth, as things are that come straight towards the
    camera.

    Args:
        tracks: World positions, scene units.
        visible: Where they count.
        cameras: One per frame, without batch axes.
        min_motion: Least distance of what moves from that place, share of the longer side of the image.
            Source: Stereo4D, where what moves goes over 16 pixels of 512; half, as the place lies amid them.
        min_depth_motion: Least relative difference of depth of what moves. Ours: three times the error of
            depth that `smooth_tracks` expects.
        quantile: Of the distances over the frames of a track, in [0, 1].

    Returns:
        True for points that move; False where they are visible once or never.

    Raises:
        ValueError: If shapes do not agree, positions are not finite where visible, or an option is out of its
            range.
    """
    for name, value in (("min_motion", min_motion), ("min_depth_motion", min_depth_motion)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}.")
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must lie in [0, 1], got {quantile}.")
    none = torch.zeros(len(tracks), dtype=torch.bool)
    resting = smooth_tracks(tracks, visible, cameras, moving=none)
    if not len(tracks):
        return none
    counted = visible[..., None]
    seen, depth, _ = seen_places(torch.where(counted, tracks, 0).transpose(0, 1), cameras)
    there, z, _ = seen_places(torch.where(counted, resting, 0).transpose(0, 1), cameras)
    pixels = torch.where(z > 0, (seen - there).norm(dim=-1), torch.inf)
    count = visible.sum(1)
    rank = (quantile * (count - 1).clamp_min(0)).ceil().long()[:, None]
    moving = none
    for off, limit in (
        (pixels, min_motion * max(cameras.height, cameras.width)),
        (torch.where(z > 0, (depth / z - 1).abs(), torch.inf), min_depth_motion),
    ):
        ordered = torch.where(visible, off.T, torch.inf).sort(1).values
        moving = moving | (ordered.gather(1, rank)[:, 0] > limit)
    return moving & (count >= 2)


def _one_place(
    points: Tensor, visible: Tensor, centres: Tensor, focal: Tensor, along: float, across: float
) -> Tensor:
    """The place that fits all frames best, by three equations per track; NaN where none is visible."""
    offsets = points - centres
    distance = offsets.norm(dim=-1).clamp_min(1e-12)
    direction = offsets / distance[..., None]
    outer = direction[..., :, None] * direction[..., None, :]
    eye = torch.eye(3, dtype=points.dtype)
    certain_along = torch.where(visible, (along * distance) ** -2, 0.0)[..., None, None]
    certain_across = torch.where(visible, (across * distance / focal) ** -2, 0.0)[..., None, None]
    matrix = certain_along * outer + certain_across * (eye - outer)
    right = (matrix @ points[..., None]).sum(1)
    total = matrix.sum(1)
    seen = visible.any(1)
    scale = total.diagonal(dim1=-2, dim2=-1).mean(-1)
    total = torch.where(seen[:, None, None], total / scale[:, None, None], eye)
    places = torch.linalg.solve(total, right / scale.clamp_min(1e-300)[:, None, None])[..., 0]
    return torch.where(seen[:, None], places, torch.nan)


def _along_rays(rays: np.ndarray, centres: np.ndarray, times: np.ndarray, ratio: float) -> np.ndarray:
    """Points `centres + s rays`, with the s that minimise (s - 1)^2 and the weighted differences."""
    from scipy.linalg import solveh_banded

    count = len(times)
    before, after = times[1:-1] - times[:-2], times[2:] - times[1:-1]
    whole = 0.5 * (times[2:] - times[:-2])
    # rows of the second divided difference times 2: entries at t - 1, t, t + 1
    rows = np.stack((1 / before, -1 / before - 1 / after, 1 / after), -1) / whole[:, None]
    weight = ratio / np.median(np.linalg.norm(rays, axis=-1)) ** 2
    bands = np.zeros((3, count))  # of the upper half, as LAPACK wants them
    bands[2] = 1
    right = np.ones(count)
    for first in range(count - 2):
        row = rows[first]
        of_centres = row @ centres[first : first + 3]
        for one in range(3):
            right[first + one] -= weight * row[one] * (rays[first + one] @ of_centres)
            for other in range(one, 3):
                product = row[one] * row[other] * (rays[first + one] @ rays[first + other])
                bands[2 - (other - one), first + other] += weight * product
    return centres + solveh_banded(bands, right)[:, None] * rays
