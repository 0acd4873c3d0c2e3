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


def balanced_motion_loss(predicted, target, moving, *, rest_weight=0.3, softness=0.03):
    """Softened error on movers plus a share of that elsewhere; and error on movers over that of no motion."""
    soft, plain, still = {True: [], False: []}, [], []
    for b, t, f, h, w in np.ndindex(*predicted[:, :, :, 0].shape):
        error = np.linalg.norm(predicted[b, t, f, :, h, w] - target[b, t, f, :, h, w])
        soft[bool(moving[b, f, h, w])].append(np.sqrt(error**2 + softness**2) - softness)
        if moving[b, f, h, w]:
            plain.append(error)
            still.append(np.linalg.norm(target[b, t, f, :, h, w]))
    weights = {True: 1.0, False: rest_weight}
    loss = sum(weights[kind] * np.mean(part) for kind, part in soft.items() if part)
    return loss, sum(plain) / max(sum(still), 1e-6)
