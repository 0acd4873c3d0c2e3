r"""Rotations as quaternions in wxyz order, the order of the whole library.

A unit quaternion $q = (w, x, y, z) = (\cos\frac\theta2, \sin\frac\theta2\, a)$ turns by the angle $\theta$
about the unit axis $a$; $q$ and $-q$ are the same rotation. roma orders xyzw: the swap happens here and
nowhere else. roma is imported inside the functions, because it loads torch's compiler, which takes seconds.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "quaternion_multiply",
    "quaternion_conjugate",
    "quaternion_normalize",
    "quaternion_rotate",
    "quaternion_slerp",
    "quaternion_to_matrix",
    "quaternion_to_rotation_vector",
    "matrix_to_quaternion",
]


def quaternion_multiply(
    left: Float[Tensor, "*#batch wxyz=4"], right: Float[Tensor, "*#batch wxyz=4"]
) -> Float[Tensor, "*batch wxyz=4"]:
    r"""Hamilton product $p \otimes q$: the rotation that applies `right` first, then `left`.

    $$p \otimes q = (p_w q_w - \vec p \cdot \vec q,\; p_w \vec q + q_w \vec p + \vec p \times \vec q)$$

    with $p$ = `left`, $q$ = `right`. Lengths multiply; nothing is normalised.

    Args:
        left: Quaternions $p$ of any length.
        right: Quaternions $q$ of any length; leading axes broadcast against those of `left`.

    Returns:
        One product per (broadcast) leading index.

    Examples:
        >>> i, j = torch.tensor([0.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 0.0])
        >>> quaternion_multiply(i, j).tolist()  # i j = k
        [0.0, 0.0, 0.0, 1.0]
    """
    import roma

    left, right = torch.broadcast_tensors(left, right)
    return _to_wxyz(roma.quat_product(_to_xyzw(left), _to_xyzw(right)))


def quaternion_conjugate(quaternions: Float[Tensor, "*batch wxyz=4"]) -> Float[Tensor, "*batch wxyz=4"]:
    """Conjugate (w, -x, -y, -z): the inverse rotation of a unit quaternion.

    Args:
        quaternions: Quaternions of any length.

    Returns:
        Quaternions of the same length.
    """
    return torch.cat((quaternions[..., :1], -quaternions[..., 1:]), dim=-1)


def quaternion_normalize(quaternions: Float[Tensor, "*batch wxyz=4"]) -> Float[Tensor, "*batch wxyz=4"]:
    r"""Quaternions scaled to unit length, $q / \lVert q \rVert$.

    A quaternion too short to have a direction (no entry is a normal number) becomes the identity with zero
    gradient, so a value that passes through zero in training never produces NaN. Such values are refused by
    the `validate()` of the structs that hold quaternions.

    Args:
        quaternions: Quaternions of any length.

    Returns:
        Unit quaternions; the sign is kept.
    """
    # Brought to a size whose square neither overflows nor underflows; the length cancels, so no gradient.
    largest = quaternions.detach().abs().amax(dim=-1, keepdim=True)
    is_zero = largest < torch.finfo(quaternions.dtype).tiny
    scaled = quaternions / torch.where(is_zero, torch.ones_like(largest), largest)
    squared = scaled.square().sum(dim=-1, keepdim=True)
    unit = scaled / torch.where(is_zero, torch.ones_like(squared), squared).sqrt()
    identity = torch.nn.functional.pad(is_zero.to(quaternions.dtype), (0, 3))
    return torch.where(is_zero, identity, unit)


def quaternion_rotate(
    quaternions: Float[Tensor, "*#batch wxyz=4"], vectors: Float[Tensor, "*#batch xyz=3"]
) -> Float[Tensor, "*batch xyz=3"]:
    r"""Vectors turned by quaternions, $q \otimes v \otimes q^{-1}$.

    Args:
        quaternions: Rotations; normalised here, so any non-zero length serves.
        vectors: Vectors; leading axes broadcast against those of `quaternions`.

    Returns:
        Rotated vectors, of the length they had.

    Examples:
        >>> quarter_turn_about_z = torch.tensor([1.0, 0.0, 0.0, 1.0])
        >>> quaternion_rotate(quarter_turn_about_z, torch.tensor([1.0, 0.0, 0.0])).round(decimals=5).tolist()
        [0.0, 1.0, 0.0]
    """
    unit = quaternion_normalize(quaternions)
    axis, vectors = torch.broadcast_tensors(unit[..., 1:], vectors)
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + unit[..., :1] * twice + torch.linalg.cross(axis, twice)


def quaternion_slerp(
    start: Float[Tensor, "*#batch wxyz=4"],
    end: Float[Tensor, "*#batch wxyz=4"],
    fraction: Float[Tensor, "*#batch"] | float | int,
) -> Float[Tensor, "*batch wxyz=4"]:
    r"""Rotation part of the way from one to another, at constant angular speed along the shorter arc.

    $$\mathrm{slerp}(p, q; f) = \frac{\sin((1-f)\,\omega)\, p + \sin(f\,\omega)\, q'}{\sin\omega}$$

    with $p$ = `start`, $q'$ = `end` with the sign nearer to $p$ and the length of $p$, $f$ = `fraction` and
    $\omega$ the angle between $p$ and $q'$. Source: Shoemake, Animating Rotation with Quaternion Curves,
    1985. Where $\omega$ is below the square root of the machine precision the formula equals linear
    interpolation to the last bit, which is used there; values and gradients are finite for all inputs,
    identical ones included.

    Args:
        start: Rotations of any non-zero length, returned unchanged at fraction 0.
        end: Rotations of any non-zero length, reached at fraction 1 with the sign nearer to `start`.
        fraction: Position on the arc, 0 to 1; values outside extrapolate.

    Returns:
        Quaternions of the length of `start`, to rounding.
    """
    same_side = (start * end).sum(dim=-1, keepdim=True) >= 0
    if not isinstance(fraction, Tensor):
        fraction = torch.full((), fraction, dtype=start.dtype, device=start.device)
    fraction = fraction[..., None]

    unit_start, unit_end = quaternion_normalize(start), quaternion_normalize(end)
    unit_end = torch.where(same_side, unit_end, -unit_end)
    length = (unit_start * start).sum(dim=-1, keepdim=True)
    end = length * unit_end
    difference, total = unit_end - unit_start, unit_end + unit_start
    is_near = difference.square().sum(dim=-1, keepdim=True) < torch.finfo(start.dtype).eps
    safe_difference = torch.where(is_near, torch.ones_like(difference), difference)
    half_sine = torch.linalg.vector_norm(safe_difference, dim=-1, keepdim=True)
    half_cosine = torch.linalg.vector_norm(total, dim=-1, keepdim=True)
    angle = 2 * torch.atan2(half_sine, half_cosine)  # accurate for small angles, unlike the arc cosine

    start_weight = torch.sin((1 - fraction) * angle) / torch.sin(angle)
    end_weight = torch.sin(fraction * angle) / torch.sin(angle)
    chord = start + fraction * (end - start)
    return torch.where(is_near, chord, start_weight * start + end_weight * end)


def quaternion_to_matrix(quaternions: Float[Tensor, "*batch wxyz=4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions; they act on column vectors.

    Args:
        quaternions: Rotations; normalised here, so any non-zero length serves.

    Returns:
        Orthonormal matrices with determinant +1.
    """
    import roma

    return roma.unitquat_to_rotmat(_to_xyzw(quaternion_normalize(quaternions)))


def quaternion_to_rotation_vector(
    quaternions: Float[Tensor, "*batch wxyz=4"],
) -> Float[Tensor, "*batch xyz=3"]:
    r"""Rotation vectors $\theta a$: the unit axis times the angle, the short way round.

    Args:
        quaternions: Rotations; normalised here, so any non-zero length serves, and both signs give the same.

    Returns:
        Vectors of length 0 to pi, radians. Differentiable everywhere but at half turns, the identity
        included.
    """
    import roma

    return roma.unitquat_to_rotvec(_to_xyzw(quaternion_normalize(quaternions)), shortest_arc=True)


def matrix_to_quaternion(matrices: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch wxyz=4"]:
    """Unit quaternions of rotation matrices, with w >= 0.

    Args:
        matrices: Orthonormal matrices with determinant +1; not checked.

    Returns:
        Unit quaternions; of the two signs, the one with a non-negative real part.
    """
    import roma

    quaternions = _to_wxyz(roma.rotmat_to_unitquat(matrices))
    return torch.where(quaternions[..., :1] < 0, -quaternions, quaternions)


def _to_xyzw(wxyz: Tensor) -> Tensor:
    return torch.roll(wxyz, -1, dims=-1)


def _to_wxyz(xyzw: Tensor) -> Tensor:
    return torch.roll(xyzw, 1, dims=-1)
