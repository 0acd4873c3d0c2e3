"""Summaries: one line per metric and path, and a warning for all that makes numbers hard to compare."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation.scored import SPEC, TRAINED, clip_names, feature_set, moments, scene_effects, score, scored

from diff4splat.evaluation import (
    ClipFeatureSet,
    Evaluation,
    SetScore,
    clustered_estimate,
    distance_under_chance,
    jackknife_estimate,
    summarize,
)

NAN = math.nan
PAPER = ("spiral", "forward", "backward", "upward", "downward")


def words(evaluation: Evaluation, **options) -> str:
    return "\n".join(summarize(evaluation, num_resamples=99, **options).warnings)


def test_lines_over_all_clips_and_by_path() -> None:
    values = scene_effects(0, 11, 1.0, 0.1)
    values[4] = NAN  # the path forward of scene01
    summary = summarize(scored("ours", {"psnr": values, "ssim": values + 1}, num_scenes=11), seed=3)
    assert summary.method == "ours" and [row.metric for row in summary.rows] == ["psnr", "ssim"]
    whole = summary.rows[0]
    per_scene = np.nanmean(values.reshape(11, 3), axis=1)
    assert whole.estimate.value == pytest.approx(per_scene.mean()) and whole.estimate.count == 11
    assert whole.missing == 1 and whole.problems == (("it failed", 1),) and whole.trajectory == ""
    assert [(row.trajectory, row.metric) for row in summary.by_trajectory] == [
        (path, metric) for path in ("spiral", "forward", "upward") for metric in ("psnr", "ssim")
    ]
    forward = summary.by_trajectory[2]
    assert forward.estimate.value == pytest.approx(np.nanmean(values.reshape(11, 3)[:, 1]))
    assert (forward.estimate.count, forward.missing) == (10, 1)


def test_the_interval_counts_scenes() -> None:
    values = scene_effects(0, 11, 1.0, 0.0)
    evaluation = scored("ours", {"psnr": values}, num_scenes=11)
    estimate = summarize(evaluation, seed=5).rows[0].estimate
    alone = clustered_estimate(
        torch.from_numpy(values[::3].copy()), [str(index) for index in range(11)], seed=5
    )
    assert estimate.low == pytest.approx(alone.low) and estimate.high == pytest.approx(alone.high)


def test_numbers_of_the_whole_set_have_no_interval() -> None:
    real = feature_set(0, 11)
    made = ClipFeatureSet(real.clips[:-2], feature_set(1, 11).features[:-2])
    scores = (SetScore("kvd", 0.1, 31, 33, SPEC.key), SetScore("latency_ms", 6.7, 100))
    evaluation = scored(
        "ours",
        {"ssim": np.ones(33)},
        num_scenes=11,
        set_scores=scores,
        features={SPEC.key: made},
        references={SPEC.key: real},
    )
    kvd, ssim, latency = summarize(evaluation).rows
    assert kvd.estimate.value == 0.1 and kvd.estimate.count == 31
    assert math.isnan(kvd.estimate.low) and math.isnan(kvd.estimate.high)
    assert kvd.missing == 2 and kvd.problems == (("no features", 2),) and kvd.extractor == SPEC.key
    assert (ssim.metric, latency.metric, latency.estimate.value) == ("ssim", "latency_ms", 6.7)
    assert not [row for row in summarize(evaluation).by_trajectory if row.metric != "ssim"]


def test_an_unbiased_distance_has_an_interval_over_scenes() -> None:
    real, made = feature_set(0, 11), feature_set(1, 11)
    scenes = [clip.partition("/")[0] for clip in real.clips]
    expected = jackknife_estimate(made.features, real.features, scenes, scenes, moments)
    value = moments(made.features, real.features)
    evaluation = scored(
        "ours",
        {"ssim": np.ones(33)},
        num_scenes=11,
        set_scores=tuple(SetScore(metric, value, 33, 33, SPEC.key) for metric in ("fvd", "kvd")),
        features={SPEC.key: made},
        references={SPEC.key: real},
    )
    fvd, kvd, _ = summarize(evaluation, distances={"fvd": moments, "kvd": moments}).rows
    assert (kvd.estimate.low, kvd.estimate.high) == (expected.low, expected.high) and kvd.estimate.count == 33
    assert math.isnan(fvd.estimate.low) and math.isnan(fvd.estimate.high)  # pitfall: an interval on FVD
    other = replace(evaluation, set_scores=(SetScore("kvd", value + 1, 33, 33, SPEC.key),))
    estimate = summarize(other, distances={"kvd": moments}).rows[0].estimate
    assert estimate.value == value + 1 and math.isnan(estimate.low), "features that give another number"


def test_a_set_without_a_number_says_why() -> None:
    scores = (SetScore("fvd", NAN, 3, 3, "", "one clip only"),)
    evaluation = scored("ours", {"ssim": np.ones(33)}, num_scenes=11, set_scores=scores)
    assert summarize(evaluation).rows[0].problems == (("one clip only", 3),)
    assert "FVD: no number (one clip only)." in words(evaluation)


def test_nothing_to_say_about_the_size_of_the_paper() -> None:
    evaluation = scored(
        "ours",
        {"clip_score": scene_effects(0, 160 // 3 + 1, 1, 1)[:160]},
        num_scenes=32,
        paths=PAPER,
        extractors={"clip_score": TRAINED.key},
        facts={"frames": 49},
    )
    assert words(evaluation) == ""


def test_another_size_than_that_of_the_paper() -> None:
    text = words(scored("ours", {"ssim": np.ones(33)}, num_scenes=11))
    assert "33 clips of 11 scenes were asked for; the paper's numbers are of 160 clips of 32 scenes" in text


def test_few_scenes() -> None:
    assert "one scene only" in words(scored("ours", {"ssim": np.ones(3)}, num_scenes=1))
    assert "over 3 scenes" in words(scored("ours", {"ssim": np.ones(9)}, num_scenes=3))
    two = words(scored("ours", {"ssim": np.ones(6)}, num_scenes=2))
    assert "There are no intervals: they need 3 scenes, there are 2." in two and "too short" not in two
    assert "too short" not in words(scored("ours", {"ssim": np.ones(33)}, num_scenes=11))


def test_extractors_that_are_not_trained() -> None:
    values = {"clip_score": np.ones(33), "psnr": np.ones(33)}
    scores = (SetScore("kvd", 0.1, 33, 33, SPEC.key),)
    keys = {"clip_score": SPEC.key}
    text = words(scored("ours", values, num_scenes=11, extractors=keys, set_scores=scores))
    for title in ("CLIP-Score", "KVD"):
        assert f"Measured with what was not trained: drawn features ({title})." in text
    keys = {"clip_score": TRAINED.key}
    assert "not trained" not in words(scored("ours", values, num_scenes=11, extractors=keys))


@pytest.mark.parametrize(("count", "few"), [(399, True), (400, False)])
def test_frechet_distance_of_few_clips(count, few) -> None:
    # pitfall: 160 clips do not span 400 features
    scores = (SetScore("fvd", 210.0, count, count, TRAINED.key), SetScore("kvd", 2.0, count, count))
    text = words(scored("ours", {"ssim": np.ones(33)}, num_scenes=11, set_scores=scores))
    assert (f"FVD is of {count} clips. Below 400" in text) == few and "KVD is of" not in text


def test_chance_is_named_where_it_can_be_computed() -> None:
    real = feature_set(0, 11)
    evaluation = scored(
        "ours",
        {"ssim": np.ones(33)},
        num_scenes=11,
        set_scores=(SetScore("fvd", 3.0, 33, 33, SPEC.key),),
        references={SPEC.key: real},
    )
    chance = distance_under_chance(real.features, 33, moments)
    assert f"33 and 33 clips that spread as the real ones do are at least about {chance:.3g} apart" in words(
        evaluation, distances={"fvd": moments}
    )
    assert "by chance" not in words(evaluation, distances={})
    assert "by chance" in words(evaluation), "FVD and KVD are known without being named"


@pytest.mark.parametrize(("frames", "few"), [(9, True), (10, False), (None, False)])
def test_few_frames(frames, few) -> None:
    scores = (SetScore("fvd", 3.0, 160, 160), SetScore("kvd", 3.0, 160, 160))
    options = {"num_scenes": 11, "facts": {} if frames is None else {"frames": frames}}
    text = words(scored("ours", {"ssim": np.ones(33)}, set_scores=scores, **options))
    assert ("FVD; KVD: clips have 9 frames" in text) == few
    assert "frames" not in words(scored("ours", {"ssim": np.ones(33)}, **options))


def test_closed_paths_do_not_count_among_the_clips_of_the_paper() -> None:
    paths = (*PAPER, "closed")
    ones = {"psnr": np.ones(192), "cycle_psnr_running": np.ones(192)}
    clips = scored("real clips", ones, num_scenes=32, paths=paths)
    kept = tuple(s for s in clips.scores if (s.metric == "psnr") == (s.trajectory != "closed"))
    assert "asked for" not in words(replace(clips, scores=kept))
    asked = clips.clips[:-12]
    fewer = replace(clips, scores=tuple(s for s in kept if s.clip in asked), clips=asked)
    assert "150 clips of 30 scenes were asked for, closed paths aside; the paper's" in words(fewer)


def test_missing_clips_are_said_once_for_all_metrics_that_lack_them() -> None:
    values = np.ones(33)
    values[:4] = NAN
    text = words(scored("ours", {"psnr": values, "ssim": values, "lpips": np.ones(33)}, num_scenes=11))
    assert "PSNR; SSIM: 4 of 33 clips have no number (4: it failed)." in text and "LPIPS" not in text


def test_failed_registration_is_counted() -> None:
    registered = np.ones(33)
    registered[:3] = (0.0, 0.0, 0.5)
    text = words(scored("ours", {"registered": registered}, num_scenes=11))
    assert "Poses were found for 92 % of the frames, and for none in 2 of 33 clips" in text
    assert "Poses" not in words(scored("ours", {"registered": np.ones(33)}, num_scenes=11))
    text = words(scored("ours", {"registered_frozen": registered}, num_scenes=11))
    assert "92 % of the frames of the clips with time frozen, and for none in 2 of 33" in text
    text = words(scored("ours", {"registered": np.zeros(33)}, num_scenes=11))
    assert (
        "Poses were found for no frame, so there are no pose errors" in text and "the easy ones" not in text
    )


def test_an_evaluation_without_numbers_is_summarized() -> None:
    clips = clip_names(2)
    empty = summarize(Evaluation("ours", "sha256:1", clips, ()))
    assert empty.rows == () and empty.by_trajectory == ()
    failed = summarize(Evaluation("ours", "", clips, tuple(score(clip, "ssim", NAN) for clip in clips)))
    assert math.isnan(failed.rows[0].estimate.value) and failed.rows[0].missing == 6


def test_scores_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="not a metric of clips"):
        summarize(Evaluation("ours", "", clip_names(1), (score(clip_names(1)[0], "beauty", 1.0),)))


def test_a_clip_that_is_missing_changes_neither_interval_nor_chance() -> None:
    real, whole = feature_set(0, 11), feature_set(1, 11)
    made = replace(whole, clips=whole.clips[1:], features=whole.features[1:])
    shared = replace(real, clips=real.clips[1:], features=real.features[1:])
    scenes = [clip.partition("/")[0] for clip in made.clips]
    expected = jackknife_estimate(made.features, shared.features, scenes, scenes, moments)
    value = moments(made.features, shared.features)
    evaluation = scored(
        "ours",
        {"ssim": np.ones(33)},
        num_scenes=11,
        set_scores=tuple(SetScore(metric, value, 32, 32, SPEC.key) for metric in ("fvd", "kvd")),
        features={SPEC.key: made},
        references={SPEC.key: real},
    )
    summary = summarize(evaluation, distances={"fvd": moments, "kvd": moments})
    assert (summary.rows[1].estimate.low, summary.rows[1].estimate.high) == (expected.low, expected.high)
    chance = distance_under_chance(shared.features, 32, moments)
    assert (
        f"sets of 32 and 32 clips that spread as the real ones do are at least about {chance:.3g}"
        in " ".join(summary.warnings)
    )
