"""Motion supervision from 3D point tracks."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.losses.inputs import check_boolean, check_floating

__all__ = ["motion_loss"]


def motion_loss(
    predicted: Float[Tensor, "*batch point xyz=3"],
    target: Float[Tensor, "*batch point xyz=3"],
    *,
    visibility: Bool[Tensor, "*batch point"] | None = None,
    point_weight: Float[Tensor, "*batch point"] | None = None,
    error_weight: float = 2.0,
    l1_weight: float = 1.0,
    distance: Literal["l2", "squared"] = "l2",
    l1_of: Literal["motion", "error"] = "motion",
) -> Float[Tensor, " *batch"]:
    r"""Distance between predicted and tracked displacements plus an L1 term, mean over tracked points.

    $$\mathcal{L}_{motion} = \frac{1}{|\Omega|} \sum_{j \in \Omega} \lambda_m
      \lVert \Delta \hat x_j - \Delta x_j \rVert_2 + \lVert \Delta \hat x_j \rVert_1$$

    with $\Delta \hat x$ = `predicted`, $\Delta x$ = `target`, $\Omega$ the points where `visibility` holds,
    $\lambda_m$ = `error_weight` and the second term scaled by `l1_weight`. Source: Diff4Splat, Eq. 5, with
    $\lambda_m = 2$.

    Reading: the L1 term keeps still points still. With the plain norm and $\lambda_m = 2 > \sqrt 3$ the
    minimum is exactly at `predicted` = `target`, because the pull of the L1 term, at most $\sqrt 3$ long,
    never outweighs that of the distance. `distance="squared"` with an L1 term on the motion has no such
    property: it shortens every displacement by `l1_weight / (2 * error_weight)` per axis, so use it with
    `l1_of="error"` or `l1_weight=0`.
    $\lambda_m$ is inside the loss; a total loss should not apply it again.

    Args:
        predicted: Displacement of each point from its canonical position, scene units, world frame; receives
            gradients.
        target: Tracked displacement, same unit and frame; may be NaN where not visible.
        visibility: Points that are tracked; all of them when omitted.
        point_weight: Non-negative weight of each point, for instance to balance moving and still points; the
            mean becomes a weighted mean. All 1 when omitted.
        error_weight: Weight of the distance term.
        l1_weight: Weight of the L1 term.
        distance: "l2" is the Euclidean norm, "squared" its square.
        l1_of: "motion" takes the L1 norm of `predicted`, "error" that of the difference.

    Returns:
        Values >= 0, not reduced over `*batch`; 0 where no point is tracked. For one value per point, make
        each point a batch element of its own: `motion_loss(predicted[..., None, :], target[..., None, :])`.

    Raises:
        TypeError: If displacements are not floating point or `visibility` is not boolean.
        ValueError: If shapes disagree, an axis is missing, a weight is negative or an option is unknown.

    Examples:
        >>> moved = torch.tensor([[3.0, 0.0, 4.0]])
        >>> motion_loss(moved, torch.zeros(1, 3))  # 2 * 5 + 7
        tensor(17.)
    """
    check_floating(2, predicted=predicted, target=target)
    if predicted.shape[-1] != 3:
        raise ValueError(f"predicted must have shape [*batch, point, 3], got {list(predicted.shape)}.")
    if predicted.shape != target.shape:
        raise ValueError(
            f"target must have the shape of predicted {tuple(predicted.shape)}, got {tuple(target.shape)}."
        )
    for name, values in (("visibility", visibility), ("point_weight", point_weight)):
        if values is not None and values.shape != predicted.shape[:-1]:
            raise ValueError(
                f"{name} must have shape {tuple(predicted.shape[:-1])}, got {tuple(values.shape)}."
            )
    for name, value in (("error_weight", error_weight), ("l1_weight", l1_weight)):
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, got {value}.")
    if distance not in ("l2", "squared"):
        raise ValueError(f"distance must be 'l2' or 'squared', got {distance!r}.")
    if l1_of not in ("motion", "error"):
        raise ValueError(f"l1_of must be 'motion' or 'error', got {l1_of!r}.")

    wide = torch.promote_types(torch.promote_types(predicted.dtype, target.dtype), torch.float32)
    if visibility is None:
        visibility = torch.ones_like(predicted[..., 0], dtype=torch.bool)
    check_boolean("visibility", visibility)
    # Selecting before any arithmetic keeps NaN tracks out of the values and of the gradients.
    motion = torch.where(visibility[..., None], predicted.to(wide), 0)
    error = motion - torch.where(visibility[..., None], target.to(wide), 0)
    term = _norm(error) if distance == "l2" else error.square().sum(-1)
    per_point = error_weight * term + l1_weight * (motion if l1_of == "motion" else error).abs().sum(-1)

    weight = (
        visibility.to(wide) if point_weight is None else torch.where(visibility, point_weight.to(wide), 0)
    )
    total = weight.sum(-1)
    mean = (weight * per_point).sum(-1) / torch.where(total > 0, total, 1)
    return mean.to(predicted.dtype)


def _norm(vectors: Tensor) -> Tensor:
    """Length, with the subgradient zero at zero; torch's own has NaN as second derivative there."""
    is_zero = (vectors == 0).all(-1)
    safe = torch.where(is_zero[..., None], 1, vectors)
    return torch.where(is_zero, 0, torch.linalg.vector_norm(safe, dim=-1))
