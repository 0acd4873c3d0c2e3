"""Scores by metric: what counts as missing, whose extractor a failure has, and scores that make no sense."""

import math

import pytest
from evaluation.scored import clip_names, score, scored

from diff4splat.evaluation import Evaluation, Score, SetScore
from diff4splat.evaluation.protocol import clip_scenes, score_groups
from diff4splat.evaluation.protocol.score_groups import set_scores_by_metric

NAN = math.nan
TWO_SCENES = clip_names(2)


def made(*scores: Score, clips: tuple[str, ...] = TWO_SCENES, **fields: object) -> Evaluation:
    return Evaluation("ours", "sha256:1", clips, scores, **fields)


def test_groups_are_in_the_order_of_the_table_and_clips_in_that_of_the_scores() -> None:
    values = {"ssim": range(6), "clip_score": range(6)}
    groups = score_groups(scored("ours", values, num_scenes=2))
    assert [group.metric for group in groups] == ["clip_score", "ssim"]
    assert groups[0].clips == clip_names(2) and groups[0].values.tolist() == [0, 1, 2, 3, 4, 5]
    path = groups[0].of_trajectory("forward")
    assert path.clips == ("scene00/forward", "scene01/forward") and path.values.tolist() == [1, 4]
    assert groups[0].of_trajectory("nowhere").clips == ()


def test_a_clip_without_any_score_is_missing_and_one_that_was_not_asked_is_not() -> None:
    open_paths, closed = clip_names(1), ("scene00/closed",)
    scores = [score(clip, "ssim", 0.5) for clip in (*open_paths[:2], *closed)]
    scores.append(score(closed[0], "cycle_psnr_running", 30.0))
    cycle, ssim = score_groups(made(*scores, clips=(*open_paths, *closed)))
    assert ssim.missing == 1 and ssim.counted_problems() == (("not scored", 1),)
    assert (cycle.clips, cycle.missing) == ((closed[0], open_paths[2]), 1)  # all that the unscored one lacks


def test_reasons_are_counted() -> None:
    clips = clip_names(2)
    values = [(NAN, "no video"), (NAN, "too short"), (NAN, "no video"), (NAN, ""), (math.inf, ""), (1.0, "")]
    scores = (score(c, "psnr", v, problem=p) for c, (v, p) in zip(clips, values, strict=True))
    (group,) = score_groups(made(*scores))
    assert group.missing == 5
    counts = (("no video", 2), ("infinite", 1), ("no reason given", 1), ("too short", 1))
    assert group.counted_problems() == counts


def test_a_clip_that_never_reached_the_extractor_is_missing_from_its_numbers() -> None:
    clips = clip_names(1)
    scores = [score(clips[0], "clip_score", NAN, "", "no video")]
    scores += [score(clip, "clip_score", 20.0, "key") for clip in clips[1:]]
    (group,) = score_groups(made(*scores, clips=clips))
    assert (group.extractor, group.missing, len(group.clips)) == ("key", 1, 3)


def test_two_extractors_make_two_groups() -> None:
    scores = [score(clip, "clip_score", 1.0, key) for key in ("one", "two") for clip in clip_names(1)]
    groups = score_groups(made(*scores, clips=clip_names(1)))
    assert [(group.extractor, len(group.clips)) for group in groups] == [("one", 3), ("two", 3)]


def test_scenes_of_clips() -> None:
    scores = [score("a/spiral", "ssim", 1.0)]
    assert clip_scenes(made(*scores, clips=("a/spiral", "b/spiral", "c"))) == {
        "a/spiral": "a",
        "b/spiral": "b",
        "c": "c",
    }


def test_scores_that_make_no_sense() -> None:
    clip = clip_names(1)[0]
    with pytest.raises(ValueError, match="ours: 'beauty' is not a metric of clips"):
        score_groups(made(score(clip, "beauty", 1.0)))
    with pytest.raises(ValueError, match="ours: 'fvd' is not a metric of clips"):
        score_groups(made(score(clip, "fvd", 1.0)))
    with pytest.raises(ValueError, match="clip 'a/b' was not asked for"):
        score_groups(made(score("a/b", "ssim", 1.0)))
    with pytest.raises(ValueError, match="two scores 'ssim'"):
        score_groups(made(score(clip, "ssim", 1.0), score(clip, "ssim", 2.0)))
    with pytest.raises(ValueError, match="'ssim' is not a metric of sets"):
        set_scores_by_metric(made(set_scores=(SetScore("ssim", 1.0, 3),)))
    other = score(clip, "psnr", 1.0)
    other = type(other)(clip, "elsewhere", other.trajectory, "psnr", 1.0)
    with pytest.raises(ValueError, match="is of scene 'scene00' and of 'elsewhere'"):
        score_groups(made(score(clip, "ssim", 1.0), other))
