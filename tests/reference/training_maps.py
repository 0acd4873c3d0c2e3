"""Errors of log-depth on the maps of one clip in plain numpy float64, one place at a time."""

import numpy as np


def mean_of(values, places):
    """Sum over as many places as it has, half a percent of all and one at least."""
    return sum(values) / max(len(values), 0.005 * places, 1)


def log_depth_error(error, known):
    values = [abs(error[place]) for place in np.ndindex(*error.shape) if known[place]]
    return mean_of(values, error.size)


def log_depth_slope_error(error, known):
    """Both neighbours at one and at four places, the latter on every fourth row and column alone."""
    total = 0.0
    for step in (1, 4):
        for down, across in ((0, step), (step, 0)):
            values, places = [], 0
            for f, i, j in np.ndindex(*error.shape):
                if i % step or j % step or i + down >= error.shape[1] or j + across >= error.shape[2]:
                    continue
                places += 1
                ahead = (f, i + down, j + across)
                if known[f, i, j] and known[ahead]:
                    values.append(abs(error[ahead] - error[f, i, j]))
            total += mean_of(values, places)
    return total
