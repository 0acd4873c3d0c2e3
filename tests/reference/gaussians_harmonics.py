"""Real spherical harmonics from their definition in angles, in numpy float64, one direction at a time."""

import math

import numpy as np


def basis(direction, degree):
    """Values in order (l, m), with P_l^m from Rodrigues' formula and the Condon-Shortley factor (-1)^m."""
    x, y, z = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    azimuth, sine = math.atan2(y, x), math.hypot(x, y)
    values = []
    for level in range(degree + 1):
        for order in range(-level, level + 1):
            m = abs(order)
            legendre = np.polynomial.Polynomial([-1, 0, 1]) ** level / (2**level * math.factorial(level))
            legendre = legendre.deriv(level + m) if level + m else legendre
            associated = (-1) ** m * sine**m * legendre(z)
            norm = math.sqrt(
                (2 * level + 1) / (4 * math.pi) * math.factorial(level - m) / math.factorial(level + m)
            )
            if order == 0:
                values.append(norm * associated)
            else:
                wave = math.cos(m * azimuth) if order > 0 else math.sin(m * azimuth)
                values.append(math.sqrt(2) * norm * associated * wave)
    return np.array(values)
