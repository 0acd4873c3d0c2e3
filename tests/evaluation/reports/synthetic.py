"""An evaluation of two methods that never were, for tests of reports and for looking at them."""

import math
from typing import Any

import torch

from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol import (
    Comparison,
    Evaluation,
    EvaluationSummary,
    MetricComparison,
    MetricSummary,
    Score,
    SetScore,
)
from diff4splat.evaluation.statistics import Estimate, mean_estimate

NAN = math.nan
PATHS = ("spiral", "forward", "backward", "upward", "downward")
SCENES = tuple(f"room_{number:02}" for number in range(7))
TOY = ExtractorSpec("Random projection", "features", "8 frames of 32 x 32", "seed 3", trained=False)
SIFT = ExtractorSpec("SIFT, mutual nearest neighbours", "", "grey, full size", "none")
SPECS = {spec.key: spec for spec in (TOY, SIFT)}
VALUES: dict[str, tuple[float, float]] = {
    "matches_first": (311.0, 40.0),
    "subject_consistency": (0.91, 0.03),
    "background_consistency": (0.93, 0.02),
    "dynamic_degree": (1.7, 0.4),
    "rpe_translation_mean": (0.021, 0.006),
    "rpe_rotation_mean_deg": (0.41, 0.1),
    "psnr": (22.4, 1.7),
    "lpips": (0.21, 0.04),
    "reconstruction_seconds": (3.1, 0.2),
}
EXTRACTORS = {"matches_first": SIFT.key, "subject_consistency": TOY.key, "background_consistency": TOY.key}


def evaluation(method: str = "compact", *, shift: float = 0.0, seed: int = 0) -> Evaluation:
    """Scores of every clip; one clip has no pose."""
    draws = torch.Generator().manual_seed(seed)
    scores = []
    for metric, (mean, spread) in VALUES.items():
        for scene in SCENES:
            offset = float(torch.randn((), generator=draws))
            for path in PATHS:
                value = mean + spread * (shift + offset + 0.3 * float(torch.randn((), generator=draws)))
                lost = metric.startswith("rpe") and (scene, path) == (SCENES[2], "spiral")
                scores.append(
                    Score(
                        f"{scene}/{path}",
                        scene,
                        path,
                        metric,
                        NAN if lost else value,
                        EXTRACTORS.get(metric, ""),
                        "2 of 9 frames registered" if lost else "",
                    )
                )
    sets = (
        SetScore("fvd", 412.75 + shift, 35, 35, TOY.key),
        SetScore("kvd", -0.0214, 35, 35, TOY.key),
        SetScore("latency_ms", 7.25, 35),
    )
    facts: dict[str, Any] = {
        "command": "diff4splat evaluate --model compact --scenes 7 --output evaluation/",
        "capabilities": {
            "novel_view_synthesis": True,
            "depth_rasterization": True,
            "geometry_extraction": False,
        },
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"diff4splat": "0.2.0", "torch": "2.15"},
        "settings": {"steps": 30, "alignment": "scale"},
    }
    clips = tuple(f"{scene}/{path}" for scene in SCENES for path in PATHS)
    return Evaluation(method, "procedural-7x5 (3f9a0c1e)", clips, tuple(scores), sets, SPECS, facts=facts)


def summary(source: Evaluation) -> EvaluationSummary:
    """Means over scenes, as the reports get them."""
    rows, by_path = [], []
    for item in source.set_scores:
        estimate = Estimate(item.value, NAN, NAN, item.count)
        rows.append(MetricSummary(item.metric, estimate, extractor=item.extractor))
    for metric in dict.fromkeys(score.metric for score in source.scores):
        rows.append(_row(source, metric, ""))
        by_path += [_row(source, metric, path) for path in PATHS]
    order = list(METRICS)
    return EvaluationSummary(
        source.method,
        tuple(sorted(rows, key=lambda row: order.index(row.metric))),
        tuple(by_path),
        ("FVD of 35 clips is mostly bias: the covariance of 400 numbers needs 400 clips or more.",),
    )


def comparison(first: str = "compact", second: str = "compact, no motion loss") -> Comparison:
    """Rows of every kind: both winners, none, without an interval, without a number, not comparable."""
    return Comparison(
        first,
        second,
        (
            _pair("fvd", 412.7, 389.2, (NAN, NAN), 0.0004, 0.002, "second"),
            _pair("matches_first", 311.0, 287.5, (-41.0, -6.1), 0.0021, 0.0063, "first"),
            _pair("subject_consistency", 0.912, 0.915, (-0.004, 0.01), 0.41, 0.82, ""),
            _pair("dynamic_degree", 1.7, 1.1, (-0.9, -0.3), NAN, NAN, ""),
            _pair("psnr", 22.4, 23.9, (0.6, 2.3), 0.004, 0.012, "second"),
            _pair("lpips", NAN, 0.2, (NAN, NAN), NAN, NAN, "", "compact has no numbers"),
        ),
        ("2 clips of the first method are not among those of the second.",),
    )


def _row(source: Evaluation, metric: str, path: str) -> MetricSummary:
    found = [score for score in source.scores if score.metric == metric and path in ("", score.trajectory)]
    scenes = []
    for scene in SCENES:
        known = [score.value for score in found if score.scene == scene and not math.isnan(score.value)]
        scenes.append(sum(known) / len(known) if known else NAN)
    missing = sum(math.isnan(score.value) for score in found)
    values = torch.tensor(scenes, dtype=torch.float64)
    estimate = mean_estimate(values, generator=torch.Generator().manual_seed(0), num_resamples=200)
    problems = (("2 of 9 frames registered", missing),) if missing else ()
    return MetricSummary(metric, estimate, missing, problems, EXTRACTORS.get(metric, ""), path)


def _pair(
    metric: str,
    first: float,
    second: float,
    ends: tuple[float, float],
    p: float,
    adjusted: float,
    winner: Any,
    warning: str = "",
) -> MetricComparison:
    return MetricComparison(
        metric,
        Estimate(first, NAN, NAN, 7),
        Estimate(second, NAN, NAN, 7),
        Estimate(second - first, *ends, 7),
        p,
        adjusted,
        winner,
        7,
        33,
        warning,
    )
