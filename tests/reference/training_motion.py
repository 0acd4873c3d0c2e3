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


def balanced_motion_loss(predicted, target, moving):
    """Mean error on movers plus mean error elsewhere; and error on movers over that of no motion."""
    errors, still = {True: [], False: []}, []
    for b, t, f, h, w in np.ndindex(*predicted[:, :, :, 0].shape):
        difference = predicted[b, t, f, :, h, w] - target[b, t, f, :, h, w]
        error = np.sqrt(np.sum(difference**2) + 1e-6)
        errors[bool(moving[b, f, h, w])].append(error)
        if moving[b, f, h, w]:
            still.append(np.linalg.norm(target[b, t, f, :, h, w]))
    loss = sum(np.mean(part) for part in errors.values() if part)
    ratio = sum(errors[True]) / max(sum(still), 1e-6)
    return loss, ratio
