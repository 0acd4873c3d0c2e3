"""Flow matching on straight paths, element by element in float64 (Diff4Splat, Sec. 3.4 and Eq. 2)."""

import math

import numpy as np


def noise_interpolate(clean, noise, time):
    """z_t = (1 - t) z0 + t z1 with one t per entry of the leading axis."""
    out = np.zeros(clean.shape)
    for index in np.ndindex(clean.shape):
        t = float(time[index[0]])
        out[index] = (1 - t) * float(clean[index]) + t * float(noise[index])
    return out


def flow_matching_loss(prediction, clean, noise, weight):
    """Eq. 2 for each sample: w * mean((v - (z1 - z0))^2)."""
    losses = []
    for sample in range(len(prediction)):
        total, count = 0.0, 0
        for v, z0, z1 in zip(prediction[sample].flat, clean[sample].flat, noise[sample].flat, strict=True):
            total += (float(v) - (float(z1) - float(z0))) ** 2
            count += 1
        losses.append(float(weight[sample]) * total / count)
    return np.array(losses)


def shifted_times(num_steps, shift):
    """t' = s t / (1 + (s - 1) t) for even t from 1 to 0."""
    times = []
    for step in range(num_steps + 1):
        t = 1 - step / num_steps
        times.append(shift * t / (1 + (shift - 1) * t))
    return np.array(times)


def cosmap_weight(t):
    return 2 / (math.pi * (1 - 2 * t + 2 * t**2))


def euler(velocity, start, times):
    """Euler's method for dz/dt = velocity(z, t) on given times."""
    z = np.array(start, dtype=np.float64)
    for now, after in zip(times[:-1], times[1:], strict=True):
        z = z + (after - now) * velocity(z, now)
    return z


def logit_normal_weight(t, mean, std):
    """Density of the logistic function of a normal draw, by the change of variables t = 1 / (1 + exp(-x))."""
    if t in (0.0, 1.0):
        return 0.0
    x = math.log(t) - math.log(1 - t)
    normal = math.exp(-((x - mean) ** 2) / (2 * std**2)) / math.sqrt(2 * math.pi * std**2)
    return normal / (t * (1 - t))
