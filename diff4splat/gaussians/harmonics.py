r"""Colour that depends on the viewing direction, as real spherical harmonics up to degree 4.

Order and signs are those of 3D Gaussian splatting and gsplat: coefficient $l^2 + l + m$ holds degree $l$ and
order $m$, with the factor $(-1)^m$ (Condon-Shortley) in the basis. Colour is the series plus 0.5.
"""

import math

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

__all__ = ["rgb_to_harmonics", "harmonics_to_rgb", "evaluate_harmonics", "rotate_harmonics"]

_CONSTANT = 0.5 / math.sqrt(math.pi)  # the basis function of degree 0
_MAX_DEGREE = 4


def rgb_to_harmonics(rgb: Float[Tensor, "*batch rgb=3"]) -> Float[Tensor, "*batch rgb=3"]:
    """Degree-0 coefficients of a colour that is the same from everywhere.

    Args:
        rgb: Colours in [0, 1].

    Returns:
        Coefficients of degree 0 (without a coefficient axis); the inverse of `harmonics_to_rgb`.

    Examples:
        >>> grey = rgb_to_harmonics(torch.full((5, 3), 0.5))
        >>> harmonics = grey[:, None]  # the coefficient axis of `Gaussians.harmonics`
        >>> harmonics.shape
        torch.Size([5, 1, 3])
    """
    return (rgb - 0.5) / _CONSTANT


def harmonics_to_rgb(harmonics: Float[Tensor, "*batch rgb=3"]) -> Float[Tensor, "*batch rgb=3"]:
    """Colour that degree-0 coefficients stand for.

    Args:
        harmonics: Coefficients of degree 0 (without a coefficient axis).

    Returns:
        Colours; outside [0, 1] where the coefficients are, nothing is clamped.
    """
    return harmonics * _CONSTANT + 0.5


def evaluate_harmonics(
    harmonics: Float[Tensor, "*#batch coefficient rgb=3"], directions: Float[Tensor, "*#batch xyz=3"]
) -> Float[Tensor, "*batch rgb=3"]:
    r"""Colour seen along viewing directions, $c(d) = \frac12 + \sum_{lm} k_{lm} Y_{lm}(d)$.

    with $k$ = `harmonics` and $d$ = `directions` scaled to unit length.

    Args:
        harmonics: Coefficients of degree 0 to 4 (1, 4, 9, 16 or 25 of them).
        directions: From the camera centre to the Gaussian, world axes, any length, also zero.

    Returns:
        Colours; not clamped.

    Raises:
        ValueError: If the number of coefficients belongs to no degree.
    """
    largest = directions.detach().abs().amax(dim=-1, keepdim=True)  # whose square may overflow
    scaled = directions / torch.where(largest > 0, largest, torch.ones_like(largest))
    unit = torch.nn.functional.normalize(scaled, dim=-1, eps=0.5)  # all but zero are at least 1 long
    basis = _basis(unit, _degree(harmonics))
    return einsum(basis, harmonics, "... k, ... k c -> ... c") + 0.5


def rotate_harmonics(
    harmonics: Float[Tensor, "*#batch coefficient rgb=3"], rotation: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch coefficient rgb=3"]:
    r"""Coefficients of a turned colour function: $c'(R d) = c(d)$.

    Turn the Gaussians' means and quaternions by the same $R$ = `rotation` and the picture turns with them.
    The matrix between old and new coefficients is found by least squares over directions spread on the
    sphere, in float64, where it is exact to rounding, since rotations map each degree onto itself.

    Args:
        harmonics: Coefficients of degree 0 to 4.
        rotation: Rotation matrices; leading axes broadcast against those of `harmonics`.

    Returns:
        Coefficients of the same degree and type.

    Raises:
        ValueError: If the number of coefficients belongs to no degree.
    """
    degree = _degree(harmonics)
    samples = _sphere_samples(harmonics.device)
    rotation = rotation.to(torch.float64)
    basis = _basis(samples, degree)
    turned_back = einsum(rotation, samples, "... j i, s j -> ... s i")
    transfer = torch.linalg.pinv(basis) @ _basis(turned_back, degree)
    return einsum(transfer.to(harmonics.dtype), harmonics, "... i j, ... j c -> ... i c")


def _degree(harmonics: Tensor) -> int:
    num_coefficients = harmonics.shape[-2]
    degree = math.isqrt(num_coefficients) - 1
    if num_coefficients != (degree + 1) ** 2 or not 0 <= degree <= _MAX_DEGREE:
        raise ValueError(f"harmonics must have 1, 4, 9, 16 or 25 coefficients, got {num_coefficients}.")
    return degree


def _basis(directions: Tensor, degree: int) -> Tensor:
    """Basis values in order (l, m) at unit directions, by recurrence of the Legendre polynomials in z."""
    x, y, z = directions.unbind(dim=-1)
    values: dict[tuple[int, int], Tensor] = {}
    cosine, sine = torch.ones_like(x), torch.zeros_like(x)  # real and imaginary part of (x + iy)^m
    for order in range(degree + 1):
        # Legendre polynomials of this order without their factor sin^m, which is in (x + iy)^m.
        double_factorial = math.prod(range(1, 2 * order, 2))
        legendre = {order - 1: torch.zeros_like(z), order: torch.full_like(z, float(double_factorial))}
        for level in range(order + 1, degree + 1):
            legendre[level] = (
                (2 * level - 1) * z * legendre[level - 1] - (level + order - 1) * legendre[level - 2]
            ) / (level - order)
        for level in range(order, degree + 1):
            ratio = math.factorial(level - order) / math.factorial(level + order)
            norm = (-1) ** order * math.sqrt((2 - (order == 0)) * (2 * level + 1) / (4 * math.pi) * ratio)
            values[level, order] = norm * legendre[level] * cosine
            if order:
                values[level, -order] = norm * legendre[level] * sine
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine
    return torch.stack([values[key] for key in sorted(values)], dim=-1)


def _sphere_samples(device: torch.device) -> Tensor:
    """64 directions spread evenly over the sphere (a golden-angle spiral)."""
    index = torch.arange(64, dtype=torch.float64, device=device)
    z = 1 - (2 * index + 1) / 64
    angle = index * math.pi * (3 - math.sqrt(5))
    radius = (1 - z * z).sqrt()
    return torch.stack((radius * angle.cos(), radius * angle.sin(), z), dim=-1)
