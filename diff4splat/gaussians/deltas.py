r"""Algebra of deformations: difference, inverse, composition, interpolation.

A deformation is the triple of deltas that `deform_gaussians` applies, $A = (\Delta\mu, \Delta q, \Delta s)$.
It acts on any set of Gaussians of the same size, which makes deformations a group: written $G \cdot A$ for
the set $G$ after $A$, the functions here satisfy

$$G \cdot (A B) = (G \cdot A) \cdot B, \qquad (G \cdot A) \cdot A^{-1} = G, \qquad
  G \cdot (G^{-1} H) = H.$$

Changes of scale add in both scale spaces. In "linear" space the laws hold as long as no scale is held at its
lower bound.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians.deformation import ScaleSpace
from diff4splat.gaussians.gaussians import Gaussians
from diff4splat.geometry import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_slerp,
)

__all__ = ["Deltas", "compose_deltas", "deltas_between", "interpolate_deltas", "invert_deltas"]


class Deltas(NamedTuple):
    """Deformation of a set of Gaussians; unpacks into `deform_gaussians(gaussians, *deltas)`.

    Args:
        means: Displacements in world axes, scene units.
        quaternions: Rotations about each Gaussian's own axes, unit, wxyz.
        scales: Changes of scale: dimensionless in "log" space, scene units in "linear" space.
    """

    means: Float[Tensor, "*batch gaussian xyz=3"]
    quaternions: Float[Tensor, "*batch gaussian wxyz=4"]
    scales: Float[Tensor, "*batch gaussian xyz=3"]


def deltas_between(start: Gaussians, end: Gaussians, *, scale_space: ScaleSpace = "log") -> Deltas:
    r"""The deformation that takes one set of Gaussians to another: the inverse of `deform_gaussians`.

    $$\Delta\mu = \mu_1 - \mu_0, \qquad \Delta q = q_0^{-1} \otimes q_1, \qquad
      \Delta s = \log s_1 - \log s_0 \;\text{ or }\; s_1 - s_0$$

    with $\mu_0, q_0, s_0$ of `start` and $\mu_1, q_1, s_1$ of `end`. Source: Diff4Splat, Eq. 7, solved for
    the deltas. Opacities and harmonics do not enter.

    Args:
        start: Gaussians before the deformation.
        end: The same Gaussians, in the same order, after it.
        scale_space: Space in which the change of scale is added.

    Returns:
        Deltas with unit quaternions, the short way round (w >= 0).

    Raises:
        ValueError: If the sets differ in shape, or `scale_space` is unknown.
    """
    if start.means.shape != end.means.shape:
        raise ValueError(
            f"end must have the shape of start {list(start.means.shape[:-1])}, "
            f"got {list(end.means.shape[:-1])}."
        )
    if scale_space not in ("log", "linear"):
        raise ValueError(f"scale_space must be 'log' or 'linear', got {scale_space!r}.")
    # Normalised first: their product may lie outside the range of half precision.
    first, last = quaternion_normalize(start.quaternions), quaternion_normalize(end.quaternions)
    turn = quaternion_multiply(quaternion_conjugate(first), last)
    turn = torch.where(turn[..., :1] < 0, -turn, turn)
    scales = end.scales.log() - start.scales.log() if scale_space == "log" else end.scales - start.scales
    return Deltas(end.means - start.means, quaternion_normalize(turn), scales)


def invert_deltas(deltas: Deltas) -> Deltas:
    r"""The deformation that undoes another, $(-\Delta\mu, \Delta q^{-1}, -\Delta s)$.

    Args:
        deltas: Deformation.

    Returns:
        Its inverse; to be applied to the deformed Gaussians.
    """
    return Deltas(
        -deltas.means, quaternion_conjugate(quaternion_normalize(deltas.quaternions)), -deltas.scales
    )


def compose_deltas(first: Deltas, second: Deltas) -> Deltas:
    r"""One deformation for two, one after the other.

    $$(\Delta\mu_1 + \Delta\mu_2, \; \Delta q_1 \otimes \Delta q_2, \; \Delta s_1 + \Delta s_2)$$

    The second turns about the axes that the first has turned already, which is why its quaternion stands on
    the right.

    Args:
        first: Deformation that is applied first.
        second: Deformation of the result, in the same scale space.

    Returns:
        Deformation with the effect of both.

    Raises:
        ValueError: If the two are not of one shape.
    """
    _check_same("second", second, "first", first)
    return Deltas(
        first.means + second.means,
        quaternion_normalize(quaternion_multiply(first.quaternions, second.quaternions)),
        first.scales + second.scales,
    )


def interpolate_deltas(
    start: Deltas, end: Deltas, fraction: float | int | Float[Tensor, "*#batch gaussian"] | Float[Tensor, ""]
) -> Deltas:
    """Deformation part of the way between two.

    Displacements and changes of scale are interpolated linearly, rotations at constant angular speed the
    short way round: what `DeformableGaussianField.at` does between two stored times.

    Args:
        start: Deformation at fraction 0.
        end: Deformation at fraction 1, in the same scale space.
        fraction: Position between the two, one for all or one per Gaussian; outside [0, 1] it extrapolates.

    Returns:
        Deformation with unit quaternions.

    Raises:
        ValueError: If the two are not of one shape, or `fraction` has another one.
    """
    _check_same("end", end, "start", start)
    share = torch.as_tensor(fraction, dtype=start.means.dtype, device=start.means.device)
    expected = start.means.shape[:-1]
    pairs = zip(reversed(share.shape), reversed(expected), strict=False)
    if share.ndim > len(expected) or any(size not in (1, whole) for size, whole in pairs):
        raise ValueError(
            f"fraction must be one number or have shape {list(expected)}, got shape {list(share.shape)}."
        )
    return Deltas(
        torch.lerp(start.means, end.means, share[..., None]),
        quaternion_slerp(quaternion_normalize(start.quaternions), end.quaternions, share),
        torch.lerp(start.scales, end.scales, share[..., None]),
    )


def _check_same(name: str, deltas: Deltas, other_name: str, other: Deltas) -> None:
    for part, values, expected in zip(Deltas._fields, deltas, other, strict=True):
        if values.shape != expected.shape:
            raise ValueError(
                f"{name}.{part} must have the shape of {other_name}.{part} {list(expected.shape)}, "
                f"got {list(values.shape)}."
            )
