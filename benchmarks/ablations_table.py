"""What the variants of the ablations are compared by: paired differences, verdicts, Markdown tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from ablations_runs import Run
from torch import Tensor

from diff4splat.evaluation.held_out.measures import MEASURES
from diff4splat.evaluation.metrics import METRICS
from diff4splat.evaluation.statistics import Estimate, mean_estimate, ratio_estimate

FULL = "full"


@dataclass(frozen=True)
class Column:
    """What a column shows."""

    head: str
    better: Literal["higher", "lower"] | None
    digits: int
    values: str
    """Name of the numbers per scene in `Run.scenes`, or of the one number in `Run.whole`."""
    over: str | None = None
    """Name of the numbers whose sum the sum of the values is divided by."""
    whole: bool = False
    """Whether there is one number for all clips together: no interval would be valid."""

    @property
    def name(self) -> str:
        """The head without its unit."""
        return self.head.partition(" (")[0]


def held_out_columns(heads: Mapping[str, str]) -> dict[str, Column]:
    """Columns of measures of held-out scenes, by key."""
    known = {measure.key: measure for measure in MEASURES}
    return {
        key: Column(head, known[key].better, known[key].digits, known[key].values, known[key].over)
        for key, head in heads.items()
    }


def clip_columns(keys: Sequence[str]) -> dict[str, Column]:
    """Columns of metrics of clips, by key."""
    columns = {}
    for metric in (METRICS[key] for key in keys):
        head = metric.title + (f" ({metric.unit})" if metric.unit else "")
        columns[metric.key] = Column(
            head, metric.better, metric.digits, metric.key, whole=metric.level == "set"
        )
    return columns


COLUMNS = held_out_columns(
    {
        "novel_psnr": "novel views (dB)",
        "moving_psnr": "moving regions (dB)",
        "depth_pearson": "depth Pearson",
        "depth_abs_rel": "depth AbsRel",
        "motion_ratio": "motion error over none",
    }
)
"""Those of the reconstruction of true videos."""


def needed(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Numbers per scene that columns are made from."""
    names = (name for column in columns.values() if not column.whole for name in (column.values, column.over))
    return tuple(dict.fromkeys(name for name in names if name is not None))


@dataclass(frozen=True)
class Difference:
    """A variant less another one, on the same scenes and with the same training seeds."""

    column: Column
    estimate: Estimate
    """Mean over the seeds; the interval is that of resampled scenes."""
    by_seed: tuple[float, ...]

    @property
    def worse(self) -> bool:
        """Whether the whole interval and every seed are on the worse side."""
        return self._beyond(1 if self.column.better == "lower" else -1)

    @property
    def better(self) -> bool:
        """Whether the whole interval and every seed are on the better side."""
        return self._beyond(-1 if self.column.better == "lower" else 1)

    def _beyond(self, side: int) -> bool:
        ends = (self.estimate.low, self.estimate.high)
        return self.column.better is not None and all(side * value > 0 for value in (*ends, *self.by_seed))

    def __str__(self) -> str:
        value, low, high = (
            f"{v:+.{self.column.digits}f}"
            for v in (self.estimate.value, self.estimate.low, self.estimate.high)
        )
        if math.isnan(self.estimate.value):
            return "-"
        return value if math.isnan(self.estimate.low) else f"{value} [{low}, {high}]"


def value(column: Column, runs: Sequence[Run]) -> float:
    """A measure, mean over the training seeds."""
    if column.whole:
        return float(_whole(runs, column.values).mean())
    return _estimate(column, _mean(runs, column.values), runs).value


def difference(column: Column, runs: Sequence[Run], base: Sequence[Run]) -> Difference:
    """How far a variant is from another one; runs of the same seeds, in the same order."""
    _check_pairs(column, runs, base)
    if column.whole:
        apart = _whole(runs, column.values) - _whole(base, column.values)
        return Difference(
            column, Estimate(float(apart.mean()), math.nan, math.nan, len(apart)), tuple(apart.tolist())
        )

    def of(some: Sequence[Run], others: Sequence[Run]) -> Estimate:
        return _estimate(column, _mean(some, column.values) - _mean(others, column.values), others)

    by_seed = (of([run], [other]).value for run, other in zip(runs, base, strict=True))
    return Difference(column, of(runs, base), tuple(by_seed))


def ratio(column: Column, runs: Sequence[Run], base: Sequence[Run]) -> Estimate:
    """A variant over another one, ratio of the means over scenes; where both have a number."""
    _check_pairs(column, runs, base)
    above, below = _mean(runs, column.values), _mean(base, column.values)
    both = torch.where(above.isnan() | below.isnan(), torch.nan, 1.0)
    scenes = (_by_scene(both * values, base) for values in (above, below))
    return ratio_estimate(*scenes, generator=torch.Generator().manual_seed(0))


def verdict(claims: Sequence[str], differences: Mapping[str, Difference]) -> str:
    """Whether the measures in which the paper says that a variant is worse say so, too."""
    told: dict[str, list[str]] = {}
    for key in claims:
        found = differences[key]
        if found.worse:
            told.setdefault("worse as in the paper", []).append(found.column.name)
            continue
        if math.isnan(found.estimate.value):
            told.setdefault("not measured", []).append(found.column.name)
            continue
        how = "better instead" if found.better else "not clearly worse"
        if found.column.whole:
            how = "without an interval"
        told.setdefault(how, []).append(f"{found.column.name} {found}")
    return "; ".join(f"{how}: {', '.join(names)}" for how, names in told.items())


def tables(
    runs: Sequence[Run],
    titles: Mapping[str, str],
    claims: Mapping[str, Sequence[str]],
    *,
    columns: Mapping[str, Column] = COLUMNS,
    base: str = FULL,
    scenes: str = "held-out scenes",
    minutes: str = "training minutes",
) -> str:
    """What was reached, how far from what it is compared with, and how far with each seed.

    Without anything to compare, what was reached is all.

    Args:
        runs: Those of other variants than `titles` has are left out.
        titles: Variants by key, in the order of the rows; those that have not run have no row.
        claims: Columns in which the paper says that a variant is worse, by variant.
        columns: What is shown.
        base: Variant that the others are compared with, over the seeds with which it has run, too.
        scenes: What the scenes are called.
        minutes: What the minutes of the runs are called.
    """
    by_variant = {key: sorted((r for r in runs if r.variant == key), key=lambda r: r.seed) for key in titles}
    heads = [column.head for column in columns.values()]
    reached = [
        [
            titles[key],
            *(_number(value(column, some), column) for column in columns.values()),
            f"{sum(run.minutes for run in some) / len(some):.1f}",
            str(len(some)),
        ]
        for key, some in by_variant.items()
        if some
    ]
    apart, single = [], []
    for key, some in by_variant.items():
        others = [run for run in by_variant[base] if run.seed in {r.seed for r in some}]
        some = [run for run in some if run.seed in {r.seed for r in others}]
        if key == base or not some:
            continue
        found = {name: difference(column, some, others) for name, column in columns.items()}
        apart.append([titles[key], *map(str, found.values()), verdict(claims.get(key, ()), found)])
        cells = (" / ".join(_number(v, d.column, sign="+") for v in d.by_seed) for d in found.values())
        single.append([titles[key], *cells])
    shown = [run for some in by_variant.values() for run in some]
    per_scene = next((column.values for column in columns.values() if not column.whole), None)
    count = 0
    if shown and per_scene is not None:
        count = len(set(shown[0].groups)) or len(shown[0].scenes[per_scene])
    parts = [
        f"Mean over {count} {scenes} and the training seeds:",
        markdown(["variant", *heads, minutes, "seeds"], reached, len(columns)),
    ]
    if apart:
        against = "the full recipe" if titles[base] == FULL else f'"{titles[base]}"'
        parts += [
            f"Less {against}, with the 95 % interval of resampled scenes:",
            markdown(["variant", *heads, "verdict"], apart, len(columns)),
            "The same with each training seed:",
            markdown(["variant", *heads], single, len(columns)),
        ]
    return "\n\n".join(parts)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A table; the first column is text, then so many are numbers."""
    lines = [head, ["---", *(["--:"] * numbers), *(["---"] * (len(head) - 1 - numbers))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _check_pairs(column: Column, runs: Sequence[Run], base: Sequence[Run]) -> None:
    if [run.seed for run in runs] != [run.seed for run in base]:
        raise ValueError(f"{column.head}: runs must have the same seeds, got {runs} and {base}.")
    if any((run.clips, run.groups) != (base[0].clips, base[0].groups) for run in (*runs, *base)):
        raise ValueError(f"{column.head}: runs must have the same clips in the same order, got others.")
    specs = {run.measured_with.get(column.values, "") for run in (*runs, *base)}
    if len(specs) > 1:
        raise ValueError(
            f"{column.head}: runs must be measured with the same, got {' and '.join(sorted(specs))}."
        )


def _number(number: float, column: Column, sign: str = "") -> str:
    return "-" if math.isnan(number) else f"{number:{sign}.{column.digits}f}"


def _estimate(column: Column, values: Tensor, runs: Sequence[Run]) -> Estimate:
    """A mean over scenes, or the ratio of two sums; `values` may be differences, as the runs share scenes."""
    generator = torch.Generator().manual_seed(0)
    values = _by_scene(values, runs)
    if column.over is None:
        return mean_estimate(values, generator=generator)
    return ratio_estimate(values, _by_scene(_mean(runs, column.over), runs), generator=generator)


def _by_scene(values: Tensor, runs: Sequence[Run]) -> Tensor:
    """Means over the clips of each scene that have a number; NaN for a scene without any."""
    groups = runs[0].groups
    if not groups:
        return values
    return torch.stack([values[torch.tensor(groups) == scene].nanmean() for scene in sorted(set(groups))])


def _mean(runs: Sequence[Run], name: str) -> Tensor:
    """Numbers per scene, mean over runs; NaN where a scene has none."""
    rows = [[float("nan") if v is None else v for v in run.scenes[name]] for run in runs]
    return torch.tensor(rows, dtype=torch.float64).mean(0)


def _whole(runs: Sequence[Run], name: str) -> Tensor:
    """One number per run, NaN where there is none."""
    values = (run.whole.get(name) for run in runs)
    return torch.tensor([float("nan") if v is None else v for v in values], dtype=torch.float64)
