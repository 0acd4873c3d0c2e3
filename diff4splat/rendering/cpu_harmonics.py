r"""Numba functions: colours of Gaussians seen from one point, and the gradient of that.

The same series as `evaluate_harmonics`. For a unit direction (x, y, z), $c_m + i s_m = (x + i y)^m$, and the
basis is

$$Y_{l,m} = N_{lm} \, \Pi_l^m(z) \, c_m, \qquad Y_{l,-m} = N_{lm} \, \Pi_l^m(z) \, s_m$$

with the norms N and $\Pi_l^m$, the m-th derivative of the Legendre polynomial of degree l over its value at
l = m. Arithmetic is in float64.
"""

import math

import numpy as np

from diff4splat.rendering.cpu_jit import inlined

__all__ = ["harmonics_backward", "harmonics_forward"]

_MAX_DEGREE = 4


def _tables():
    """Norms, and the two factors of the recurrence from degree l - 1 and l - 2 to l; all at [m, l]."""
    norms, factors, factors_below = np.zeros((3, _MAX_DEGREE + 1, _MAX_DEGREE + 1))
    for order in range(_MAX_DEGREE + 1):
        first = (-1) ** order * math.prod(range(1, 2 * order, 2))
        for level in range(order, _MAX_DEGREE + 1):
            ratio = math.factorial(level - order) / math.factorial(level + order)
            norm = math.sqrt((2 - (order == 0)) * (2 * level + 1) / (4 * math.pi) * ratio)
            norms[order, level] = first * norm
            if level > order:
                factors[order, level] = (2 * level - 1) / (level - order)
                factors_below[order, level] = (level + order - 1) / (level - order)
    return norms, factors, factors_below


_NORMS, _FACTORS, _FACTORS_BELOW = _tables()


@inlined
def _degree(harmonics):
    return int(math.sqrt(harmonics.shape[1])) - 1


@inlined
def _direction(means, g, center):
    """Unit direction from the centre, and its length; none, at the centre, is (0, 0, 0)."""
    x, y, z = means[g, 0] - center[0], means[g, 1] - center[1], means[g, 2] - center[2]
    length = math.sqrt(x * x + y * y + z * z)
    inverse = 1.0 / length if length != 0.0 else 0.0
    return x * inverse, y * inverse, z * inverse, inverse


@inlined
def harmonics_forward(first, last, harmonics, means, shift, center, out):
    """Fill in the colours of a range, seen from `center`; they are not clamped.

    Gaussian g is entry g - `shift` of the means and g - `first` of the colours.
    """
    degree = _degree(harmonics)
    if degree == 0:  # the same from everywhere
        for g in range(first, last):
            for channel in range(3):
                out[g - first, channel] = np.float32(0.5 + _NORMS[0, 0] * harmonics[g, 0, channel])
        return
    for g in range(first, last):
        x, y, z, _ = _direction(means, g - shift, center)
        red, green, blue = 0.5, 0.5, 0.5
        cosine, sine = 1.0, 0.0  # c_m and s_m
        for m in range(degree + 1):
            below, legendre = 0.0, 1.0
            for level in range(m, degree + 1):
                if level > m:
                    rest = _FACTORS_BELOW[m, level] * below
                    below, legendre = legendre, _FACTORS[m, level] * z * legendre - rest
                value = _NORMS[m, level] * legendre
                k = level * level + level + m
                red += value * cosine * harmonics[g, k, 0]
                green += value * cosine * harmonics[g, k, 1]
                blue += value * cosine * harmonics[g, k, 2]
                if m > 0:
                    k = level * level + level - m
                    red += value * sine * harmonics[g, k, 0]
                    green += value * sine * harmonics[g, k, 1]
                    blue += value * sine * harmonics[g, k, 2]
            cosine, sine = x * cosine - y * sine, x * sine + y * cosine
        out[g - first, 0], out[g - first, 1], out[g - first, 2] = (
            np.float32(red),
            np.float32(green),
            np.float32(blue),
        )


@inlined
def harmonics_backward(first, last, harmonics, means, shift, center, grad_colors, grad_harmonics, grad_means):
    """Add the gradients and return that of `center`; those of a direction that is none are zero.

    Gaussians without a gradient, those out of sight, are skipped.
    """
    degree = _degree(harmonics)
    sum_x, sum_y, sum_z = 0.0, 0.0, 0.0
    if degree == 0:
        for g in range(first, last):
            for channel in range(3):
                grad_harmonics[g, 0, channel] += np.float32(_NORMS[0, 0] * grad_colors[g - first, channel])
        return sum_x, sum_y, sum_z
    for g in range(first, last):
        red, green, blue = (
            np.float64(grad_colors[g - first, 0]),
            np.float64(grad_colors[g - first, 1]),
            np.float64(grad_colors[g - first, 2]),
        )
        if red == 0.0 and green == 0.0 and blue == 0.0:
            continue
        x, y, z, inverse = _direction(means, g - shift, center)
        d_x, d_y, d_z = 0.0, 0.0, 0.0
        cosine, sine, cosine_before, sine_before = 1.0, 0.0, 0.0, 0.0
        for m in range(degree + 1):
            below, legendre, slope_below, slope = 0.0, 1.0, 0.0, 0.0
            sum_cosine, sum_sine = 0.0, 0.0  # gradients of c_m and s_m
            for level in range(m, degree + 1):
                if level > m:
                    factor, factor_below = _FACTORS[m, level], _FACTORS_BELOW[m, level]
                    slope_below, slope = slope, factor * (legendre + z * slope) - factor_below * slope_below
                    below, legendre = legendre, factor * z * legendre - factor_below * below
                norm = _NORMS[m, level]
                value = norm * legendre * cosine
                k = level * level + level + m
                grad_harmonics[g, k, 0] += np.float32(value * red)
                grad_harmonics[g, k, 1] += np.float32(value * green)
                grad_harmonics[g, k, 2] += np.float32(value * blue)
                d_even = norm * (
                    red * harmonics[g, k, 0] + green * harmonics[g, k, 1] + blue * harmonics[g, k, 2]
                )
                sum_cosine += legendre * d_even
                d_z += slope * cosine * d_even
                if m > 0:
                    value = norm * legendre * sine
                    k = level * level + level - m
                    grad_harmonics[g, k, 0] += np.float32(value * red)
                    grad_harmonics[g, k, 1] += np.float32(value * green)
                    grad_harmonics[g, k, 2] += np.float32(value * blue)
                    d_odd = norm * (
                        red * harmonics[g, k, 0] + green * harmonics[g, k, 1] + blue * harmonics[g, k, 2]
                    )
                    sum_sine += legendre * d_odd
                    d_z += slope * sine * d_odd
            # the slope of c_m + i s_m is m times the power before along x, and i times that along y
            d_x += m * (sum_cosine * cosine_before + sum_sine * sine_before)
            d_y += m * (sum_sine * cosine_before - sum_cosine * sine_before)
            cosine_before, sine_before = cosine, sine
            cosine, sine = x * cosine - y * sine, x * sine + y * cosine
        along = d_x * x + d_y * y + d_z * z
        d_x, d_y, d_z = (
            (d_x - along * x) * inverse,
            (d_y - along * y) * inverse,
            (d_z - along * z) * inverse,
        )
        grad_means[g - shift, 0] += np.float32(d_x)
        grad_means[g - shift, 1] += np.float32(d_y)
        grad_means[g - shift, 2] += np.float32(d_z)
        sum_x += d_x
        sum_y += d_y
        sum_z += d_z
    return -sum_x, -sum_y, -sum_z
