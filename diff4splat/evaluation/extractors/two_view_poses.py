"""Poses of a clip from two of its frames and the points that these fix: OpenCV alone, no learned weights."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.opencv import opencv
from diff4splat.evaluation.extractors.pose_inputs import check_clip, enlarged, path_of
from diff4splat.evaluation.extractors.protocols import EstimatedPath, Matcher, Matches
from diff4splat.evaluation.extractors.sift import SiftMatcher
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["TwoViewPoses"]

_RESTING = 0.9  # share of all matches that agree with an essential matrix, which turns alone explain at rest
_TURN_REACH = 2  # thresholds within which a turn explains a match: a distance from a point, not from a line
_FEWEST_POINTS = 8
_BASES = 5  # pairs that are tried
_LEAST_PARALLAX = math.radians(0.3)  # below, a point is too far to be placed
_ENOUGH_PARALLAX = math.radians(10)  # above, more of it fixes a point no better


class TwoViewPoses:
    """Poses of the two frames that fix the scene best, and of all others by the points that these give.

    Every frame is matched with frame 0. Each pair gives an essential matrix (five points, MAGSAC) and by it a
    turn and a direction. A pair with many matches of much parallax gives points in space; the other frames
    find their poses by these points (perspective-n-point). Five pairs are tried, and the one whose points
    agree with the most matches counts. So positions have one unit, the distance of the two frames. If turns
    alone explain nine tenths of all matches, the camera rests: all positions are 0, RPE has rotations only.

    Limits: everything hangs on one pair and on what frame 0 shows. A clip whose camera leaves the view of
    frame 0 loses frames, there is no common refinement, and a scene of one plane is ambiguous. It is meant
    for short clips and for machines without pycolmap.

    Args:
        matcher: What matches two frames; SIFT with many points of low contrast when omitted.
        enlarge: Factor on the size of the frames before they are matched.
        threshold_px: Largest distance of an inlier from its epipolar line or its place, pixels of the frames
            as they come.
        min_matches: Fewest inliers of a frame.

    Raises:
        ValueError: If an option is out of range.
        ModuleNotFoundError: If OpenCV is missing.
    """

    def __init__(
        self,
        matcher: Matcher | None = None,
        *,
        enlarge: int = 2,
        threshold_px: float = 0.5,
        min_matches: int = 12,
    ) -> None:
        if enlarge < 1:
            raise ValueError(f"enlarge must be at least 1, got {enlarge}.")
        if not 0 < threshold_px < math.inf:
            raise ValueError(f"threshold_px must be a positive number, got {threshold_px}.")
        if min_matches < _FEWEST_POINTS:
            raise ValueError(f"min_matches must be at least {_FEWEST_POINTS}, got {min_matches}.")
        cv2 = opencv("two-view geometry")
        self._matcher: Matcher = SiftMatcher(contrast=0.01) if matcher is None else matcher
        self._enlarge = enlarge
        self._threshold = threshold_px
        self._min_matches = min_matches
        self._spec = ExtractorSpec(
            name=f"two views and their points, OpenCV {cv2.__version__}",
            layer=f"MAGSAC within {threshold_px:g} px, at least {min_matches} inliers; {self._matcher.spec}",
            preprocessing=f"{enlarge} times as large, bicubic",
            weights=self._matcher.spec.weights,
            licence=self._matcher.spec.licence,
            trained=self._matcher.spec.trained,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(
        self,
        frames: UInt8[Tensor, "frame rgb=3 height width"],
        intrinsics: Float[Tensor, "3 3"],
        *,
        mask: Bool[Tensor, "frame height width"] | None = None,
    ) -> EstimatedPath:
        """Estimate poses.

        Args:
            frames: RGB of one clip.
            intrinsics: The lens, pixels.
            mask: Pixels that may be used; all when omitted.

        Returns:
            Poses relative to frame 0 in the unit of the chosen pair; without any registered frame if no pair
            of frames has a geometry.

        Raises:
            ValueError: If there is no frame, the lens is none, or the mask is not as large as the frames.
        """
        check_clip(frames, intrinsics, mask)
        lens = intrinsics.detach().cpu().double().numpy()
        larger = enlarged(frames, self._enlarge)
        pairs = {}
        for index in range(1, len(frames)):
            matches = self._matches(larger, index, mask)
            pair = self._pair(*matches, lens)
            if pair is not None:
                pairs[index] = pair
        if not pairs:
            return path_of(frames, intrinsics, {}, "no frame shares a geometry with frame 0")
        if sum(pair.turned for pair in pairs.values()) >= _RESTING * sum(
            len(pair) for pair in pairs.values()
        ):
            found = {index: _transform(pair.turn, np.zeros(3)) for index, pair in pairs.items()}
        else:
            found = self._by_points(pairs, lens)
        poses = {index: torch.linalg.inv(torch.from_numpy(pose)) for index, pose in found.items()}
        poses[0] = torch.eye(4, dtype=torch.float64)
        missing = len(frames) - len(poses)
        return path_of(
            frames, intrinsics, poses, f"{missing} of {len(frames)} frames share too little with frame 0"
        )

    def _matches(self, larger: Tensor, index: int, mask: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Points of frame 0 and of another, pixels of the frames as they came, where the mask holds."""
        found: Matches = self._matcher(larger[0], larger[index])
        places = [xy.double().cpu() / self._enlarge for xy in (found.first, found.second)]
        if mask is not None:
            kept = torch.ones(len(found), dtype=torch.bool)
            for frame, xy in zip((0, index), places, strict=True):
                kept &= _looked_up(mask[frame].cpu(), xy)
            places = [xy[kept] for xy in places]
        return places[0].numpy(), places[1].numpy()

    def _pair(self, first: np.ndarray, second: np.ndarray, lens: np.ndarray) -> "_Pair | None":
        """Geometry of frame 0 and another."""
        if len(first) < self._min_matches:
            return None
        cv2 = opencv("two-view geometry")
        essential, agreeing = cv2.findEssentialMat(
            first, second, lens, method=cv2.USAC_MAGSAC, prob=0.9999, threshold=self._threshold
        )
        if essential is None or essential.shape != (3, 3):
            return None
        _, rotation, way, _ = cv2.recoverPose(essential, first, second, lens, mask=agreeing.copy())
        inside = agreeing.ravel().astype(bool)
        if inside.sum() < self._min_matches:
            return None
        turn, turned = self._turn(first, second, rotation, lens)
        return _Pair(first, second, inside, rotation, way[:, 0], turn, turned)

    def _turn(
        self, first: np.ndarray, second: np.ndarray, rotation: np.ndarray, lens: np.ndarray
    ) -> tuple[np.ndarray, int]:
        """The turn that explains the most matches, found from two guesses, and how many these are."""
        rays = [_rays(points, lens) for points in (first, second)]
        best = rotation, -1
        for turn in (rotation, np.eye(3)):
            for reach in (8, 4, _TURN_REACH, _TURN_REACH):
                image = rays[0] @ turn.T @ lens.T
                distances = np.linalg.norm(image[:, :2] / image[:, 2:] - second, axis=1)
                inside = distances <= reach * self._threshold
                if reach == _TURN_REACH and inside.sum() > best[1]:
                    best = turn, int(inside.sum())
                if inside.sum() >= 2:
                    turn = _kabsch(rays[0][inside], rays[1][inside])
        return best

    def _by_points(self, pairs: "dict[int, _Pair]", lens: np.ndarray) -> dict[int, np.ndarray]:
        """World-to-camera poses by the points of the pair that explains the most matches.

        A scene that is nearly a plane has two essential matrices, and the wrong one may promise more
        parallax; but its points do not fit the other frames.
        """
        worth = {
            index: np.minimum(pair.parallax(lens), _ENOUGH_PARALLAX).sum() for index, pair in pairs.items()
        }
        bases = sorted(pairs, key=lambda index: (-worth[index], index))[:_BASES]
        tries = [self._from_base(base, pairs, lens) for base in bases]
        return max(tries, key=lambda found: found[1])[0]

    def _from_base(
        self, base: int, pairs: "dict[int, _Pair]", lens: np.ndarray
    ) -> tuple[dict[int, np.ndarray], int]:
        """World-to-camera poses by the points of one pair, and the number of matches that agree with them."""
        pair = pairs[base]
        first, second = pair.first[pair.inside], pair.second[pair.inside]
        found = {base: _transform(pair.rotation, pair.way)}
        points = opencv("two-view geometry").triangulatePoints(
            lens @ np.eye(3, 4), lens @ found[base][:3], first.T, second.T
        )
        places = (points[:3] / points[3]).T
        kept = (places[:, 2] > 0) & (pair.parallax(lens) > _LEAST_PARALLAX)
        known = {tuple(key): place for key, place in zip(first[kept], places[kept], strict=True)}
        agreeing = len(known)
        for index, other in pairs.items():
            resected = None if index == base else self._resection(other, known, lens)
            if resected is not None:
                found[index], inside = resected
                agreeing += inside
        return found, agreeing

    def _resection(
        self, pair: "_Pair", known: dict[tuple[float, ...], np.ndarray], lens: np.ndarray
    ) -> tuple[np.ndarray, int] | None:
        """World-to-camera pose of a frame by points in space, and how many agree."""
        rows = [row for row, key in enumerate(pair.first) if tuple(key) in known]
        if len(rows) < self._min_matches:
            return None
        cv2 = opencv("two-view geometry")
        places = np.array([known[tuple(pair.first[row])] for row in rows])
        seen = np.ascontiguousarray(pair.second[rows])
        done, turn, way, inside = cv2.solvePnPRansac(
            places,
            seen,
            lens,
            None,
            iterationsCount=1000,
            reprojectionError=2 * self._threshold,
            confidence=0.9999,
        )
        if not done or inside is None or len(inside) < self._min_matches:
            return None
        chosen = inside.ravel()
        turn, way = cv2.solvePnPRefineLM(places[chosen], seen[chosen], lens, None, turn, way)
        return _transform(cv2.Rodrigues(turn)[0], way.ravel()), len(chosen)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Frame 0 and another: matches, those that agree, and the way from the first camera to the second.

    The last two are the turn that explains the most matches without any way, and how many.
    """

    first: np.ndarray
    second: np.ndarray
    inside: np.ndarray
    rotation: np.ndarray
    way: np.ndarray
    turn: np.ndarray
    turned: int

    def __len__(self) -> int:
        return int(self.inside.sum())

    def parallax(self, lens: np.ndarray) -> np.ndarray:
        """Angles between the two rays of each match that agrees, radians."""
        one = _rays(self.first[self.inside], lens) @ self.rotation.T
        other = _rays(self.second[self.inside], lens)
        return np.arctan2(np.linalg.norm(np.cross(one, other), axis=1), (one * other).sum(1))


def _rays(points: np.ndarray, lens: np.ndarray) -> np.ndarray:
    rays = np.c_[points, np.ones(len(points))] @ np.linalg.inv(lens).T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _kabsch(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rotation that takes rays to rays with the least squares."""
    u, _, v = np.linalg.svd(second.T @ first)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v


def _transform(rotation: np.ndarray, way: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, way
    return pose


def _looked_up(mask: Tensor, xy: Tensor) -> Tensor:
    """The mask at points, given in pixels."""
    height, width = mask.shape
    columns, rows = xy.floor().long().unbind(-1)
    return mask[rows.clamp(0, height - 1), columns.clamp(0, width - 1)]
