"""A field played along another clock."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.editing.arguments import to_times
from diff4splat.editing.deltas_at import deltas_at
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["retime"]


def retime(
    field: DeformableGaussianField,
    source_times: Float[Tensor, " knot"] | Sequence[float],
    times: Float[Tensor, " knot"] | Sequence[float] | None = None,
) -> DeformableGaussianField:
    """The clip played along another clock: slower, faster, backwards, there and back, a part of it.

    At `times[i]` the new clip shows what the old one shows at `source_times[i]`, and between two of them the
    clock runs evenly; before the first and after the last it stands. `(1, 0)` plays backwards, `(0, 1, 0)`
    there and back, `(0.2, 0.8)` that part over the whole clip, `(0, 1, 1)` at double speed with a rest. A
    smooth clock is one with many knots: `retime(field, ease(torch.linspace(0, 1, 49)))`.

    Every old stored time that the clock passes becomes a new one, so that nothing is lost: the new field is
    the old one at the clock's time, to rounding, at all times.

    Args:
        field: Any field.
        source_times: Times of the old clip in [0, 1], in any order.
        times: Times of the new clip, as many, strictly ascending in [0, 1]; equally spaced from 0 to 1 when
            omitted.

    Returns:
        Field with the canonical Gaussians of `field`; gradients flow to its deltas.

    Raises:
        ValueError: If there is no knot, the numbers of knots differ, `times` does not ascend, or a time lies
            outside [0, 1].

    Examples:
        >>> from diff4splat.gaussians import Gaussians
        >>> gaussians = Gaussians(
        ...     torch.zeros(5, 3), torch.ones(5, 4), torch.ones(5, 3), torch.ones(5), torch.zeros(5, 1, 3)
        ... )
        >>> field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 0.5, 1.0]))
        >>> retime(field, (0.0, 1.0, 0.0)).times.tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    sources = to_times("source_times", source_times, field)
    knots = torch.linspace(0, 1, len(sources), dtype=torch.float64) if times is None else times
    knots = to_times("times", knots, field)
    if len(knots) != len(sources):
        raise ValueError(
            f"times must have as many entries as source_times, {len(sources)}, got {len(knots)}."
        )
    if (knots.diff() <= 0).any():
        raise ValueError(f"times must ascend strictly, got {knots.tolist()}.")
    moments, shown = _passed_times(knots, sources, field.times.tolist())
    new_times = torch.tensor(moments, dtype=field.times.dtype, device=field.device)
    means, quaternions, scales = deltas_at(field, shown)
    return replace(
        field, times=new_times, delta_means=means, delta_quaternions=quaternions, delta_scales=scales
    )


def _passed_times(knots: Tensor, sources: Tensor, stored: list[float]) -> tuple[list[float], list[float]]:
    """Times that the new field stores and those of the old one that they show: knots, and between them."""
    places = list(zip(knots.tolist(), sources.tolist(), strict=True))
    pairs = places[:1]
    for (start, first), (end, last) in zip(places[:-1], places[1:], strict=True):
        passed = [time for time in stored if min(first, last) < time < max(first, last)]
        for time in sorted(passed, reverse=last < first):
            exact = start + (time - first) / (last - first) * (end - start)
            moment = torch.tensor(exact, dtype=knots.dtype).item()
            if pairs[-1][0] < moment < end:  # in a short type two of them may be one
                pairs.append((moment, time))
        pairs.append((end, last))

    def alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
        low, high = sorted((one[1], other[1]))
        return low == high or high <= stored[0] or low >= stored[-1]

    # Before the first and after the last stored time a field rests: no need to store that.
    while len(pairs) > 1 and alike(*pairs[:2]):
        pairs.pop(0)
    while len(pairs) > 1 and alike(*pairs[-2:]):
        pairs.pop()
    moments, shown = zip(*pairs, strict=True)
    return list(moments), list(shown)
