"""The scale of cameras whose depth is known in metres: the one with which frames agree."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.data.checking.pairs import pick_pairs
from diff4splat.data.checking.surface import pixel_corners, surface_depth
from diff4splat.data.recordings import Recording
from diff4splat.geometry import project, rigid_inverse, unproject_pixels

__all__ = ["CameraScale", "camera_scale_from_depth"]

_FINE, _FINEST = 61, 81  # scales that are tried
_STEP, _COARSE = (
    5.0,
    (200, 2000),
)  # pixels that a step moves things at most, and bounds on the number of steps
_COARSE_PIXELS, _COARSE_MOST = 300, 0.5  # few pixels; and a wide funnel, too, as the minimum may be narrow
_CANDIDATES = 3
_SPAN = (1e-3, 10.0)  # distance between cameras by the depth of the scene
_MOST = 0.1  # error at which a pixel is as wrong as one that is lost
_EDGE = 0.1  # differences of depth next to a pixel at which it is an edge
_CONTRAST, _CONTRAST_OF_ONE = 0.92, 0.5  # least error by the median; a single pair has nothing to resample
_ASIDE, _AS_DEEP = (
    0.2,
    0.97,
)  # ln of a scale that is another one, and the share of the depth it must not reach
_NUM_RESAMPLES = 200


@dataclass(frozen=True)
class CameraScale:
    """Metres per unit of the cameras, and how far to trust them.

    Args:
        scale: For `Recording.scale` or `align_recording`; NaN where none could be found.
        variation: Standard deviation of the scale over resampled pairs of frames, by the scale; NaN for a
            single pair.
        error: Mean error at this scale, in [0, 1], see `camera_scale_from_depth`.
        num_pairs: Pairs of frames that were compared.
        reason: Why it should not be used, in words; None where it may be.
    """

    scale: float
    variation: float = math.nan
    error: float = math.nan
    num_pairs: int = 0
    reason: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return self.reason is None

    def facts(self) -> dict[str, Any]:
        """Every field as JSON knows it.

        Returns:
            Values by name; None for what is not a finite number.
        """
        values = {"scale": self.scale, "variation": self.variation, "error": self.error}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        return {**finite, "num_pairs": self.num_pairs, "reason": self.reason}


def camera_scale_from_depth(
    recording: Recording,
    *,
    max_variation: float = 0.05,
    num_pairs: int = 12,
    num_pixels: int = 1500,
    generator: torch.Generator | None = None,
) -> CameraScale:
    r"""The factor of camera positions with which depth and colours of a frame arrive in the others.

    $$s^* = \arg\min_s \sum_{(i, j), p}
      \min\Bigl(1, \frac{\lvert \ln (z'_s / z_j(p'_s)) \rvert}{\epsilon}\Bigr)
      + \min\Bigl(1, \frac{\lvert I_i(p) - I_j(p'_s) \rvert}{\epsilon}\Bigr),
      \qquad z'_s (p'_s, 1)^\top = K_j R_j^\top (R_i K_i^{-1} z_i (p, 1)^\top + s (t_i - t_j))$$

    over pairs of frames $(i, j)$ and pixels $p$ of known depth $z$ that do not move, with colours $I$ in
    [0, 1], $\epsilon$ = 0.1, and 1 for what falls outside or onto an edge of depth. The minimum is looked for
    on a grid of $\ln s$ and then on two finer ones around the lowest places. It counts if no scale that is
    more than a fifth off is nearly as good, as it is where patterns repeat or a wall has none. Structure from
    motion gives cameras in a unit of its own; where it also gives points, `metric_scale` is exacter.

    Args:
        recording: Cameras in any unit, depth in metres; pixels of its dynamic mask are left out.
        max_variation: Largest standard deviation of the scale over resampled pairs, by the scale.
        num_pairs: Pairs of frames at most.
        num_pixels: Pixels of each pair at most.
        generator: Source of the draws; one seeded with 0 when omitted.

    Returns:
        The scale; with a `reason` where the camera hardly moves, or frames agree no better at one scale than
        at others, or nearly as well at another one.

    Raises:
        ValueError: If there are no cameras or no depth, or a number is out of range.
    """
    if recording.cameras is None or recording.depth is None or recording.depth_mask is None:
        raise ValueError("recording must have cameras and depth, got one without.")
    if num_pairs < 1 or num_pixels < 1 or not max_variation > 0:
        raise ValueError(
            "num_pairs and num_pixels must be at least 1 and max_variation above 0, got "
            f"{num_pairs}, {num_pixels} and {max_variation}."
        )
    generator = generator or torch.Generator().manual_seed(0)
    pairs = [
        pair
        for first, second in pick_pairs(recording, num_pairs)
        if (pair := _pair(recording, first, second, num_pixels, generator)) is not None
    ]
    if not pairs:
        return CameraScale(math.nan, reason="no two frames from different places see the same")
    baselines = [pair.baseline_by_depth for pair in pairs]
    low, high = (math.log(share / _middle(baselines)) for share in _SPAN)
    moved = max(baselines) * float(recording.cameras.intrinsics[:, 0, 0].max()) * (high - low)
    count = min(max(round(moved / _STEP), _COARSE[0]), _COARSE[1])
    coarse = torch.linspace(low, high, count, dtype=torch.float64)
    few = [pair.thinned(_COARSE_PIXELS) for pair in pairs]
    narrow, wide = (_errors(few, coarse, most=most).mean(0) for most in (_MOST, _COARSE_MOST))
    step = float(coarse[1] - coarse[0])
    places = {place for errors in (narrow, wide) for place in _lowest_places(errors, _CANDIDATES)}
    fine = torch.cat([_around(float(coarse[place]), 2 * step, _FINE) for place in sorted(places)])
    errors = _errors(pairs, fine).mean(0)
    middle, least = float(fine[int(errors.argmin())]), float(errors.min())
    at_the_end = not low + step < middle < high - step
    contrast = _CONTRAST if len(pairs) > 1 else _CONTRAST_OF_ONE
    if at_the_end or least > contrast * float(narrow.median()):
        words = "frames agree no better at one scale of the cameras than at others"
        return CameraScale(math.nan, error=least, num_pairs=len(pairs), reason=words)
    aside = middle + torch.tensor([-_ASIDE, _ASIDE], dtype=torch.float64)
    others = torch.cat((fine[(fine - middle).abs() > _ASIDE], aside))
    at_others = torch.cat((errors[(fine - middle).abs() > _ASIDE], _errors(pairs, aside).mean(0)))
    usual = float(narrow.median())
    if usual - float(at_others.min()) > _AS_DEEP * (usual - least):  # patterns that repeat, or nothing to see
        ratio = math.exp(float(others[at_others.argmin()]) - middle)
        words = f"frames agree nearly as well at {ratio:.3g} times the scale that fits best"
        return CameraScale(math.nan, error=least, num_pairs=len(pairs), reason=words)
    finest = _around(middle, 0.5 * step, _FINEST)
    by_pair = _errors(pairs, finest)
    found = _lowest(finest, by_pair.mean(0))
    drawn = torch.randint(len(pairs), (_NUM_RESAMPLES, len(pairs)), generator=generator)
    wide = _around(middle, 4 * step, _FINEST)
    wide_errors = _errors(pairs, wide)
    scales = torch.stack([_lowest(wide, wide_errors[rows].mean(0)) for rows in drawn]).exp()
    variation = float(scales.std(correction=0) / found.exp()) if len(pairs) > 1 else math.nan
    reason = None
    if variation > max_variation:
        reason = f"the scale of the cameras varies by {variation:.1%}, more than {max_variation:.0%}"
    return CameraScale(float(found.exp()), variation, float(by_pair.mean(0).min()), len(pairs), reason)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Pixels of one frame as seen by another, for any scale of the way between them."""

    points: Float[Tensor, "point xyz=3"]  # in the axes of the second camera, without the way
    way: Float[Tensor, " xyz=3"]
    lens: Float[Tensor, "3 3"]
    colors: Float[Tensor, "point rgb=3"]
    depth: Tensor
    resting: Tensor
    picture: Tensor

    def thinned(self, count: int) -> "_Pair":
        """The same with fewer points; their order is random."""
        return replace(self, points=self.points[:count], colors=self.colors[:count])

    @property
    def baseline_by_depth(self) -> float:
        """Distance between the cameras by the median depth."""
        return float(self.way.norm() / self.points[:, 2].abs().median().clamp_min(1e-12))


def _pair(
    recording: Recording, first: int, second: int, num_pixels: int, generator: torch.Generator
) -> _Pair | None:
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None:
        return None
    resting = mask if recording.dynamic_mask is None else mask & ~recording.dynamic_mask
    places = resting[first].nonzero()
    if not len(places):
        return None
    places = places[torch.randperm(len(places), generator=generator)[:num_pixels]]
    row, column = places.unbind(-1)
    one, other = cameras.camera_to_world.double()[[first, second]]
    lens, other_lens = cameras.intrinsics.double()[[first, second]]
    relative = rigid_inverse(other) @ one
    turn = relative.clone()
    turn[:3, 3] = 0
    way = relative[:3, 3]
    z = depth[first, row, column].double()
    points = unproject_pixels(torch.stack((column, row), -1).double() + 0.5, z, turn, lens)
    if float(way.norm()) <= 1e-6 * float(cameras.camera_to_world[:, :3, 3].abs().max().clamp_min(1e-12)):
        return None
    return _Pair(
        points,
        way,
        other_lens,
        recording.video[first, :, row, column].T.double() / 255,
        depth[second],
        resting[second],
        recording.video[second],
    )


def _errors(
    pairs: list[_Pair], logs: Float[Tensor, " scale"], most: float = _MOST
) -> Float[Tensor, "pair scale"]:
    """Mean error of each pair at each scale, from 0 to 1."""
    return torch.stack([_error(pair, logs.exp(), most) for pair in pairs])


def _error(pair: _Pair, scales: Float[Tensor, " scale"], most: float) -> Float[Tensor, " scale"]:
    points = (pair.points + scales[:, None, None] * pair.way).flatten(0, 1)
    pixels, z = project(points, torch.eye(4, dtype=torch.float64), pair.lens)
    height, width = pair.depth.shape
    inside = (z > 1e-6) & torch.isfinite(pixels).all(-1)
    inside &= ((pixels >= 0) & (pixels < pixels.new_tensor([width, height]))).all(-1)
    far = torch.full_like(z, most)
    unlike = torch.full_like(z, _MOST)
    found, known = surface_depth(pair.depth, pair.resting, pixels[inside], edge=_EDGE)
    compared = inside.nonzero()[known, 0]
    far[compared] = (z[compared] / found[known]).log().abs()
    index, weights, _ = pixel_corners(pixels[compared], height, width)
    there = torch.einsum("cnk,nk->nc", pair.picture.flatten(1)[:, index].double() / 255, weights)
    unlike[compared] = (there - pair.colors[compared % len(pair.colors)]).abs().mean(-1)
    errors = (far.clamp_max(most) / most + unlike.clamp_max(_MOST) / _MOST) / 2
    return errors.reshape(len(scales), -1).mean(1)


def _lowest_places(errors: Float[Tensor, " scale"], count: int) -> list[int]:
    """Places of the lowest local minima, inside."""
    inner = errors[1:-1]
    minima = ((inner <= errors[:-2]) & (inner <= errors[2:])).nonzero()[:, 0]
    return (minima[inner[minima].argsort()][:count] + 1).tolist()


def _around(middle: float, reach: float, count: int) -> Tensor:
    return torch.linspace(middle - reach, middle + reach, count, dtype=torch.float64)


def _lowest(logs: Float[Tensor, " scale"], errors: Float[Tensor, " scale"]) -> Tensor:
    """Where the parabola through the least error and its neighbours is lowest."""
    best = int(errors.argmin().clamp(1, len(logs) - 2))
    left, middle, right = errors[best - 1 : best + 2]
    bend = left - 2 * middle + right
    offset = torch.where(bend > 0, 0.5 * (left - right) / bend.clamp_min(1e-12), 0.0).clamp(-1, 1)
    return logs[best] + offset * (logs[1] - logs[0])


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
