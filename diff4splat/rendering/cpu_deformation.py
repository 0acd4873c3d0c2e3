r"""Numba functions: Gaussians of a deforming field at one time, and the gradient of that.

The same as `DeformableGaussianField.at`, up to the signs of quaternions, from the deltas that are stored
before and after the time and its `fraction` of the way between them. Arithmetic is in float64. At fraction 0
the deltas before are used as they are, and those after are not read.

Slerp needs no angles per Gaussian: with $h = \cos\frac\omega2$, the weight of its end is

$$\frac{\sin f\omega}{\sin\omega} = \frac fh \; {}_2F_1\left(1 - 2f, 1 + 2f; \tfrac32; \tfrac{1-h}2\right)$$

and that of its start the same with $1-f$ in the place of $f$. Source: Abramowitz and Stegun, 15.1.16. All
Gaussians share the coefficients. The shorter way has $h \ge 0.7$, so that each term of the series is less
than a sixth of the one before, and quaternions that are almost the same need no case of their own.
"""

import math

import numpy as np

from diff4splat.rendering.cpu_jit import inlined

__all__ = ["deform_backward", "deform_forward"]

_TERMS = 12  # what is left out is below 1e-9
_SMALLEST_SHARE = 1e-3  # see `gaussians.deformation`


@inlined
def _slerp_series(fraction):
    """Coefficients of h times the weights of start and end, and of their derivatives in `fraction`."""
    series = np.empty((_TERMS, 4))
    other = 1.0 - fraction
    start, end, d_start, d_end = other, fraction, -1.0, 1.0
    for i in range(_TERMS):
        if i > 0:
            step = 1.0 / (i * (i + 0.5))
            d_start = step * ((i * i - 4.0 * other * other) * d_start + 8.0 * other * start)
            d_end = step * ((i * i - 4.0 * fraction * fraction) * d_end - 8.0 * fraction * end)
            start *= step * (i * i - 4.0 * other * other)
            end *= step * (i * i - 4.0 * fraction * fraction)
        series[i, 0], series[i, 1], series[i, 2], series[i, 3] = start, end, d_start, d_end
    return series


@inlined
def _quaternion(values, g):
    w, x, y, z = values[g, 0], values[g, 1], values[g, 2], values[g, 3]
    return np.float64(w), np.float64(x), np.float64(y), np.float64(z)


@inlined
def _turn(turns, time, g):
    return (
        np.float64(turns[time, g, 0]),
        np.float64(turns[time, g, 1]),
        np.float64(turns[time, g, 2]),
        np.float64(turns[time, g, 3]),
    )


@inlined
def _dot(p, q):
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2] + p[3] * q[3]


@inlined
def _sum(a, p, b, q):
    return a * p[0] + b * q[0], a * p[1] + b * q[1], a * p[2] + b * q[2], a * p[3] + b * q[3]


@inlined
def _product(p, q):
    """Hamilton product."""
    return (
        p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3],
        p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2],
        p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1],
        p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0],
    )


@inlined
def _conjugated(q):
    return q[0], -q[1], -q[2], -q[3]


@inlined
def _add(target, g, q):
    target[g, 0] += np.float32(q[0])
    target[g, 1] += np.float32(q[1])
    target[g, 2] += np.float32(q[2])
    target[g, 3] += np.float32(q[3])


@inlined
def _add_turn(target, time, g, q):
    target[time, g, 0] += np.float32(q[0])
    target[time, g, 1] += np.float32(q[1])
    target[time, g, 2] += np.float32(q[2])
    target[time, g, 3] += np.float32(q[3])


@inlined
def deform_forward(
    first, last, scene, motion, lower, upper, fraction, linear_scales, out_means, out_quaternions, out_scales
):  # fmt: skip
    """Fill in a range of Gaussians at one time; what is not finite, or has no direction, gives NaN.

    `lower` and `upper` are the stored times before and after, `fraction` in [0, 1] is the place between them;
    `linear_scales` says in which space scales are added. Gaussian g becomes entry g - `first`.
    """
    series = _slerp_series(fraction)
    for g in range(first, last):
        turn = _turn(motion.turns, lower, g)
        if fraction != 0.0:
            end = _turn(motion.turns, upper, g)
            start_square, end_square = _dot(turn, turn), _dot(end, end)
            cosine = _dot(turn, end) / math.sqrt(start_square * end_square)
            half = math.sqrt(0.5 + 0.5 * abs(cosine))
            y = 0.5 - 0.5 * half
            near, far = 0.0, 0.0
            for i in range(_TERMS - 1, -1, -1):
                near, far = near * y + series[i, 0], far * y + series[i, 1]
            far *= math.sqrt(start_square / end_square)  # the end at the length of the start
            turn = _sum(near, turn, math.copysign(far, cosine), end)
        turned = _product(_quaternion(scene.quaternions, g), turn)
        length = math.sqrt(_dot(turned, turned))
        out_quaternions[g - first, 0] = np.float32(turned[0] / length)
        out_quaternions[g - first, 1] = np.float32(turned[1] / length)
        out_quaternions[g - first, 2] = np.float32(turned[2] / length)
        out_quaternions[g - first, 3] = np.float32(turned[3] / length)
    for g in range(first, last):
        for k in range(3):
            shift, change = np.float64(motion.means[lower, g, k]), np.float64(motion.scales[lower, g, k])
            if fraction != 0.0:
                shift += fraction * (np.float64(motion.means[upper, g, k]) - shift)
                change += fraction * (np.float64(motion.scales[upper, g, k]) - change)
            scale = np.float64(scene.scales[g, k])
            if linear_scales:
                moved, least = scale + change, scale * _SMALLEST_SHARE
                scale = least if moved < least else moved
            else:
                scale *= math.exp(change)
            out_means[g - first, k] = np.float32(np.float64(scene.means[g, k]) + shift)
            out_scales[g - first, k] = np.float32(scale)


@inlined
def deform_backward(
    first, last, scene, motion, lower, upper, fraction, linear_scales, moving,
    grad_out_means, grad_out_quaternions, grad_out_scales, grad_scene, grad_motion,
):  # fmt: skip
    """Add the gradients of one time and return that of `fraction`.

    The latter costs reading what is stored at `upper` also at fraction 0, so it is 0 there unless `moving` is
    true. Gradients at `upper` stay as they are at fraction 0.
    """
    series = _slerp_series(fraction)
    between = moving or fraction != 0.0
    d_fraction = 0.0
    for g in range(first, last):
        start = _turn(motion.turns, lower, g)
        turn = start
        if between:
            end = _turn(motion.turns, upper, g)
            start_square, end_square = _dot(start, start), _dot(end, end)
            cosine = _dot(start, end) / math.sqrt(start_square * end_square)
            sign = math.copysign(1.0, cosine)
            # The end is taken at the length of the start.
            ratio = math.sqrt(start_square / end_square)
            end, cosine = _sum(sign * ratio, end, 0.0, end), sign * cosine
            half = math.sqrt(0.5 + 0.5 * cosine)
            y = 0.5 - 0.5 * half
            near, far, near_y, far_y, near_f, far_f = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(_TERMS - 1, -1, -1):
                near_y, far_y = near_y * y + near, far_y * y + far
                near, far = near * y + series[i, 0], far * y + series[i, 1]
                near_f, far_f = near_f * y + series[i, 2], far_f * y + series[i, 3]
            turn = _sum(near, start, far, end)

        # unit product -> product -> its two factors
        canonical = _quaternion(scene.quaternions, g)
        turned = _product(canonical, turn)
        d = _quaternion(grad_out_quaternions, g - first)
        square = _dot(turned, turned)
        length = math.sqrt(square)
        d = _sum(1.0 / length, d, -_dot(d, turned) / (square * length), turned)
        _add(grad_scene.quaternions, g, _product(d, _conjugated(turn)))
        d = _product(_conjugated(canonical), d)

        if between:  # slerp -> its weights and ends
            on_start, on_end = _dot(d, start), _dot(d, end)
            d_fraction += near_f * on_start + far_f * on_end
            d_cosine = -0.125 / half * (near_y * on_start + far_y * on_end)
            longer = far * on_end / start_square  # the end grows with the start
            towards_end = _sum(1.0 / start_square, end, -cosine / start_square, start)
            towards_start = _sum(1.0 / start_square, start, -cosine / start_square, end)
            d_start = _sum(d_cosine, towards_end, longer, start)
            d_end = _sum(d_cosine, towards_start, -longer, end)
            _add_turn(grad_motion.turns, lower, g, _sum(near, d, 1.0, d_start))
            _add_turn(grad_motion.turns, upper, g, _sum(sign * ratio * far, d, sign * ratio, d_end))
        else:
            _add_turn(grad_motion.turns, lower, g, d)
    for g in range(first, last):
        for k in range(3):
            scale, change = np.float64(scene.scales[g, k]), np.float64(motion.scales[lower, g, k])
            step, rate = 0.0, 0.0  # of displacement and of change of scale, from lower to upper
            if between:
                step = np.float64(motion.means[upper, g, k]) - np.float64(motion.means[lower, g, k])
                rate = np.float64(motion.scales[upper, g, k]) - change
                change += fraction * rate
            d_shift, d_change = (
                np.float64(grad_out_means[g - first, k]),
                np.float64(grad_out_scales[g - first, k]),
            )
            grad_scene.means[g, k] += np.float32(d_shift)
            if not linear_scales:
                stretch = math.exp(change)
                grad_scene.scales[g, k] += np.float32(d_change * stretch)
                d_change *= scale * stretch
            elif scale + change < scale * _SMALLEST_SHARE:
                grad_scene.scales[g, k] += np.float32(d_change * _SMALLEST_SHARE)
                d_change = 0.0
            else:
                grad_scene.scales[g, k] += np.float32(d_change)
            grad_motion.means[lower, g, k] += np.float32((1.0 - fraction) * d_shift)
            grad_motion.scales[lower, g, k] += np.float32((1.0 - fraction) * d_change)
            if between:
                grad_motion.means[upper, g, k] += np.float32(fraction * d_shift)
                grad_motion.scales[upper, g, k] += np.float32(fraction * d_change)
                d_fraction += step * d_shift + rate * d_change
    return d_fraction
