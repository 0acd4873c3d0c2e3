"""Scale and shift of a clip from its anchors, by least squares or in spite of wrong anchors."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.data.metric_depth.alignment import AlignmentSpace, DepthAlignment
from diff4splat.data.metric_depth.anchors import Anchors
from diff4splat.data.metric_depth.weighted_median import weighted_median
from diff4splat.geometry import fit_line

__all__ = ["AlignmentMethod", "fit_scale_and_shift"]

AlignmentMethod = Literal["least-squares", "huber", "ransac", "median", "scale-only"]
"""How scale and shift are found, see `fit_scale_and_shift`."""

_HUBER = 1.345  # standard deviations; 95 % as efficient as least squares where errors are Gaussian
_DEVIATION = 1.4826  # of Gaussian errors by their median size
_ROUNDS = 30
_RESAMPLED_ROUNDS = 8  # from a start that is close
_BLOCK = 1 << 22  # numbers at a time
_TINY = 1e-12

Line = tuple[Tensor, Tensor]  # scale and shift, one per row of weights
Solver = Callable[[Tensor], Line]


def fit_scale_and_shift(
    anchors: Anchors,
    *,
    space: AlignmentSpace = "disparity",
    method: AlignmentMethod = "least-squares",
    min_anchors: int = 3,
    min_spread: float = 1e-3,
    min_positive: float = 0.9,
    max_variation: float | None = 0.05,
    tolerance: float = 0.05,
    num_resamples: int = 200,
    num_trials: int = 500,
    generator: torch.Generator | None = None,
) -> DepthAlignment:
    r"""The one scale and shift of a clip that take relative depth to its anchors.

    $$(s, t) = \arg\min_{s, t} \sum_i w_i \, \rho(s\, d_i + t - y_i), \qquad
      y_i = \begin{cases} 1 / z_i & \text{disparity} \\ z_i & \text{depth} \end{cases}$$

    with $d$, $z$ and $w$ the relative values, depths and weights of `anchors`. Source: Algorithm 1, line 15,
    which is `space="depth"`, `method="least-squares"`, $\rho(r) = r^2$. Differs by default: in disparity
    space, because the relative models that the paper names give inverse depth, and a line from it to depth
    has a negative slope.

    - "least-squares": $\rho(r) = r^2$, in closed form; one wrong anchor can spoil it.
    - "huber": $\rho$ quadratic up to 1.345 standard deviations, measured by the median residual, and linear
      beyond; by reweighted least squares from the "median" line.
    - "ransac": least squares on the anchors within `tolerance` of the best of `num_trials` lines through two.
    - "median": $s$ is the median of ratios of what is left when both sides are centred by their medians, $t$
      the median of $y - s d$, as MegaSaM does it; repeated, because wrong anchors move the centres.
    - "scale-only": $t = 0$, $s$ the median of $y / d$, for relative values that lack a factor only.

    The result is rejected, with the first of these as its reason, where fewer than `min_anchors` objects or
    points have a weight, their relative values are the same up to `min_spread`, the scale is not above 0, too
    few anchors come out in front, or the scale varies by more than `max_variation` when objects and points
    are drawn again with replacement. In this bootstrap "huber" and "ransac" start from the full result;
    "ransac" draws no new lines.

    Args:
        anchors: Of the whole clip, in metres.
        space: What relative values are like, see above.
        method: See above.
        min_anchors: Fewest objects or points, at least 2, or 1 for "scale-only".
        min_spread: Least standard deviation of relative values by the size of their mean; unused in
            "scale-only".
        min_positive: Least share of anchors with a positive result, from 0 to 1.
        max_variation: Largest standard deviation of the scale by the scale; None measures it and rejects
            nothing.
        tolerance: Relative error in the space of the fit up to which an anchor is an inlier, > 0.
        num_resamples: Times that anchors are drawn again, at least 2.
        num_trials: Lines that "ransac" tries.
        generator: Source of the draws; torch's own when omitted.

    Returns:
        Scale and shift, which carry no gradient, and how far to trust them. Computed in float64.

    Raises:
        ValueError: If an option or a value of an anchor is out of its range.
    """
    _check_options(
        space,
        method,
        min_anchors,
        min_spread,
        min_positive,
        max_variation,
        tolerance,
        num_resamples,
        num_trials,
    )
    anchors.validate()
    counting = anchors.weights > 0
    sources, number = anchors.sources[counting].unique(return_inverse=True)
    found = DepthAlignment(
        math.nan, math.nan, space, method, num_anchors=int(counting.sum()), num_sources=len(sources)
    )
    if len(sources) < min_anchors:
        once = "" if len(sources) == found.num_anchors else ", each object or point counted once"
        return replace(found, reason=f"{len(sources)} anchors are fewer than {min_anchors}{once}")
    x, depth, weights = (
        values[counting].detach().double() for values in (anchors.relative, anchors.depth, anchors.weights)
    )
    y = depth if space == "depth" else 1 / depth
    weights = weights / weights.mean()
    found = replace(found, spread=_spread(x, weights))
    if method != "scale-only" and found.spread < min_spread:
        words = f"relative values of the anchors differ by {found.spread:.2g} of their mean"
        return replace(found, reason=f"{words}, less than {min_spread:g}")

    (scale, shift), again = _solve(_Pairs(x, y, weights), method, tolerance, num_trials, generator)
    result = scale * x + shift
    errors = (result / y - 1).abs()
    total = weights.sum()
    found = replace(
        found,
        scale=float(scale),
        shift=float(shift),
        residual=float(weighted_median(errors, weights)),
        inlier_share=float(weights[errors <= tolerance].sum() / total),
        positive_share=float(weights[result > 0].sum() / total),
        scale_variation=_scale_variation(again, weights, number, float(scale), num_resamples, generator),
    )
    return replace(found, reason=_reason(found, min_positive, max_variation))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """What is fitted: float64, one per anchor."""

    x: Float[Tensor, " anchor"]
    y: Float[Tensor, " anchor"]
    weights: Float[Tensor, " anchor"]

    def residuals(self, line: Line) -> Float[Tensor, "*row anchor"]:
        """Distance of each anchor from a line, or from one line per row."""
        return (line[0][..., None] * self.x + line[1][..., None] - self.y).abs()


def _solve(
    pairs: _Pairs, method: str, tolerance: float, num_trials: int, generator: torch.Generator | None
) -> tuple[Line, Solver]:
    """The line of a method, and the line that it gives for other weights, one row of them after the other."""
    x, y, weights = pairs.x, pairs.y, pairs.weights
    if method == "least-squares":
        return fit_line(x, y, weights=weights), lambda drawn: fit_line(x, y, weights=drawn)
    if method == "scale-only":
        return _factor(pairs, weights), lambda drawn: _factor(pairs, drawn)
    if method == "median":
        return _median_line(pairs, weights, _ROUNDS), lambda drawn: _median_line(
            pairs, drawn, _RESAMPLED_ROUNDS
        )
    if method == "huber":
        line = _median_line(pairs, weights, _ROUNDS)
        for _ in range(_ROUNDS):
            line = _reweighted(pairs, weights, line, _huber_trust(pairs, line), 1)
        trust = _huber_trust(pairs, line)
        return line, lambda drawn: _reweighted(pairs, drawn, line, trust, _RESAMPLED_ROUNDS)
    within = tolerance * y

    def inlier(size: Tensor) -> Tensor:
        return (size <= within).to(size)

    best = _best_of_trials(pairs, within, num_trials, generator)
    line = _reweighted(pairs, weights, best, inlier, _ROUNDS)
    return line, lambda drawn: _reweighted(pairs, drawn, line, inlier, _RESAMPLED_ROUNDS)


def _factor(pairs: _Pairs, weights: Tensor) -> Line:
    """Median ratio, and no shift."""
    useful = weights * (pairs.x != 0)
    scale = weighted_median(pairs.y / torch.where(pairs.x == 0, 1, pairs.x), useful)
    return scale, torch.zeros_like(scale)


def _median_line(pairs: _Pairs, weights: Tensor, rounds: int) -> Line:
    """Line by medians of ratios and of differences."""
    x, y = torch.broadcast_tensors(pairs.x, weights)[0], torch.broadcast_tensors(pairs.y, weights)[0]
    middle, centre = weighted_median(x, weights), weighted_median(y, weights)
    from_middle = x - middle[..., None]
    at_middle = from_middle.abs() <= _TINY * x.abs().amax()
    useful, divisor = weights * ~at_middle, torch.where(at_middle, 1, from_middle)
    for _ in range(rounds):
        scale = weighted_median((y - centre[..., None]) / divisor, useful)
        shift = weighted_median(y - scale[..., None] * x, weights)
        centre = scale * middle + shift
    return scale, shift


def _huber_trust(pairs: _Pairs, line: Line) -> Callable[[Tensor], Tensor]:
    """Weight of a residual: 1 up to a limit set by the residuals of a line, then falling as its inverse."""
    deviation = _DEVIATION * weighted_median(pairs.residuals(line), pairs.weights)
    limit = _HUBER * deviation.clamp_min(_TINY * pairs.y.abs().amax())
    return lambda size: (limit / size).clamp_max(1)


def _reweighted(
    pairs: _Pairs, weights: Tensor, line: Line, trust: Callable[[Tensor], Tensor], rounds: int
) -> Line:
    """Least squares in which anchors count by their distance from the last line."""
    for _ in range(rounds):
        size = pairs.residuals(line).clamp_min(torch.finfo(torch.float64).tiny)
        line = fit_line(pairs.x, pairs.y, weights=weights * trust(size))
    return line


def _best_of_trials(
    pairs: _Pairs, within: Tensor, num_trials: int, generator: torch.Generator | None
) -> Line:
    """Of lines through two anchors, the one with the least squared distances, cut at `within`."""
    x, y, weights = pairs.x, pairs.y, pairs.weights
    device = x.device if generator is None else generator.device
    one, two = torch.randint(len(x), (2, num_trials), generator=generator, device=device).to(x.device)
    scales = (y[two] - y[one]) / (x[two] - x[one])
    shifts = y[one] - scales * x[one]
    costs = [
        (weights * (pairs.residuals(lines) / within).clamp_max(1).square()).sum(-1)
        for lines in zip(scales.split(_rows(x)), shifts.split(_rows(x)), strict=True)
    ]
    best = torch.where(torch.isfinite(scales), torch.cat(costs), torch.inf).argmin()
    return scales[best], shifts[best]


def _scale_variation(
    solve: Solver,
    weights: Tensor,
    number: Tensor,
    scale: float,
    num_resamples: int,
    generator: torch.Generator | None,
) -> float:
    """Standard deviation of the scale by the scale when sources are drawn with replacement."""
    sources = int(number.max()) + 1
    if sources < 2:
        return math.nan
    device = weights.device if generator is None else generator.device
    drawn = torch.randint(sources, (num_resamples, sources), generator=generator, device=device)
    drawn = drawn.to(weights.device)
    scales = torch.cat(
        [
            solve(_counts(rows, sources)[:, number].to(weights) * weights)[0]
            for rows in drawn.split(_rows(weights))
        ]
    )
    scales = scales[torch.isfinite(scales)]
    if 2 * len(scales) < num_resamples:
        return math.nan
    return float(scales.std()) / abs(scale) if scale else torch.inf


def _counts(drawn: Tensor, sources: int) -> Tensor:
    """How often each source was drawn, per row."""
    return drawn.new_zeros(len(drawn), sources).scatter_add(1, drawn, torch.ones_like(drawn))


def _rows(values: Tensor) -> int:
    """Lines over all anchors that are computed at a time."""
    return max(1, _BLOCK // len(values))


def _spread(x: Tensor, weights: Tensor) -> float:
    """Standard deviation by the size of the mean; 0 where all values are the same."""
    if bool(x.amax() == x.amin()):
        return 0.0
    mean = (weights * x).mean()
    deviation = (weights * (x - mean).square()).mean().sqrt()
    return float(deviation / mean.abs())


def _reason(found: DepthAlignment, min_positive: float, max_variation: float | None) -> str | None:
    """What speaks against a fit, in words."""
    if not found.scale > 0:
        other = "depth" if found.space == "disparity" else "disparity"
        return (
            f"the scale is {found.scale:.4g}, not above 0: the relative values do not grow with "
            f"{'inverse depth' if found.space == 'disparity' else 'depth'}, perhaps they are a {other}"
        )
    if found.positive_share < min_positive:
        return f"{found.positive_share:.1%} of the anchors are in front, fewer than {min_positive:.0%}"
    if max_variation is not None and not found.scale_variation <= max_variation:
        if math.isnan(found.scale_variation):
            return "the variation of the scale cannot be measured with so few anchors"
        return (
            f"the scale varies by {found.scale_variation:.1%} when anchors are drawn again, more than "
            f"{max_variation:.0%}"
        )
    return None


def _check_options(
    space: str,
    method: str,
    min_anchors: int,
    min_spread: float,
    min_positive: float,
    max_variation: float | None,
    tolerance: float,
    num_resamples: int,
    num_trials: int,
) -> None:
    """ValueError for an option out of its range."""
    for name, value, choices in (
        ("space", space, get_args(AlignmentSpace)),
        ("method", method, get_args(AlignmentMethod)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
    for name, count, least in (
        ("min_anchors", min_anchors, 1 if method == "scale-only" else 2),
        ("num_resamples", num_resamples, 2),
        ("num_trials", num_trials, 1),
    ):
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}.")
    if not 0 <= min_positive <= 1:
        raise ValueError(f"min_positive must be from 0 to 1, got {min_positive}.")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}.")
    for name, limit in (("min_spread", min_spread), ("max_variation", max_variation)):
        if limit is not None and not limit >= 0:
            raise ValueError(f"{name} must be at least 0, got {limit}.")
