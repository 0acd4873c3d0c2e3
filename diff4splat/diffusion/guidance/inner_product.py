"""Inner products of whole samples."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["inner_product"]


def inner_product(
    left: Float[Tensor, " batch *event"], right: Float[Tensor, " batch *event"]
) -> Float[Tensor, " batch *ones"]:
    """Inner product over all axes but the first, kept as axes of length 1."""
    product = left * right
    return product[..., None].flatten(1).sum(1).reshape(-1, *[1] * (product.ndim - 1))
