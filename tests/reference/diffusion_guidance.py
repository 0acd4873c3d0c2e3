"""Guidance formulas in float64, one sample at a time (schedule: Diff4Splat, Eq. 6)."""

import math

import numpy as np


def cosine_scale(step, num_steps, maximum, exponent):
    fraction = (num_steps - step) / num_steps
    return 1 + maximum * (1 - math.cos(math.pi * fraction**exponent)) / 2


def guide(conditional, unconditional, scale):
    return unconditional + scale * (conditional - unconditional)


def zero_star(conditional, unconditional, scale):
    """CFG-Zero*: s = <c, u> / |u|^2, then s u + g (c - s u), for each sample."""
    out = np.zeros(conditional.shape)
    for sample, (c, u) in enumerate(zip(conditional, unconditional, strict=True)):
        s = np.sum(c * u) / np.sum(u * u)
        out[sample] = s * u + scale * (c - s * u)
    return out


def adaptive_projected(conditional, unconditional, scale, parallel, norm_limit):
    """APG without momentum: shorten d = c - u, split it along c, damp the parallel part."""
    out = np.zeros(conditional.shape)
    for sample, (c, u) in enumerate(zip(conditional, unconditional, strict=True)):
        d = c - u
        length = math.sqrt(np.sum(d * d))
        if length > norm_limit:
            d = d * norm_limit / length
        unit = c / math.sqrt(np.sum(c * c))
        along = np.sum(d * unit) * unit
        out[sample] = c + (scale - 1) * ((d - along) + parallel * along)
    return out
