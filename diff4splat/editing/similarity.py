"""Similarity transforms from what people say: turn, grow, move, about a point; and cameras moved along."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.editing.arguments import check_number
from diff4splat.gaussians.gaussians import split_similarity
from diff4splat.geometry import quaternion_to_matrix, rigid_inverse

__all__ = ["similarity_matrix", "transform_cameras"]


def similarity_matrix(
    *,
    axis: Float[Tensor, "xyz=3"] | Sequence[float] = (0.0, 1.0, 0.0),
    angle_deg: float = 0.0,
    scale: float = 1.0,
    translation: Float[Tensor, "xyz=3"] | Sequence[float] = (0.0, 0.0, 0.0),
    center: Float[Tensor, "xyz=3"] | Sequence[float] = (0.0, 0.0, 0.0),
) -> Float[Tensor, "4 4"]:
    r"""Matrix that turns and scales about a point, then moves: what `transform` of a field takes.

    $$x' = s R (x - c) + c + t$$

    with $R$ the right-handed turn by `angle_deg` about `axis`, $s$ = `scale`, $c$ = `center` and $t$ =
    `translation`. With +y down, a turn about +y goes from +z towards +x.

    Args:
        axis: Axis of the turn in world axes, of any length but zero.
        angle_deg: Angle of the turn.
        scale: Factor of size, above 0.
        translation: Move after the turn, scene units.
        center: Point that turn and scale leave where it is, scene units; for some Gaussians, for instance,
            `field.canonical.means[mask].mean(dim=0)`.

    Returns:
        The matrix, in float64, on the CPU.

    Raises:
        ValueError: If `scale` is not above 0, or a number is not finite, as the centre of no Gaussians is.
    """
    check_number("angle_deg", angle_deg)
    check_number("scale", scale, above=0)
    vectors = {}
    for name, values in (("axis", axis), ("translation", translation), ("center", center)):
        vector = torch.as_tensor(values, dtype=torch.float64, device="cpu").detach()
        if vector.shape != (3,) or not torch.isfinite(vector).all():
            raise ValueError(f"{name} must be three finite numbers, got {vector.tolist()}.")
        vectors[name] = vector
    length = torch.linalg.vector_norm(vectors["axis"])
    if length == 0:
        raise ValueError("axis must not be zero.")
    half = math.radians(angle_deg) / 2
    turn = torch.cat((torch.tensor([math.cos(half)]).double(), math.sin(half) * vectors["axis"] / length))
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = scale * quaternion_to_matrix(turn)
    middle = vectors["center"]
    matrix[:3, 3] = middle + vectors["translation"] - matrix[:3, :3] @ middle
    return matrix


def transform_cameras(cameras: Cameras, matrix: Float[Tensor, "4 4"]) -> Cameras:
    """Cameras moved with the world: they see of `field.transform(matrix)` what they saw of `field`.

    Colours are the same, and depths those of before times the scale.

    Args:
        cameras: Any cameras.
        matrix: Similarity transform: rotation times a positive scale, then translation.

    Returns:
        Cameras with the intrinsics of these.

    Raises:
        ValueError: If `matrix` is no similarity transform.
    """
    linear, scale = split_similarity(matrix)
    rigid = matrix.double().clone()
    rigid[:3, :3] = linear / scale
    return cameras.scale(scale.item()).relative_to(rigid_inverse(rigid).to(cameras.camera_to_world))
