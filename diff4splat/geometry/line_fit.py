"""The straight line through pairs of numbers that weighted least squares gives, many lines at once."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["fit_line"]

_NO_SPREAD = 64  # times the rounding error of a number, relative to the size of `x`


def fit_line(
    x: Float[Tensor, "*#batch point"],
    y: Float[Tensor, "*#batch point"],
    *,
    weights: Float[Tensor, "*#batch point"] | None = None,
) -> tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]:
    r"""Slope and intercept of the line that fits pairs best, in closed form.

    $$(s, t) = \arg\min_{s, t} \sum_i w_i (s x_i + t - y_i)^2, \qquad
      s = \frac{\sum_i w_i (x_i - \bar x)(y_i - \bar y)}{\sum_i w_i (x_i - \bar x)^2}, \qquad
      t = \bar y - s \bar x$$

    with $w$ = `weights` and $\bar x$, $\bar y$ the weighted means. With relative depth as $x$ and
    metric depth as $y$ it is line 15 of Algorithm 1.

    Args:
        x: Where the values are, any unit.
        y: Values, any unit.
        weights: At least 0; all 1 when omitted.

    Returns:
        Slope and intercept per batch element; NaN where all `x` that count are the same.
    """
    weights = torch.ones_like(x) if weights is None else weights
    total = weights.sum(-1, keepdim=True)
    mean_x, mean_y = ((weights * value).sum(-1, keepdim=True) / total for value in (x, y))
    from_mean = x - mean_x
    spread = (weights * from_mean.square()).sum(-1)
    rounding = _NO_SPREAD * torch.finfo(spread.dtype).eps
    flat = ~(spread > rounding**2 * (weights * x.square()).sum(-1))
    slope = (weights * from_mean * (y - mean_y)).sum(-1) / torch.where(flat, torch.nan, spread)
    return slope, mean_y[..., 0] - slope * mean_x[..., 0]
