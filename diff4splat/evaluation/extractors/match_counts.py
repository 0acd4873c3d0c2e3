"""How many points the frames of a clip share, and how many of these agree with the commanded cameras."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.evaluation.extractors.protocols import Matcher, Matches
from diff4splat.evaluation.metrics.matching import epipolar_inliers

__all__ = ["AverageMatches", "average_matches"]


@dataclass(frozen=True, eq=False)
class AverageMatches:
    """Matches of the frames of a clip.

    Args:
        first: Matches between frame 0 and each later frame.
        next: Matches between each frame and the next.
        inliers: Matches of `first` that agree with the commanded cameras; None where no cameras were given.
    """

    first: Int64[Tensor, " pair"]
    next: Int64[Tensor, " pair"]
    inliers: Int64[Tensor, " pair"] | None = None

    @property
    def first_mean(self) -> float:
        """Mean number of matches with frame 0."""
        return float(self.first.double().mean())

    @property
    def next_mean(self) -> float:
        """Mean number of matches between neighbours."""
        return float(self.next.double().mean())

    @property
    def inlier_share(self) -> float:
        """Share of all matches with frame 0 that agree; NaN without cameras or without a match."""
        if self.inliers is None:
            return float("nan")
        return float(self.inliers.sum().double() / self.first.sum())


def average_matches(
    matcher: Matcher,
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    cameras: Cameras | None = None,
    *,
    threshold_px: float = 1.0,
) -> AverageMatches:
    """Count matches from frame 0 to each later frame, and between neighbours.

    The paper says "between input views and generated novel views" in Sec. 4.2, which is the first count, and
    "frame-to-frame" in its appendix, which is the second. Many matches mean that frames show the same things
    sharply; a frozen clip has the most of all, and whether things are at the right place is not asked. So the
    share that agrees with the commanded cameras stands beside them. Things that move by themselves disagree
    rightly.

    Args:
        matcher: What matches two frames.
        frames: RGB of one clip.
        cameras: The commanded cameras, one per frame, for the share that agrees; not counted when omitted.
        threshold_px: Largest distance from the epipolar lines, pixels; see `epipolar_distances`.

    Returns:
        The counts.

    Raises:
        ValueError: If there are fewer than two frames, or the cameras are not one per frame of this size.
    """
    if len(frames) < 2:
        raise ValueError(f"frames must be at least 2, got {len(frames)}.")
    if cameras is not None:
        expected, got = (len(frames), *frames.shape[-2:]), (cameras.num_frames, cameras.height, cameras.width)
        if cameras.batch_shape or got != expected:
            raise ValueError(f"cameras must be one path of (frames, height, width) {expected}, got {got}.")
    with_first = [matcher(frames[0], frame) for frame in frames[1:]]
    neighbours = [with_first[0], *(matcher(*frames[at : at + 2]) for at in range(1, len(frames) - 1))]
    inliers = None
    if cameras is not None:
        inliers = torch.stack(
            [_agreeing(found, cameras, at, threshold_px) for at, found in enumerate(with_first, 1)]
        )
    return AverageMatches(_counts(with_first), _counts(neighbours), inliers)


def _counts(found: Sequence[Matches]) -> Int64[Tensor, " pair"]:
    return torch.tensor([len(matches) for matches in found])


def _agreeing(matches: Matches, cameras: Cameras, frame: int, threshold_px: float) -> Tensor:
    """Number of matches of frame 0 and another that agree with their cameras."""
    pair = [0, frame]
    poses, lenses = (values[pair].detach().cpu() for values in (cameras.camera_to_world, cameras.intrinsics))
    return epipolar_inliers(matches.first, matches.second, poses, lenses, threshold_px=threshold_px).sum()
