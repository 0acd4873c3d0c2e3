"""What the variants of `ablations.py` are compared by: paired differences, verdicts, Markdown tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diff4splat.evaluation.held_out.measures import MEASURES
from diff4splat.evaluation.statistics import Estimate, mean_estimate, ratio_estimate

FULL = "full"
COLUMNS = {
    "novel_psnr": "novel views (dB)",
    "moving_psnr": "moving regions (dB)",
    "depth_pearson": "depth Pearson",
    "depth_abs_rel": "depth AbsRel",
    "motion_ratio": "motion error over none",
}
"""Measures of `diff4splat held-out` by key, and the heads of their columns."""
_MEASURES = {measure.key: measure for measure in MEASURES if measure.key in COLUMNS}
NEEDED = tuple(dict.fromkeys(n for m in _MEASURES.values() for n in (m.values, m.over) if n is not None))
"""Numbers per scene that the tables are made from."""


@dataclass(frozen=True)
class Run:
    """What a variant reached with a training seed."""

    variant: str
    seed: int
    minutes: float
    scenes: dict[str, list[float | None]]
    """One number per held-out scene under each name of `NEEDED`; None where a scene does not have it."""


@dataclass(frozen=True)
class Difference:
    """A variant less the full recipe, on the same scenes and with the same training seeds."""

    key: str
    estimate: Estimate
    """Mean over the seeds; the interval is that of resampled scenes."""
    by_seed: tuple[float, ...]

    @property
    def worse(self) -> bool:
        """Whether the whole interval and every seed are on the worse side."""
        return self._beyond(1 if _MEASURES[self.key].better == "lower" else -1)

    @property
    def better(self) -> bool:
        """Whether the whole interval and every seed are on the better side."""
        return self._beyond(-1 if _MEASURES[self.key].better == "lower" else 1)

    def _beyond(self, side: int) -> bool:
        ends = (self.estimate.low, self.estimate.high)
        return all(side * value > 0 for value in (*ends, *self.by_seed))

    def __str__(self) -> str:
        digits = _MEASURES[self.key].digits
        value, low, high = (
            f"{v:+.{digits}f}" for v in (self.estimate.value, self.estimate.low, self.estimate.high)
        )
        return f"{value} [{low}, {high}]"


def value(key: str, runs: Sequence[Run]) -> float:
    """A measure, mean over the training seeds."""
    return _estimate(key, _mean(runs, _MEASURES[key].values), runs).value


def difference(key: str, runs: Sequence[Run], full: Sequence[Run]) -> Difference:
    """How far a variant is from the full recipe; runs of the same seeds, in the same order."""
    if [run.seed for run in runs] != [run.seed for run in full]:
        raise ValueError(f"{key}: runs must have the same seeds, got {runs} and {full}.")
    name = _MEASURES[key].values

    def of(some: Sequence[Run], others: Sequence[Run]) -> Estimate:
        return _estimate(key, _mean(some, name) - _mean(others, name), others)

    by_seed = (of([run], [other]).value for run, other in zip(runs, full, strict=True))
    return Difference(key, of(runs, full), tuple(by_seed))


def verdict(claims: Sequence[str], differences: Mapping[str, Difference]) -> str:
    """Whether the measures in which the paper says that a variant is worse say so, too."""
    told: dict[str, list[str]] = {}
    for key in claims:
        found = differences[key]
        name = COLUMNS[key].partition(" (")[0]
        if found.worse:
            told.setdefault("worse as in the paper", []).append(name)
        else:
            how = "better instead" if found.better else "not clearly worse"
            told.setdefault(how, []).append(f"{name} {found}")
    return "; ".join(f"{how}: {', '.join(names)}" for how, names in told.items())


def tables(runs: Sequence[Run], titles: Mapping[str, str], claims: Mapping[str, Sequence[str]]) -> str:
    """What was reached, how far from the full recipe, and how far with each seed; variants that have run.

    A variant is compared over the seeds with which the full recipe has run, too.
    """
    by_variant = {key: sorted((r for r in runs if r.variant == key), key=lambda r: r.seed) for key in titles}
    heads = list(COLUMNS.values())
    reached = [
        [
            titles[key],
            *(f"{value(name, some):.{_MEASURES[name].digits}f}" for name in COLUMNS),
            f"{sum(run.minutes for run in some) / len(some):.1f}",
            str(len(some)),
        ]
        for key, some in by_variant.items()
        if some
    ]
    apart, single = [], []
    for key, some in by_variant.items():
        full = [run for run in by_variant[FULL] if run.seed in {r.seed for r in some}]
        some = [run for run in some if run.seed in {r.seed for r in full}]
        if key == FULL or not some:
            continue
        found = {name: difference(name, some, full) for name in COLUMNS}
        apart.append([titles[key], *map(str, found.values()), verdict(claims[key], found)])
        cells = (" / ".join(f"{v:+.{_MEASURES[n].digits}f}" for v in d.by_seed) for n, d in found.items())
        single.append([titles[key], *cells])
    count = len(runs[0].scenes[NEEDED[0]]) if runs else 0
    return "\n\n".join(
        [
            f"Mean over {count} held-out scenes and the training seeds:",
            _markdown(["variant", *heads, "training minutes", "seeds"], reached),
            "Less the full recipe, with the 95 % interval of resampled scenes:",
            _markdown(["variant", *heads, "verdict"], apart),
            "The same with each training seed:",
            _markdown(["variant", *heads], single),
        ]
    )


def _estimate(key: str, values: Tensor, runs: Sequence[Run]) -> Estimate:
    """A mean over scenes, or the ratio of two sums; `values` may be differences, as the runs share scenes."""
    generator, over = torch.Generator().manual_seed(0), _MEASURES[key].over
    if over is None:
        return mean_estimate(values, generator=generator)
    return ratio_estimate(values, _mean(runs, over), generator=generator)


def _mean(runs: Sequence[Run], name: str) -> Tensor:
    """Numbers per scene, mean over runs; NaN where a scene has none."""
    rows = [[float("nan") if v is None else v for v in run.scenes[name]] for run in runs]
    return torch.tensor(rows, dtype=torch.float64).mean(0)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["--:"] * len(COLUMNS)), *(["---"] * (len(head) - 1 - len(COLUMNS)))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
