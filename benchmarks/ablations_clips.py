"""The paper's tables of ablations for small models: every variant makes clips, which are scored.

    python benchmarks/ablations.py            first: the variants of the reconstruction model
    python benchmarks/ablations_joint.py      and: joint and separate training
    python benchmarks/ablations_clips.py      then: clips on procedural scenes, their scores, the tables
    python benchmarks/ablations_clips.py --quick

All variants of the reconstruction model read the latents of one video model, that of the row "frozen
reconstruction model" of `ablations_joint.py`: it generates at the size that they were trained at. A run that
was stopped goes on when it is started again with the same `--output`.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import tyro
from ablations import VARIANTS, start
from ablations_joint import JOINT, PAIRS
from ablations_runs import Run, complete, results_of
from ablations_scoring import PATHS, Asked, Shown, score_variant
from ablations_table import FULL, Column, clip_columns, markdown, ratio, tables
from measuring import TINY, command_line, describe, machine, say

from diff4splat import Diff4SplatPipeline
from diff4splat.evaluation.metrics import METRICS
from diff4splat.evaluation.protocol import Evaluation


@dataclass(frozen=True)
class Model:
    """Whose parts make the clips, by the names of the runs without their seed."""

    ldrm: str
    backbone: str = "frozen"
    shown: Shown = "scene"


MODELS = {
    **{key: Model(key) for key in VARIANTS},
    "joint": Model("joint", "joint"),
    "separate": Model("separate", "separate"),
    "two-stage": Model(FULL, shown="two-stage"),
}
"""All that makes clips. "frozen" of `ablations_joint.py` is "full": the same two parts."""


@dataclass(frozen=True)
class Table:
    """A table of the paper, or one that belongs to a statement of it."""

    title: str
    rows: Mapping[str, str]
    """Titles of the rows by key of `MODELS`."""
    base: str
    """Row that the others are compared with."""
    columns: tuple[str, ...]
    """Keys of `METRICS`."""
    claims: Mapping[str, tuple[str, ...]]
    """Columns in which the paper says that a row is worse than the base."""
    printed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The paper's own rows, as printed."""
    ratios: tuple[str, ...] = ()
    """Columns that are told as ratios to the base, too."""
    statement: str = ""
    """What the paper says where it prints no table."""


_VIDEO = ("fvd", "kvd")
_CONSISTENCY = ("subject_consistency", "background_consistency")
_GEOMETRY = ("matches_first", "match_inliers", "psnr")
_FROZEN = ("rpe_translation_frozen", "rpe_rotation_frozen_deg")
_POSES = (*_FROZEN, "rpe_translation_mean", "rpe_rotation_mean_deg", "registered")
_TABLE_4 = (*_VIDEO, "qa_quality", "matches_first", *_CONSISTENCY)

TABLES = (
    Table(
        "Motion loss (Table 4)",
        {"motion": "without motion losses", FULL: "full"},
        base=FULL,
        columns=(*_TABLE_4, "dynamic_degree", "psnr", "reconstruction_seconds"),
        claims={"motion": _TABLE_4},
        printed={
            "w/o motion loss": ("351.382", "3.351", "2.145", "4821.56", "82.45", "85.12", "", "", "30s"),
            "Ours": ("210.153", "2.316", "2.813", "5114.22", "88.32", "89.89", "", "", "30s"),
        },
    ),
    Table(
        "Joint against separate training (supplement, Table 3)",
        {
            "two-stage": "two stages: generated video, encoded again",
            FULL: "frozen reconstruction model, video model trained",
            "separate": "both trained, each by itself",
            JOINT: "joint training",
        },
        base=JOINT,
        columns=(*_VIDEO, *_CONSISTENCY, "dynamic_degree", "psnr", "reconstruction_seconds"),
        claims={key: (*_VIDEO, *_CONSISTENCY) for key in ("two-stage", FULL, "separate")},
        printed={
            "Two-Stage (Gen. Video -> 4DGT Recon.)": ("245.3", "3.42", "0.82", "0.83", "", "", ""),
            "Ours (Frozen LDRM + Train Diffusion)": ("231.5", "3.10", "0.85", "0.86", "", "", ""),
            "Ours (Joint Training)": ("210.2", "2.32", "0.88", "0.90", "", "", ""),
        },
    ),
    Table(
        "Geometric losses (supplement, Sec. 6)",
        {
            "geometry": "none",
            "pearson": "Pearson alone",
            "pearson_tv": "Pearson and total variation",
            FULL: "full: these and the direct ones",
        },
        base="pearson_tv",
        columns=(*_GEOMETRY, *_VIDEO),
        claims={"geometry": ("matches_first", "match_inliers"), "pearson": ("psnr",)},
        statement="3D consistency falls noticeably without them; Pearson alone works well, total variation "
        "makes surfaces smoother and pictures better",
    ),
    Table(
        "Pose encoding (supplement, Sec. 6)",
        {"poses": "12-number poses", FULL: "Plücker rays"},
        base=FULL,
        columns=(*_POSES, *_GEOMETRY),
        claims={"poses": _POSES[:4]},
        ratios=_POSES[:4],
        statement="Plücker rays give a relative pose error that is 5-10 % lower, so 1.05 to 1.11 here",
    ),
    Table(
        "Deformation field and progressive training (Fig. 4 and 5)",
        {
            "deformation": "without deformation",
            "stages": "without progressive stages",
            FULL: "full",
        },
        base=FULL,
        columns=(*_VIDEO, *_CONSISTENCY, "dynamic_degree", "psnr"),
        claims={"deformation": (*_VIDEO, "psnr"), "stages": (*_VIDEO, "psnr")},
        statement="ghosts and blur without deformation; lower quality after as many steps without stages",
    ),
)


def numbers_of(evaluation: Evaluation) -> dict[str, Any]:
    """Fields of a `Run`: numbers per clip with the scene of each, those of the whole set, and about them."""
    scene_of = {score.clip: score.scene for score in evaluation.scores}
    lost = [clip for clip in evaluation.clips if clip not in scene_of]
    if lost:
        raise ValueError(f"evaluation must have rows for every clip, got none for {', '.join(lost)}.")
    order = {scene: index for index, scene in enumerate(dict.fromkeys(scene_of.values()))}
    scenes: dict[str, list[float | None]] = {}
    whole: dict[str, float | None] = {}
    measured_with: dict[str, str] = {}
    missing: dict[str, str] = {}
    for metric in METRICS:
        rows = {score.clip: score for score in evaluation.scores if score.metric == metric}
        sets = [score for score in evaluation.set_scores if score.metric == metric]
        if rows:
            scenes[metric] = [_or_none(rows[c].value) if c in rows else None for c in evaluation.clips]
        for score in sets:
            whole[metric] = _or_none(score.value)
        every: list[Any] = [*rows.values(), *sets]
        specs = dict.fromkeys(row.extractor for row in every if row.extractor)
        if specs:
            measured_with[metric] = "; ".join(str(evaluation.extractors.get(key, key)) for key in specs)
        problems = Counter(row.problem or "no reason given" for row in every if math.isnan(row.value))
        if problems:
            missing[metric] = "; ".join(
                f"{count} of {len(every)} missing: {why}" for why, count in problems.most_common()
            )
    return {
        "scenes": scenes,
        "whole": whole,
        "groups": [order[scene_of[clip]] for clip in evaluation.clips],
        "clips": evaluation.manifest,
        "measured_with": measured_with,
        "missing": missing,
    }


def open_variant(key: str, seed: int, output: Path) -> Diff4SplatPipeline:
    """The pipeline of a variant, put together of trained parts."""
    model = MODELS[key]
    parts = []
    for name in (model.backbone, model.ldrm):
        folder = output / f"{name}-{seed}" / "model"
        if not folder.is_dir():
            script = "ablations_joint.py --rows" if name in PAIRS else "ablations.py --variants"
            raise SystemExit(f"output must hold the models of `{script} {name}`, got no {folder}.")
        parts.append(Diff4SplatPipeline.from_pretrained(folder))
    backbone, ldrm = parts
    return Diff4SplatPipeline(
        backbone.backbone, ldrm.ldrm, num_frames=ldrm.num_frames, height=ldrm.height, width=ldrm.width
    )


def score(key: str, seed: int, pipe: Diff4SplatPipeline, asked: Asked, output: Path) -> Run:
    """Clips of a variant and their numbers."""
    began = perf_counter()
    evaluation = score_variant(
        pipe, output / "clips" / f"{key}-{seed}", asked, shown=MODELS[key].shown, method=f"{key}, seed {seed}"
    )
    return Run(key, seed, (perf_counter() - began) / 60, **numbers_of(evaluation))


def table_text(table: Table, runs: Sequence[Run]) -> str:
    """One table with its differences, and the paper's rows or words beside; empty with nothing to compare."""
    mine = [run for run in runs if run.variant in table.rows]
    if all(run.variant == table.base for run in mine):
        return ""
    columns = clip_columns(table.columns)
    # a metric that no run has is a column of dashes; one that some lack must not fail
    blank = {c.values: [None] * len(run.groups) for run in mine[:1] for c in columns.values() if not c.whole}
    mine = [Run(**{**_fields(run), "scenes": {**blank, **run.scenes}}) for run in mine]
    parts = [f"## {table.title}"]
    titles, claims = dict(table.rows), table.claims
    if not any(run.variant == table.base for run in mine):
        parts.append(f'"{titles[table.base]}", which the others are compared with, has not run.')
    parts.append(
        tables(
            mine, titles, claims, columns=columns, base=table.base, scenes="scenes", minutes="scoring minutes"
        )
    )
    for key in table.ratios:
        parts += _ratio_lines(columns[key], mine, table)
    if table.printed:
        heads = ["of the paper", *(column.head for column in columns.values())]
        rows = [[name, *(cell or "-" for cell in cells)] for name, cells in table.printed.items()]
        parts += [
            "The paper's rows, as printed; not comparable: other scenes, models, networks and scales.",
            markdown(heads, rows, len(columns)),
        ]
    if table.statement:
        parts.append(f"The paper prints no numbers; it says: {table.statement}.")
    return "\n\n".join(parts)


def notes_text(runs: Sequence[Run]) -> str:
    """What numbers were measured with, and what is missing."""
    lines = []
    for metric in METRICS:
        specs = dict.fromkeys(run.measured_with[metric] for run in runs if metric in run.measured_with)
        lines += [f"- {METRICS[metric].title}: {spec}" for spec in specs]
        lines += [
            f"- {METRICS[metric].title}, {run.variant}, seed {run.seed}: {run.missing[metric]}"
            for run in runs
            if metric in run.missing
        ]
    return "\n".join(["Measured with, and missing:", "", *lines]) if lines else ""


def show(settings: dict[str, Any], runs: Sequence[Run]) -> None:
    """Print all tables that have rows."""
    print()
    say(
        f"Clips of {settings['num_frames']} frames of {settings['size']} x {settings['size']} pixels: "
        f"{settings['scenes']} scenes, paths {', '.join(settings['paths'])}. Differences are taken clip by "
        "clip, averaged per scene; a distance of whole sets, such as FVD, has no valid interval."
    )
    for text in (*(table_text(table, runs) for table in TABLES), notes_text(runs)):
        if text:
            print(f"\n{text}")


def main(
    *,
    output: Path = Path("runs/ablations"),
    seeds: tuple[int, ...] = (0, 1),
    variants: tuple[str, ...] = tuple(MODELS),
    scenes: int = 16,
    quick: bool = False,
    threads: int = 0,
    results: Path | None = None,
) -> list[Run]:
    """Make the clips of what is missing, score them, and print the tables.

    Args:
        output: Folder of the runs of `ablations.py` and `ablations_joint.py`; scores are kept in its
            clips.json.
        seeds: Training seeds.
        variants: Whose clips are made.
        scenes: Procedural scenes; each is shown along the five paths of the paper, and one with time frozen.
        quick: A few clips of models that are hardly trained, in a folder that is thrown away, to see whether
            it runs; the numbers mean nothing.
        threads: Threads of torch, which the renderer follows; torch's own default for 0.
        results: Print the tables of this file, and make nothing.
    """
    if results is not None:
        settings, done = results_of(results)
        show(settings, done)
        return done
    for key in variants:
        if key not in MODELS:
            raise SystemExit(f"variants must be of {', '.join(MODELS)}, got {key!r}.")
    if threads:
        torch.set_num_threads(threads)
    facts, asked = machine(), Asked(scenes)
    if quick:
        asked = Asked(2, PATHS[:1], size=32, num_steps=2)
    print(f"$ {command_line()}\n{describe(facts)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if quick:
            output, seeds = Path(folder), seeds[:1]
            variants = (FULL, "motion", "two-stage", JOINT, "poses")

        def make(key: str, seed: int) -> Run:
            if quick:
                known = VARIANTS.get(key, VARIANTS[FULL])
                pipe = Diff4SplatPipeline.from_pretrained(start(output / key, known, seed))
                pipe.height = pipe.width = asked.size
            else:
                pipe = open_variant(key, seed, output)
            return score(key, seed, pipe, asked, output)

        wanted = [(key, seed) for seed in seeds for key in dict.fromkeys(variants)]
        done = complete(output / "clips.json", asdict(asked), wanted, make, facts)
    show(asdict(asked), done)
    if quick:
        print(TINY)
    return done


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


def _ratio_lines(column: Column, runs: Sequence[Run], table: Table) -> list[str]:
    """One line for each row that has run with the seeds of the base."""
    lines = []
    for key, title in table.rows.items():
        base = {run.seed: run for run in runs if run.variant == table.base}
        some = {run.seed: run for run in runs if run.variant == key and run.seed in base}
        if key == table.base or not some:
            continue
        found = ratio(column, list(some.values()), [base[seed] for seed in some])
        if not math.isnan(found.value):
            lines.append(
                f"{column.name}, {title} over {table.rows[table.base]}: "
                f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
            )
    return lines


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


if __name__ == "__main__":
    tyro.cli(main)
