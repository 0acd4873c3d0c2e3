"""Motion of pixels and its loss in plain numpy float64, one pixel at a time."""

import numpy as np


def displacement(depth, row, column, pose, intrinsics, motion_from, motion_to):
    """Displacement of what a pixel sees, in the camera's axes and units of its depth.

    The motions are 3 x 4 transforms from an object's place at time 0 to its place at the two times.
    """
    local = np.linalg.inv(intrinsics) @ np.array([column + 0.5, row + 0.5, 1.0]) * depth
    world = pose[:3, :3] @ local + pose[:3, 3]
    at_zero = motion_from[:, :3].T @ (world - motion_from[:, 3])
    moved = motion_to[:, :3] @ at_zero + motion_to[:, 3]
    return pose[:3, :3].T @ (moved - world) / depth


def turn(pose, motion_from, motion_to):
    """Rotation between the two times in the camera's axes: sine of half the angle along the axis.

    From the matrix alone: its skew part is sin(angle) times the axis, its trace 1 + 2 cos(angle).
    """
    matrix = pose[:3, :3].T @ motion_to[:, :3] @ motion_from[:, :3].T @ pose[:3, :3]
    skew = (
        np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) / 2
    )
    half_cosine = np.sqrt(max((1 + np.trace(matrix)) / 4, 0))
    return skew / (
        2 * half_cosine
    )  # sin(a) = 2 sin(a / 2) cos(a / 2); fails at half turns, which do not occur


def leaves(motion):
    """Whether an object is ever farther than 0.02 from its first place, or turned that much."""
    shifts = [np.linalg.norm(frame[:, 3] - motion[0, :, 3]) for frame in motion]
    turns = [np.linalg.norm(frame[:, :3] - motion[0, :, :3]) for frame in motion]
    return max(*shifts, *turns) > 0.02


def track_targets(tracks, visible, poses, intrinsics, picks, size):
    """One clip: displacement `[time, frame, 3, h, w]`, NaN where unknown, and what moves, `[frame, h, w]`.

    `tracks` are `[track, frame, 3]`; poses and intrinsics are of all frames, every fourth has a map.
    """
    frames = range(0, tracks.shape[1], 4)
    displacements = np.full((len(picks), len(frames), 3, *size), np.nan)
    moving, taken = (np.zeros((len(frames), *size), dtype=bool) for _ in range(2))
    for f, frame in enumerate(frames):
        rotation, center = poses[frame][:3, :3], poses[frame][:3, 3]
        for track, seen in zip(tracks, visible, strict=True):
            if not seen[frame]:
                continue
            local = rotation.T @ (track[frame] - center)
            if local[2] <= 0:
                continue
            x, y, _ = intrinsics[frame] @ local / local[2]
            row, column = int(np.floor(y)), int(np.floor(x))
            if not (0 <= row < size[0] and 0 <= column < size[1]) or taken[f, row, column]:
                continue
            taken[f, row, column] = True
            places = [place for place, is_seen in zip(track, seen, strict=True) if is_seen]
            moving[f, row, column] = max(np.linalg.norm(place - places[0]) for place in places) > 0.02
            for t, pick in enumerate(picks):
                if seen[pick]:
                    moved = rotation.T @ (track[pick] - track[frame]) / local[2]
                    displacements[t, f, :, row, column] = moved
    return displacements, moving


def balanced_error(predicted, target, moving, known, *, rest_weight=0.3, softness=0.03):
    """One clip: softened error on movers plus a share of that elsewhere; the sums of both kinds of error."""
    soft, made, still = {True: 0.0, False: 0.0}, 0.0, 0.0
    count = {True: 0, False: 0}
    for t, f, h, w in np.ndindex(*predicted[:, :, 0].shape):
        if not known[t, f, h, w]:
            continue
        error = np.linalg.norm(predicted[t, f, :, h, w] - target[t, f, :, h, w])
        kind = bool(moving[f, h, w])
        soft[kind] += np.sqrt(error**2 + softness**2) - softness
        count[kind] += 1
        if kind:
            made += error
            still += np.linalg.norm(target[t, f, :, h, w])
    fewest = max(0.005 * predicted[:, :, 0].size, 1)
    means = {kind: soft[kind] / max(count[kind], fewest) for kind in soft}
    return means[True] + rest_weight * means[False], made, still


def error_beside_movers(predicted, target, moving, known, *, reach, softness=0.03):
    """One clip: softened error at resting pixels of which one within `reach` rows and columns moves."""
    errors = [0.0, 0]
    for t, f, h, w in np.ndindex(*predicted[:, :, 0].shape):
        rows, columns = slice(max(h - reach, 0), h + reach + 1), slice(max(w - reach, 0), w + reach + 1)
        if known[t, f, h, w] and not moving[f, h, w] and moving[f, rows, columns].any():
            error = np.linalg.norm(predicted[t, f, :, h, w] - target[t, f, :, h, w])
            errors[0] += np.sqrt(error**2 + softness**2) - softness
            errors[1] += 1
    return errors[0] / max(errors[1], 0.005 * known.size, 1)
