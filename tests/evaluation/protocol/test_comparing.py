"""Comparisons: what pairing finds, how often chance wins, and what may not be compared."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation.scored import SPEC, TRAINED, clip_names, feature_set, moments, scene_effects, scored

from diff4splat.evaluation import (
    ClipFeatureSet,
    Evaluation,
    SetScore,
    compare,
    distance_permutation_test,
    holm,
    jackknife_estimate,
    paired_difference,
    paired_permutation_test,
    summarize,
)

NAN = math.nan
SCENES = 13


def pair(seed: int, gain: float = 0.0) -> tuple[Evaluation, Evaluation]:
    """Two methods on scenes that differ a lot; the second has the better PSNR, the rest is chance."""
    draw = np.random.default_rng(seed)
    methods: list[dict[str, np.ndarray]] = [{}, {}]
    for index, metric in enumerate(("psnr", "ssim", "lpips")):
        scenes = scene_effects(1000 * seed + index, SCENES, 3.0, 0.0)
        for values in methods:
            values[metric] = scenes + 0.5 * np.repeat(draw.normal(size=SCENES), 3)
            values[metric] += 0.2 * draw.normal(size=3 * SCENES)
    methods[1]["psnr"] += gain
    first, second = (scored(name, v, num_scenes=SCENES) for name, v in zip("AB", methods, strict=True))
    return first, second


def test_pairing_finds_what_two_intervals_hide() -> None:
    first, second = pair(0, gain=1.5)
    apart = [summarize(evaluation).rows[0].estimate for evaluation in (first, second)]
    assert apart[0].high > apart[1].value and apart[1].low < apart[0].value, "intervals overlap"
    comparison = compare(first, second)
    assert (comparison.first, comparison.second) == ("A", "B")
    rows = {row.metric: row for row in comparison.rows}
    assert list(rows) == ["psnr", "ssim", "lpips"]
    psnr = rows["psnr"]
    assert psnr.winner == "second" and psnr.p_adjusted < 0.05 and psnr.warning == ""
    assert psnr.difference.low > 0 and psnr.difference.low < 1.5 < psnr.difference.high
    assert psnr.difference.value == pytest.approx(psnr.second.value - psnr.first.value)
    assert (psnr.num_scenes, psnr.num_clips) == (SCENES, 3 * SCENES)
    assert rows["ssim"].winner == rows["lpips"].winner == ""
    assert compare(second, first).rows[0].winner == "first"


def test_chance_rarely_wins() -> None:
    repeats = 100
    wins = sum(
        any(row.winner for row in compare(*pair(seed), num_permutations=499, num_resamples=1).rows)
        for seed in range(repeats)
    )
    assert wins / repeats <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats), wins


def test_numbers_are_those_of_the_statistics() -> None:
    first, second = pair(1, gain=0.5)
    rows = compare(first, second, seed=7, num_permutations=999).rows
    values = [
        [
            torch.tensor([s.value for s in e.scores if s.metric == row.metric], dtype=torch.float64)
            for row in rows
        ]
        for e in (first, second)
    ]
    scenes = [clip.partition("/")[0] for clip in first.clips]
    expected = [
        paired_permutation_test(a, b, scenes, num_permutations=999, seed=7)
        for a, b in zip(*values, strict=True)
    ]
    assert [row.p_value for row in rows] == expected
    assert [row.p_adjusted for row in rows] == list(holm(expected))
    assert rows[0].difference == paired_difference(values[0][0], values[1][0], scenes, seed=7)


def test_smaller_is_better_where_it_is() -> None:
    values = scene_effects(0, SCENES, 1.0, 0.1)
    first = scored("A", {"lpips": values, "dynamic_degree": values}, num_scenes=SCENES)
    second = scored("B", {"lpips": values - 1, "dynamic_degree": values - 1}, num_scenes=SCENES)
    rows = {row.metric: row for row in compare(first, second).rows}
    assert rows["lpips"].winner == "second"
    assert rows["dynamic_degree"].winner == "" and rows["dynamic_degree"].p_adjusted < 0.05  # no direction


def test_only_clips_that_both_have_a_number_for_count() -> None:
    values = scene_effects(0, SCENES, 1.0, 0.1)
    gone = values.copy()
    gone[:6] = NAN  # two scenes
    other = values + 1
    other[5:8] = NAN
    comparison = compare(
        scored("A", {"psnr": gone, "ssim": values}, num_scenes=SCENES),
        scored("B", {"psnr": other, "ssim": values}, num_scenes=SCENES),
    )
    psnr, ssim = comparison.rows
    assert (psnr.num_clips, psnr.num_scenes) == (31, SCENES - 2) and ssim.num_clips == 39
    assert psnr.difference.value == pytest.approx(1.0) and psnr.first.count == SCENES - 2
    warning = "PSNR: 8 of 39 clips are left out; A has no number for 6, B for 3."
    assert warning in comparison.warnings


def test_a_metric_without_common_numbers_has_no_result() -> None:
    nothing = np.full(3 * SCENES, NAN)
    first = scored("A", {"psnr": nothing}, num_scenes=SCENES)
    (row,) = compare(first, scored("B", {"psnr": np.ones(39), "ssim": np.ones(39)}, num_scenes=SCENES)).rows
    assert row.num_clips == row.num_scenes == 0 and row.winner == ""
    assert all(math.isnan(x) for x in (row.difference.value, row.p_value, row.p_adjusted))


def test_different_extractors_are_not_compared() -> None:
    values = scene_effects(0, SCENES, 1.0, 0.1)
    first = scored("A", {"clip_score": values}, num_scenes=SCENES, extractors={"clip_score": SPEC.key})
    second = scored(
        "B", {"clip_score": values + 9}, num_scenes=SCENES, extractors={"clip_score": TRAINED.key}
    )
    (row,) = compare(first, second).rows
    assert row.warning.startswith("measured with different extractors: drawn features; all")
    assert row.winner == "" and math.isnan(row.p_value) and math.isnan(row.difference.value)
    assert row.second.value == pytest.approx(row.first.value + 9)
    again = scored("A", {"clip_score": values}, num_scenes=SCENES, extractors={"clip_score": TRAINED.key})
    both = replace(again, scores=(*first.scores, *again.scores))
    assert compare(both, second).rows[0].winner == "second", "the extractor that both have counts"


def test_times_on_different_machines_are_not_compared() -> None:
    seconds = {"reconstruction_seconds": scene_effects(0, SCENES, 0.1, 0.1) + 30}
    sets = (SetScore("latency_ms", 6.7, 100), SetScore("memory_gib", 20.0, 1))
    first = scored("A", seconds, num_scenes=SCENES, set_scores=sets, facts={"machine": "H100"})
    slow = (SetScore("latency_ms", 28000.0, 100), SetScore("memory_gib", 30.0, 1))
    second = replace(first, method="B", set_scores=slow)
    time, latency, memory = compare(first, second).rows
    assert time.warning == "" and time.p_value == 1.0
    assert latency.warning == "" and latency.difference.value == 28000 - 6.7 and memory.num_scenes == 0
    assert latency.winner == "" and math.isnan(latency.p_value), "one number per method proves nothing"
    for facts, words in (({"machine": "laptop"}, "H100 / laptop"), ({"machine": {}}, "H100 / unknown")):
        rows = compare(first, replace(second, facts=facts)).rows
        assert all(row.warning == f"machine: {words}" for row in rows)
        assert all(math.isnan(row.difference.value) and row.winner == "" for row in rows)


def test_pose_errors_with_other_scales_are_not_compared() -> None:
    # pitfall: translation errors depend on how the estimated path got its scale, rotation errors do not
    values = scene_effects(0, SCENES, 1.0, 0.1)
    errors = {"rpe_translation_mean": values, "rpe_rotation_mean_deg": values}
    first, second = (
        scored(name, errors, num_scenes=SCENES, facts={"scale of estimated paths": scale})
        for name, scale in (("A", "steps"), ("B", "none"))
    )
    translation, rotation = compare(first, second).rows
    assert translation.warning == "scale of estimated paths: steps / none" and rotation.warning == ""
    assert compare(first, replace(first, method="B")).rows[0].warning == ""


def with_features(method: str, seed: int, shift: float = 0.0, drop: int = 0, **fields) -> Evaluation:
    made = feature_set(seed, SCENES, shift=shift)
    made = ClipFeatureSet(made.clips[drop:], made.features[drop:])
    real = feature_set(0, SCENES)
    evaluation = scored(
        method,
        {"ssim": np.ones(39)},
        num_scenes=SCENES,
        set_scores=(SetScore("fvd", 99.0, 39 - drop, 39, SPEC.key),),
        features={SPEC.key: made},
        references={SPEC.key: real},
    )
    return replace(evaluation, **fields)


def test_distances_are_tested_on_common_clips() -> None:
    first, second = with_features("A", 1, shift=0.8), with_features("B", 2, drop=2)
    comparison = compare(first, second, distances={"fvd": moments}, num_distance_permutations=299)
    row = comparison.rows[0]
    real = first.references[SPEC.key].features[2:]  # pitfall: other real clips than those of `score_videos`
    a, b = first.features[SPEC.key].features[2:], second.features[SPEC.key].features
    assert row.first.value == pytest.approx(moments(a, real)) and row.first.value != 99.0
    assert row.difference.value == pytest.approx(moments(b, real) - moments(a, real))
    # pitfall: an interval on a Fréchet distance
    ends = [getattr(row, name) for name in ("first", "second", "difference")]
    assert all(math.isnan(end) for estimate in ends for end in (estimate.low, estimate.high))
    scenes = [clip.partition("/")[0] for clip in clip_names(SCENES)[2:]]
    assert row.p_value == distance_permutation_test(a, b, real, scenes, moments, num_permutations=299)
    assert (row.winner, row.num_clips, row.num_scenes) == ("second", 37, SCENES)
    assert "FVD: 2 of 39 clips are left out; A has no features of 0, B of 2." in comparison.warnings


def test_unbiased_distances_have_intervals_over_scenes() -> None:
    kvd = (SetScore("kvd", 99.0, 39, 39, SPEC.key),)
    first, second = with_features("A", 1, shift=0.8, set_scores=kvd), with_features("B", 2, set_scores=kvd)
    row = compare(first, second, distances={"kvd": moments}, num_distance_permutations=99).rows[0]
    scenes = [clip.partition("/")[0] for clip in clip_names(SCENES)]
    real = first.references[SPEC.key].features
    for estimate, evaluation in ((row.first, first), (row.second, second)):
        expected = jackknife_estimate(evaluation.features[SPEC.key].features, real, scenes, scenes, moments)
        assert (estimate.value, estimate.low) == (pytest.approx(expected.value), pytest.approx(expected.low))
    assert row.difference.value == pytest.approx(row.second.value - row.first.value)
    assert row.difference.low < row.difference.value < row.difference.high < 0 and row.winner == "second"
    widths = [estimate.high - estimate.low for estimate in (row.first, row.second)]
    assert row.difference.high - row.difference.low < sum(widths)
    assert row.first.count == row.difference.count == 39


def test_distances_to_different_real_clips_are_not_compared() -> None:
    first = with_features("A", 1)
    others = feature_set(5, SCENES)
    elsewhere = ClipFeatureSet(tuple(f"other {clip}" for clip in others.clips), others.features)
    for real, words in (
        (others, "real clips of the same names"),
        (elsewhere, "against different real clips"),
    ):
        second = with_features("B", 2, references={SPEC.key: real})
        row = compare(first, second, distances={"fvd": moments}).rows[0]
        assert words in row.warning and math.isnan(row.p_value) and row.winner == ""
    nearly = first.references[SPEC.key]
    nearly = ClipFeatureSet(nearly.clips, nearly.features * (1 + 1e-5))  # another machine
    second = with_features("B", 2, references={SPEC.key: nearly})
    assert compare(first, second, distances={"fvd": moments}).rows[0].warning == ""


def test_distances_without_features_are_shown_and_not_tested() -> None:
    first, second = with_features("A", 1), with_features("B", 2)
    row = compare(first, second, distances={}).rows[0]
    assert (row.first.value, row.difference.value, row.warning) == (99.0, 0.0, "") and math.isnan(row.p_value)
    fewer = with_features("B", 2, drop=2)
    row = compare(first, fewer, distances={}).rows[0]
    assert row.warning == "39 clips against 39 real ones / 37 clips against 39 real ones"
    assert math.isnan(row.difference.value)


def test_features_that_are_not_finite_do_not_count() -> None:
    first, second = with_features("A", 1), with_features("B", 2)
    second.features[SPEC.key].features[3] = NAN
    row = compare(first, second, distances={"fvd": moments}, num_distance_permutations=9).rows[0]
    assert row.num_clips == 38 and math.isfinite(row.second.value)


def test_other_manifests_and_other_clips_are_said() -> None:
    first, _ = pair(0)
    values = np.ones(3 * (SCENES + 2))
    second = scored("B", {"psnr": values}, num_scenes=SCENES + 2, manifest="sha256:2")
    comparison = compare(first, second)
    text = "\n".join(comparison.warnings)
    assert "different manifests" in text and "6 of 45 clips were asked of B and not of A" in text
    assert [row.num_clips for row in comparison.rows] == [39]
    assert compare(first, replace(first, method="B")).warnings == ()


def test_too_few_scenes_for_any_winner() -> None:
    # pitfall: five scenes cannot have a p-value below 2 / 32, however different the methods are
    values = np.arange(15.0)
    first, second = (scored(name, {"psnr": values + g}, num_scenes=5) for name, g in (("A", 0), ("B", 9)))
    comparison = compare(first, second)
    assert comparison.rows[0].winner == "" and comparison.rows[0].p_value == 2 / 32
    assert "with 5 scenes and 1 metrics the smallest adjusted p is 0.062" in comparison.warnings[-1]


def test_what_cannot_be_compared() -> None:
    first, second = pair(0)
    with pytest.raises(ValueError, match=r"first \(A\) and second \(C\) have no clip in common"):
        compare(first, Evaluation("C", "", ("elsewhere/spiral",), ()))
    moved = tuple(replace(s, scene="moved") if s.clip == "scene00/spiral" else s for s in second.scores)
    with pytest.raises(ValueError, match="'scene00/spiral' is of scene 'scene00' in first"):
        compare(first, replace(second, scores=moved))
    with pytest.raises(ValueError, match="num_permutations must be at least 1, got 0"):
        compare(first, second, num_permutations=0)
