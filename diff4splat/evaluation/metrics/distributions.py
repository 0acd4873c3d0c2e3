"""How far a set of clips is from a set of real ones, by the features of both."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "FrechetExtrapolation",
    "SET_DISTANCES",
    "frechet_distance",
    "frechet_infinity",
    "kernel_distance",
    "kernel_subset_deviation",
]

_ROWS_AT_ONCE = 1024  # of a kernel matrix, which for sets of many clips would not fit into memory


def frechet_distance(
    features: Float[Tensor, "clip feature"], reference: Float[Tensor, "real_clip real_feature"]
) -> float:
    r"""Fréchet distance of two sets as if both were Gaussian; with features of I3D it is FVD.

    $$d^2 = \lVert \mu_x - \mu_y \rVert^2
      + \operatorname{tr}(\Sigma_x + \Sigma_y - 2 (\Sigma_x \Sigma_y)^{1/2}), \qquad
      \operatorname{tr} (\Sigma_x \Sigma_y)^{1/2} =
      \frac{\lVert X_c Y_c^\top \rVert_*}{\sqrt{(n_x - 1)(n_y - 1)}}$$

    with $X$ = `features`, $Y$ = `reference`, one clip per row, $X_c, Y_c$ less their means $\mu$, and the
    sample covariance $\Sigma = X_c^\top X_c / (n - 1)$. The sum of singular values needs no root of a matrix,
    so fewer clips than features are no trouble. Source: Unterthiner et al. 2018, Towards Accurate Generative
    Models of Video; Heusel et al. 2017, Eq. 6.

    The distance of few clips is too large: two sets of 160 clips from one unit Gaussian in 400 dimensions are
    about 395 apart. Only distances with equal numbers of clips, equal references and equal extractors
    compare.

    Args:
        features: One vector per clip, at least 2 clips.
        reference: The same of real clips; their number may differ.

    Returns:
        The squared distance, >= 0, in float64.

    Raises:
        ValueError: If a set has fewer than 2 clips or a value that is not finite, or the widths differ.

    Examples:
        >>> frechet_distance(torch.tensor([[-1.0], [1.0]]), torch.tensor([[4.0], [6.0]]))
        25.0
    """
    x, y = _checked(features, reference)
    shift = x.mean(0) - y.mean(0)
    one, other = _root(x), _root(y)
    overlap = torch.linalg.svdvals(one @ other.mT).sum()
    distance = shift.square().sum() + one.square().sum() + other.square().sum() - 2 * overlap
    return max(float(distance), 0.0)  # below 0 by rounding only


@dataclass(frozen=True, eq=False)
class FrechetExtrapolation:
    """Fréchet distance that infinitely many clips would have, if the line through fewer of them holds.

    Args:
        value: Where the line ends; may be negative.
        slope: What the distance of the whole sets is too large by, according to the line.
        shares: Shares of the clips that were drawn, ascending to 1.
        distances: Mean distance at each share.
        residual: Root mean square of what these are off the line.
    """

    value: float
    slope: float
    shares: Float[Tensor, " size"]
    distances: Float[Tensor, " size"]
    residual: float


def frechet_infinity(
    features: Float[Tensor, "clip feature"],
    reference: Float[Tensor, "real_clip real_feature"],
    *,
    generator: torch.Generator,
    num_sizes: int = 6,
    num_draws: int = 5,
) -> FrechetExtrapolation:
    r"""Fréchet distance extrapolated to infinitely many clips.

    $$d^2(s) \approx d^2_\infty + b / s$$

    with $s$ the share of the clips of either set, from 1/2 to 1 with equal steps in $1 / s$, drawn without
    replacement. Source: Chong and Forsyth 2020, Effectively Unbiased FID and Inception Score.

    Differs: They draw from the generated set only; here both are small, so both are drawn. With fewer clips
    than features the distance is not linear in $1 / s$, and the value is still too large, though by less.

    Args:
        features: One vector per clip, at least 4 clips.
        reference: The same of real clips.
        generator: Source of the draws.
        num_sizes: Shares, at least 2.
        num_draws: Draws of each share but 1, of which there is only one.

    Returns:
        The value and the line that it comes from.

    Raises:
        ValueError: As `frechet_distance`; or if a set has fewer than 4 clips, or an option is too small.
    """
    x, y = _checked(features, reference)
    _require_four(x, y)
    if num_sizes < 2:
        raise ValueError(f"num_sizes must be at least 2, got {num_sizes}.")
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, got {num_draws}.")
    inverse = torch.linspace(2, 1, num_sizes, dtype=torch.float64)
    means = []
    for share in (1 / inverse).tolist():
        sizes = [round(share * len(points)) for points in (x, y)]
        draws = 1 if sizes == [len(x), len(y)] else num_draws
        found = [
            frechet_distance(*(p[_draw(p, n, generator)] for p, n in zip((x, y), sizes, strict=True)))
            for _ in range(draws)
        ]
        means.append(sum(found) / draws)
    distances = torch.tensor(means, dtype=torch.float64)
    line = torch.stack((torch.ones_like(inverse), inverse), -1)
    fit = torch.linalg.lstsq(line, distances[:, None]).solution[:, 0]
    residual = (line @ fit - distances).square().mean().sqrt()
    return FrechetExtrapolation(float(fit[0]), float(fit[1]), 1 / inverse, distances, float(residual))


def kernel_distance(
    features: Float[Tensor, "clip feature"],
    reference: Float[Tensor, "real_clip real_feature"],
    *,
    degree: int = 3,
    gamma: float | None = None,
    coefficient: float = 1.0,
) -> float:
    r"""Squared maximum mean discrepancy with a polynomial kernel, unbiased; with features of I3D it is KVD.

    $$\frac{\sum_{i \ne j} k(x_i, x_j)}{n_x (n_x - 1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{n_y (n_y - 1)}
      - \frac{2 \sum_{i, j} k(x_i, y_j)}{n_x n_y}, \qquad k(a, b) = (\gamma \, a \cdot b + c)^q$$

    with $q$ = `degree`, $\gamma$ = `gamma`, $c$ = `coefficient`. Source: Gretton et al. 2012, Eq. 3;
    Binkowski et al. 2018; Unterthiner et al. 2018. Its expectation does not depend on the number of clips, so
    it is the one to rank small sets by.

    Differs: The definition of KVD has no $\gamma$, the code that papers use has $1 / d$, which is the default
    here; the two differ by orders of magnitude. torchmetrics' `poly_mmd` is the same for sets of one size and
    does not hold for others. Nothing is multiplied by 1,000 as is done with KID.

    Args:
        features: One vector per clip, at least 2 clips.
        reference: The same of real clips; their number may differ.
        degree: Power of the kernel, a whole number, at least 1.
        gamma: Factor of the product, > 0; one over the number of features when None.
        coefficient: Summand of the kernel, >= 0.

    Returns:
        The squared discrepancy in float64; below 0 about as often as not for sets of one distribution.

    Raises:
        ValueError: If a set has fewer than 2 clips or a value that is not finite, the widths differ, or an
            option is out of its range.
    """
    x, y = _checked(features, reference)
    kernel = _kernel(x.shape[1], degree, gamma, coefficient)
    distance = -2 * kernel.total(x, y) / (len(x) * len(y))
    for points in (x, y):
        others = kernel.total(points, points) - float(kernel.alike(points).sum())
        distance += others / (len(points) * (len(points) - 1))
    return distance


def kernel_subset_deviation(
    features: Float[Tensor, "clip feature"],
    reference: Float[Tensor, "real_clip real_feature"],
    *,
    generator: torch.Generator,
    num_subsets: int = 100,
    degree: int = 3,
    gamma: float | None = None,
    coefficient: float = 1.0,
) -> float:
    """Standard deviation of `kernel_distance` over random halves of both sets.

    For sets that differ it estimates the standard error of the distance of the whole sets; for sets of one
    distribution, where that error falls with the number of clips and not with its root, it is about 1.7 times
    too large. Source: Shao and Wu 1989, A General Theory for Jackknife Variance Estimation, with half of the
    clips deleted.

    It takes clips for independent. Clips of one scene are not, and then it is too small.

    Args:
        features: One vector per clip, at least 4 clips.
        reference: The same of real clips.
        generator: Source of the halves.
        num_subsets: Halves drawn without replacement, at least 2.
        degree: As for `kernel_distance`.
        gamma: As for `kernel_distance`.
        coefficient: As for `kernel_distance`.

    Returns:
        The standard deviation, in the unit of `kernel_distance`.

    Raises:
        ValueError: As `kernel_distance`; or if a set has fewer than 4 clips, or `num_subsets` is below 2.
    """
    x, y = _checked(features, reference)
    kernel = _kernel(x.shape[1], degree, gamma, coefficient)
    _require_four(x, y)
    if num_subsets < 2:
        raise ValueError(f"num_subsets must be at least 2, got {num_subsets}.")
    in_x, in_y = (_halves(points, num_subsets, generator) for points in (x, y))
    values = -2 * kernel.subset_totals(in_x, in_y, x, y) / ((len(x) // 2) * (len(y) // 2))
    for members, points in ((in_x, x), (in_y, y)):
        size = len(points) // 2
        others = kernel.subset_totals(members, members, points, points) - members @ kernel.alike(points)
        values += others / (size * (size - 1))
    return float(values.std())


SET_DISTANCES: Mapping[str, Callable[[Tensor, Tensor], float]] = MappingProxyType(
    {"fvd": frechet_distance, "kvd": kernel_distance}
)
"""Distances of the features of two sets of clips, by metric."""


def _checked(features: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets in float64 on the CPU."""
    for name, points in (("features", features), ("reference", reference)):
        if points.ndim != 2 or len(points) < 2 or points.shape[1] < 1:
            raise ValueError(
                f"{name} must be of at least 2 clips, a row each, got shape {tuple(points.shape)}."
            )
        bad = int((~torch.isfinite(points).all(-1)).sum())
        if bad:
            raise ValueError(f"{name} must be finite, got NaN or infinity in {bad} of {len(points)} clips.")
    if features.shape[1] != reference.shape[1]:
        raise ValueError(
            f"reference must have the {features.shape[1]} features per clip of features, "
            f"got {reference.shape[1]}: they come from different extractors."
        )
    return features.detach().cpu().double(), reference.detach().cpu().double()


@dataclass(frozen=True)
class _Kernel:
    """(gamma a . b + coefficient) ** degree."""

    degree: int
    gamma: float
    coefficient: float

    def alike(self, points: Tensor) -> Tensor:
        """The kernel of each row with itself."""
        return (points.square().sum(-1) * self.gamma + self.coefficient) ** self.degree

    def blocks(self, x: Tensor, y: Tensor) -> Iterator[Tensor]:
        """The kernel of all rows with all others, some at a time."""
        for rows in x.split(_ROWS_AT_ONCE):
            yield (rows @ y.mT).mul_(self.gamma).add_(self.coefficient).pow_(self.degree)

    def total(self, x: Tensor, y: Tensor) -> float:
        """Sum over all pairs."""
        return float(sum(block.sum() for block in self.blocks(x, y)))

    def subset_totals(self, in_x: Tensor, in_y: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Sums over the pairs of several subsets, which hold 1 for the rows that are in them."""
        parts = zip(in_x.split(_ROWS_AT_ONCE, dim=1), self.blocks(x, y), strict=True)
        return torch.stack([((part @ block) * in_y).sum(-1) for part, block in parts]).sum(0)


def _kernel(width: int, degree: int, gamma: float | None, coefficient: float) -> _Kernel:
    """The kernel, when all options are in their ranges."""
    if degree < 1 or degree != int(degree):  # products may be below 0
        raise ValueError(f"degree must be a whole number of at least 1, got {degree}.")
    if gamma is not None and not gamma > 0:
        raise ValueError(f"gamma must be above 0, got {gamma}.")
    if not coefficient >= 0:
        raise ValueError(f"coefficient must be at least 0, got {coefficient}.")
    return _Kernel(degree, 1 / width if gamma is None else gamma, coefficient)


def _require_four(x: Tensor, y: Tensor) -> None:
    for name, points in (("features", x), ("reference", y)):
        if len(points) < 4:
            raise ValueError(f"{name} must be of at least 4 clips to take halves of, got {len(points)}.")


def _root(points: Float[Tensor, "clip feature"]) -> Float[Tensor, "row feature"]:
    """Some R whose R^T R is the sample covariance, with no more rows than columns."""
    centred = (points - points.mean(0)) / (len(points) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred


def _draw(points: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Numbers of `size` different rows."""
    return torch.randperm(len(points), generator=generator)[:size]


def _halves(points: Tensor, count: int, generator: torch.Generator) -> Float[Tensor, "subset clip"]:
    """Random halves of the rows: 1 for those that are in it, 0 for the others."""
    members = points.new_zeros(count, len(points))
    for row in members:
        row[_draw(points, len(points) // 2, generator)] = 1
    return members
