"""Deformation of one Gaussian in plain numpy float64 (Diff4Splat, Eq. 7)."""

import numpy as np
from reference.geometry_quaternion import multiply, rotation_vector, slerp, to_matrix


def deform(mean, quaternion, scale, delta_mean, delta_quaternion, delta_scale, scale_space):
    product = multiply(quaternion, delta_quaternion)
    if scale_space == "log":
        new_scale = np.exp(np.log(scale) + delta_scale)
    else:
        new_scale = np.maximum(scale + delta_scale, 1e-3 * scale)
    return mean + delta_mean, product / np.linalg.norm(product), new_scale


def interpolate(times, delta_means, delta_quaternions, delta_scales, time):
    """Deltas of one Gaussian at any time: [time, ...] arrays, held outside the stored times."""
    if time <= times[0]:
        return delta_means[0], delta_quaternions[0], delta_scales[0]
    for index in range(len(times) - 1):
        if times[index] <= time <= times[index + 1]:
            share = (time - times[index]) / (times[index + 1] - times[index])
            return (
                (1 - share) * delta_means[index] + share * delta_means[index + 1],
                slerp(delta_quaternions[index], delta_quaternions[index + 1], share),
                (1 - share) * delta_scales[index] + share * delta_scales[index + 1],
            )
    return delta_means[-1], delta_quaternions[-1], delta_scales[-1]


def between(mean0, quaternion0, scale0, mean1, quaternion1, scale1, scale_space):
    """Eq. 7 solved for the deltas, the quaternion with w >= 0."""
    turn = multiply(quaternion0 * np.array([1, -1, -1, -1]), quaternion1)
    turn = (turn if turn[0] >= 0 else -turn) / np.linalg.norm(turn)
    return mean1 - mean0, turn, np.log(scale1 / scale0) if scale_space == "log" else scale1 - scale0


def velocity(quaternion, gap, delta_means, delta_quaternions, delta_scales):
    """Rates of one Gaussian in an interval: [2, ...] arrays of deltas at its ends, `gap` apart."""
    turn = multiply(delta_quaternions[0] * np.array([1, -1, -1, -1]), delta_quaternions[1])
    axes = to_matrix(multiply(quaternion, delta_quaternions[0]))
    return (
        (delta_means[1] - delta_means[0]) / gap,
        axes @ rotation_vector(turn) / gap,
        (delta_scales[1] - delta_scales[0]) / gap,
    )
