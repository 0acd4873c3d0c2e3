"""Means over scenes with an interval that says how far they may be from the truth.

Scenes are independent, views of one scene are not: every number here is one per scene, averaged over its
views before.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Estimate", "least_mean_estimate", "mean_estimate", "ratio_estimate", "share_estimate"]

_NORMAL_QUANTILE_95 = 1.959963984540054
_RESAMPLES_AT_ONCE = 2000


@dataclass(frozen=True)
class Estimate:
    """A number measured on some scenes, and its 95 % interval.

    Args:
        value: The number; NaN if no scene gave one.
        low: Lower end of the interval; NaN where there is none, as for a single scene.
        high: Upper end.
        count: Scenes that gave a number.
    """

    value: float
    low: float
    high: float
    count: int


def mean_estimate(
    values: Float[Tensor, " scene"], *, generator: torch.Generator, num_resamples: int = 10_000
) -> Estimate:
    """Mean over scenes, with the percentile interval of the bootstrap.

    Args:
        values: One number per scene; scenes with NaN are left out.
        generator: Source of the resamples.
        num_resamples: Sets of scenes drawn with replacement, at least 1.

    Returns:
        Mean and interval.

    Raises:
        ValueError: If `num_resamples` is below 1.

    Examples:
        >>> mean_estimate(torch.tensor([1.0, 2.0, 6.0]), generator=torch.Generator().manual_seed(0)).value
        3.0
    """
    return ratio_estimate(values, torch.ones_like(values), generator=generator, num_resamples=num_resamples)


def ratio_estimate(
    numerator: Float[Tensor, " scene"],
    denominator: Float[Tensor, " scene"],
    *,
    generator: torch.Generator,
    num_resamples: int = 10_000,
) -> Estimate:
    r"""Ratio of two sums over scenes, $\sum_i a_i / \sum_i b_i$, with the bootstrap's percentile interval.

    Unlike the mean of $a_i / b_i$ it is not ruled by the scenes where $b_i$ is nearly zero.

    Args:
        numerator: $a_i$, one per scene.
        denominator: $b_i$, one per scene, >= 0; scenes with a NaN in either are left out.
        generator: Source of the resamples.
        num_resamples: Sets of scenes drawn with replacement, at least 1.

    Returns:
        Ratio and interval.

    Raises:
        ValueError: If `num_resamples` is below 1.
    """
    pairs = torch.stack((numerator, denominator), dim=-1)
    return _bootstrap(pairs, lambda mean: mean[:, 0] / mean[:, 1], generator, num_resamples)


def least_mean_estimate(
    values: Float[Tensor, "scene rival"], *, generator: torch.Generator, num_resamples: int = 10_000
) -> tuple[Estimate, int]:
    r"""Smallest of several means over scenes, with the percentile interval of the bootstrap.

    $$\min_k \frac{1}{n} \sum_i d_{ik}$$

    With $d_{ik}$ what is gained over rival $k$ in scene $i$, it is the gain over the rival that is hardest to
    beat. Every resample chooses its rival anew, so the interval allows for that choice.

    Args:
        values: $d_{ik}$; scenes with a NaN are left out.
        generator: Source of the resamples.
        num_resamples: Sets of scenes drawn with replacement, at least 1.

    Returns:
        Smallest mean and its interval, and which rival it belongs to (the first one if no scene counts).

    Raises:
        ValueError: If `num_resamples` is below 1.

    Examples:
        >>> gains = torch.tensor([[1.0, 0.0], [2.0, 1.0]])
        >>> estimate, rival = least_mean_estimate(gains, generator=torch.Generator().manual_seed(0))
        >>> estimate.value, rival
        (0.5, 1)
    """
    estimate = _bootstrap(values, lambda mean: mean.amin(-1), generator, num_resamples)
    whole = values[~values.isnan().any(-1)].double()
    return estimate, int(whole.sum(0).argmin())


def share_estimate(successes: Bool[Tensor, " scene"]) -> Estimate:
    r"""Share of scenes in which something holds, with Wilson's score interval.

    $$\frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}, \qquad z = 1.96$$

    with $p$ the share of $n$ scenes. Unlike the bootstrap it leaves room for doubt when all scenes agree.
    Source: Wilson, Probable inference, JASA 22 (1927).

    Args:
        successes: One answer per scene.

    Returns:
        Share and interval in [0, 1].

    Raises:
        TypeError: If the answers are not boolean; of shares in [0, 1] the interval would be wrong.

    Examples:
        >>> estimate = share_estimate(torch.tensor([True] * 10))
        >>> f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
        '1.00 [0.72, 1.00]'
    """
    if successes.dtype != torch.bool:
        raise TypeError(f"successes must be boolean, got {successes.dtype}.")
    count = len(successes)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share, z = float(successes.double().mean()), _NORMAL_QUANTILE_95
    middle = share + z**2 / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return Estimate(share, max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0), count)


def _bootstrap(
    rows: Tensor, statistic: Callable[[Tensor], Tensor], generator: torch.Generator, num_resamples: int
) -> Estimate:
    """A statistic of column means and its percentile interval over resampled rows; no rows with NaN."""
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}.")
    rows = rows.double().cpu()
    rows = rows[~rows.isnan().any(-1)]
    count = len(rows)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value = float(statistic(rows.mean(0, keepdim=True)))
    if count == 1:
        return Estimate(value, math.nan, math.nan, 1)
    found = []
    for start in range(0, num_resamples, _RESAMPLES_AT_ONCE):
        size = (min(_RESAMPLES_AT_ONCE, num_resamples - start), count)
        found.append(statistic(rows[torch.randint(0, count, size, generator=generator)].mean(1)))
    low, high = torch.cat(found).nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(value, low, high, count)
