"""Pairs of frames that see the same things from different places."""

import torch

from diff4splat.data.recordings import Recording

__all__ = ["pick_pairs", "sample_frames"]

_OFFSETS = (0, 1, 4, 5, 10, 11)  # neighbours are there so that poses can be tried one frame off
_GROUPS = 3
_BASELINE = 0.08  # shares of the median depth
_ANGLE = 25.0  # degrees


def sample_frames(num_frames: int) -> list[int]:
    """Frames to look at: groups at the start, middle and end, each with near and far neighbours.

    Args:
        num_frames: Frames of the recording, at least 1.

    Returns:
        Places, ascending; all of a short recording.
    """
    span = _OFFSETS[-1] + 1
    if num_frames <= _GROUPS * len(_OFFSETS):
        return list(range(num_frames))
    starts = [round(group * (num_frames - span) / (_GROUPS - 1)) for group in range(_GROUPS)]
    return sorted({start + offset for start in starts for offset in _OFFSETS})


def pick_pairs(recording: Recording, most: int = 6) -> list[tuple[int, int]]:
    """Pairs that overlap and have some baseline, whatever the conventions of the poses are.

    The angle between two cameras and, mostly, their distance do not depend on the direction and the axes of
    the poses, so a recording that was read wrongly gives useful pairs, too. Half of the pairs are those whose
    distance is nearest to 8 % of the median depth; half are, among the better ones of these, those that turn
    the most, up to 25 degrees.

    Args:
        recording: With cameras and depth.
        most: Pairs at most.

    Returns:
        Places of frames, the earlier one first; empty where there are no two frames, no cameras or no depth.
    """
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None or recording.num_frames < 2:
        return []
    poses = cameras.camera_to_world.double()
    sound = torch.isfinite(poses).flatten(1).all(1) & mask.flatten(1).any(1)
    rotations = poses[:, :3, :3]
    cosine = (torch.einsum("iab,jab->ij", rotations, rotations) - 1) / 2
    angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    distance = torch.cdist(poses[:, :3, 3], poses[:, :3, 3], compute_mode="donot_use_mm_for_euclid_dist")
    known = depth[mask & torch.isfinite(depth)]
    middle = float(known.median()) if len(known) else 1.0
    off = ((distance + 1e-9) / (_BASELINE * max(middle, 1e-9))).log().abs()
    first, second = torch.triu_indices(recording.num_frames, recording.num_frames, 1).unbind()
    kept = sound[first] & sound[second]
    first, second = first[kept], second[kept]
    if len(first) == 0:
        return []
    angles, offs = angle[first, second], off[first, second]
    near = angles <= max(_ANGLE, float(angles.min()))
    first, second, angles, offs = first[near], second[near], angles[near], offs[near]
    by_distance = offs.argsort(stable=True).tolist()
    better = by_distance[: max(most, len(by_distance) // 2)]
    by_angle = sorted(better, key=lambda index: -float(angles[index]))
    both = zip(_apart(by_distance, first, second), _apart(by_angle, first, second), strict=False)
    chosen = list(dict.fromkeys(index for pair in both for index in pair))[:most]
    return sorted((int(first[index]), int(second[index])) for index in chosen)


def _apart(order: list[int], first: torch.Tensor, second: torch.Tensor) -> list[int]:
    """The same order, with those that share both neighbourhoods with one before put last."""
    fresh: list[int] = []
    others: list[int] = []
    taken: set[tuple[int, int]] = set()
    for index in order:
        place = (int(first[index]) // 4, int(second[index]) // 4)
        (others if place in taken else fresh).append(index)
        taken.add(place)
    return fresh + others
