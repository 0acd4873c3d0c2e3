"""Videos to numbers: what each clip gets, what is missing and why, and what may stand for what."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diff4splat.cameras import load_cameras
from diff4splat.evaluation.extractors import (
    ExtractorSpec,
    ExtractorSuite,
    FeatureCache,
    Matches,
    OraclePoses,
    SeededClipFeatures,
    SeededFrameFeatures,
    SeededTextImage,
)
from diff4splat.evaluation.metrics import (
    METRICS,
    frechet_distance,
    kernel_distance,
    path_scores,
    psnr,
    ssim,
    temporal_consistency,
)
from diff4splat.evaluation.protocol import (
    Evaluation,
    EvaluationClip,
    Manifest,
    Score,
    ScoreLog,
    read_video,
    score_references,
    score_videos,
    scoring,
    write_frames,
    write_procedural_protocol,
)

SIZE, FRAMES = 32, 5


class Corners:
    """A matcher that always finds the four corners, in their places."""

    spec = ExtractorSpec("corners", "", "", "none", trained=False)

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> Matches:
        points = torch.tensor([[0.5, 0.5], [SIZE - 0.5, 0.5], [0.5, SIZE - 0.5], [SIZE - 0.5] * 2])
        return Matches(points, points)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    folder = tmp_path_factory.mktemp("protocol")
    sizes = {"num_scenes": 2, "num_frames": FRAMES, "height": SIZE, "width": SIZE, "supersample": 1}
    return write_procedural_protocol(folder, **sizes), folder


@pytest.fixture
def videos(protocol: tuple[Manifest, Path], tmp_path: Path) -> Path:
    """The real clips, darker: a method whose numbers can be computed by hand."""
    manifest, source = protocol
    for clip in manifest.clips:
        (tmp_path / "videos" / clip.scene).mkdir(parents=True, exist_ok=True)
        write_frames(tmp_path / "videos" / clip.name, read_video(source / clip.reference) // 2)
    return tmp_path / "videos"


@pytest.fixture(scope="module")
def suite() -> ExtractorSuite:
    return ExtractorSuite(
        clips=SeededClipFeatures(),
        subject=SeededFrameFeatures(0),
        prompts=SeededTextImage(),
        matcher=Corners(),
    )


def rows(evaluation: Evaluation, metric: str) -> dict[str, Score]:
    return {score.clip: score for score in evaluation.scores if score.metric == metric}


def test_numbers_are_those_of_the_metrics(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    manifest, source = protocol
    found = score_videos(manifest, source, videos, extractors=suite, method="darker")
    clip = next(clip for clip in manifest.clips if clip.trajectory == "upward")
    frames, real = read_video(videos / clip.name), read_video(source / clip.reference)
    image, truth = frames.float() / 255, real.float() / 255
    expected = {
        "psnr": psnr(image, truth).mean(),
        "ssim": ssim(image, truth).mean(),
        "subject_consistency": temporal_consistency(suite.subject(frames)),
        "matches_first": 4.0,
        "matches_next": 4.0,
    }
    for metric, value in expected.items():
        assert rows(found, metric)[clip.name].value == pytest.approx(float(value), rel=1e-6), metric
    open_clips = [clip for clip in manifest.clips if not clip.closed]
    assert set(rows(found, "psnr")) == {clip.name for clip in open_clips} and len(open_clips) == 10
    made, truths = (
        suite.clips(torch.stack([read_video(path) for path in paths]))
        for paths in (
            [videos / clip.name for clip in open_clips],
            [source / clip.reference for clip in open_clips],
        )
    )
    sets = {score.metric: score for score in found.set_scores}
    assert sets["fvd"].value == pytest.approx(frechet_distance(made, truths), rel=1e-6)
    assert sets["kvd"].value == pytest.approx(kernel_distance(made, truths), rel=1e-6)
    assert (sets["fvd"].count, sets["fvd"].reference_count) == (10, 10)
    assert found.manifest == manifest.fingerprint and found.extractors == suite.specs()
    assert rows(found, "subject_consistency")[clip.name].extractor == suite.subject.spec.key


def test_closed_paths_give_cycle_consistency_alone(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    manifest, source = protocol
    found = score_videos(manifest, source, videos, extractors=suite)
    closed = {clip.name: clip for clip in manifest.clips if clip.closed}
    assert len(closed) == 4
    metrics = {name: {s.metric for s in found.scores if s.clip == name} for name in closed}
    for name, clip in closed.items():
        assert metrics[name] == {"cycle_psnr_frozen" if clip.frozen else "cycle_psnr_running"}
    for name, score in rows(found, "cycle_psnr_frozen").items():
        assert score.value == 100, f"{name}: where time stands still the same camera sees the same"
    for name, score in rows(found, "cycle_psnr_running").items():
        frames = read_video(videos / name).float() / 255
        assert score.value == pytest.approx(float(psnr(frames[:1], frames[-1:])))


def test_real_clips_are_scored_alike_and_not_against_themselves(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    manifest, source = protocol
    real = score_references(manifest, source, extractors=suite)
    ours = score_videos(manifest, source, videos, extractors=suite)
    assert real.method == "real clips" and real.set_scores == ()
    assert {s.metric for s in ours.scores} - {s.metric for s in real.scores} == {"psnr", "ssim"}
    key = suite.clips.spec.key
    torch.testing.assert_close(real.features[key].features, ours.references[key].features)


def test_a_clip_that_cannot_be_scored_is_a_row_with_the_reason(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    manifest, source = protocol
    first, second, third = [clip.name for clip in manifest.clips if not clip.closed][:3]
    whole = score_videos(manifest, source, videos, extractors=suite)
    frames = read_video(videos / second)
    for name in (first, second, third):
        for file in (videos / name).iterdir():
            file.unlink()
        (videos / name).rmdir()
    write_frames(videos / second, frames[:-1])
    write_frames(videos / third, torch.zeros(FRAMES, 3, SIZE, SIZE + 2, dtype=torch.uint8))
    found = score_videos(manifest, source, videos, extractors=suite)
    reasons = {
        first: "no video",
        second: f"the video must have {FRAMES} frames, got too few: {FRAMES - 1}",
        third: f"the video must have {SIZE} x {SIZE} pixels, got {SIZE} x {SIZE + 2}",
    }
    for name, words in reasons.items():
        mine = [score for score in found.scores if score.clip == name]
        assert {score.metric for score in mine} == {s.metric for s in whole.scores if s.clip == name}
        assert all(math.isnan(score.value) and score.problem == words for score in mine), mine
    others = [score for score in found.scores if score.clip not in reasons]
    assert others == [score for score in whole.scores if score.clip not in reasons]
    fvd = next(score for score in found.set_scores if score.metric == "fvd")
    assert (fvd.count, fvd.reference_count) == (7, 7), "both sides of the distance have the same clips"


def test_a_metric_that_fails_says_why_and_others_stay(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    class Broken(Corners):
        def __call__(self, first: torch.Tensor, second: torch.Tensor) -> Matches:
            raise RuntimeError("out of luck")

    manifest, source = protocol
    found = score_videos(manifest, source, videos, extractors=replace(suite, matcher=Broken()))
    assert {s.problem for s in rows(found, "matches_first").values()} == {"out of luck"}
    assert not any(math.isnan(s.value) for s in rows(found, "psnr").values())


def test_poses_are_compared_with_the_commanded_ones(protocol: tuple[Manifest, Path], videos: Path) -> None:
    manifest, source = protocol
    clip = manifest.clips[1]
    cameras = load_cameras(source / clip.cameras)
    one = replace(manifest, clips=(clip,))
    found = score_videos(one, source, videos, extractors=ExtractorSuite(poses=OraclePoses(cameras)))
    assert rows(found, "rpe_translation_rmse")[clip.name].value == pytest.approx(0, abs=1e-6)
    assert rows(found, "registered")[clip.name].value == 1


def test_poses_of_a_scene_at_rest_are_numbers_of_their_own(
    protocol: tuple[Manifest, Path], videos: Path
) -> None:
    """Pitfall: what moves misleads estimators, so where time stands still must not be mixed with the rest."""
    manifest, source = protocol
    clips = [clip for clip in manifest.clips if clip.closed][:2]
    cameras = load_cameras(source / clips[0].cameras)
    suite = ExtractorSuite(poses=OraclePoses(cameras, rotation_noise_deg=1.0))
    found = score_videos(replace(manifest, clips=tuple(clips)), source, videos, extractors=suite)
    (frozen,) = (clip.name for clip in clips if clip.frozen)
    metrics = {s.metric: s for s in found.scores if s.clip == frozen}
    path = suite.poses(read_video(videos / frozen), cameras.intrinsics[0])
    expected = path_scores(path.cameras, cameras, scale="steps", registered=path.registered)
    assert metrics["rpe_translation_frozen"].value == expected.rpe_translation_mean
    assert metrics["rpe_rotation_frozen_deg"].value == expected.rpe_rotation_mean_deg > 0.1
    assert metrics["registered_frozen"].value == 1
    assert metrics["registered_frozen"].extractor == suite.poses.spec.key
    assert {s.metric for s in found.scores} == {
        *("cycle_psnr_frozen", "cycle_psnr_running"),
        *("rpe_translation_frozen", "rpe_rotation_frozen_deg", "registered_frozen"),
    }


def test_a_version_that_measures_more_measures_anew(
    protocol: tuple[Manifest, Path], videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, source = protocol
    one = replace(manifest, clips=manifest.clips[:1])
    score_videos(one, source, videos, extractors=ExtractorSuite(), log=ScoreLog(tmp_path / "log.jsonl"))
    lines = (tmp_path / "log.jsonl").read_text().count("\n")
    for measured, expected in ((METRICS, lines), ({**METRICS, "beauty": METRICS["psnr"]}, lines + 1)):
        monkeypatch.setattr(scoring, "METRICS", measured)
        score_videos(one, source, videos, extractors=ExtractorSuite(), log=ScoreLog(tmp_path / "log.jsonl"))
        assert (tmp_path / "log.jsonl").read_text().count("\n") == expected


def test_what_is_done_is_not_done_again(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite, tmp_path: Path
) -> None:
    class Counting(Corners):
        calls = 0

        def __call__(self, first: torch.Tensor, second: torch.Tensor) -> Matches:
            Counting.calls += 1
            return super().__call__(first, second)

    manifest, source = protocol
    used = replace(suite, matcher=Counting())

    def run() -> Evaluation:
        log, cache = ScoreLog(tmp_path / "scores.jsonl"), FeatureCache(tmp_path / "features")
        return score_videos(manifest, source, videos, extractors=used, log=log, cache=cache)

    first = run()
    calls = Counting.calls
    again = run()
    assert (
        Counting.calls == calls > 0 and again.scores == first.scores and again.set_scores == first.set_scores
    )
    changed = next(clip for clip in manifest.clips if not clip.closed)
    frames = read_video(videos / changed.name)
    for file in (videos / changed.name).iterdir():
        file.unlink()
    (videos / changed.name).rmdir()
    write_frames(videos / changed.name, 255 - frames)
    third = run()
    assert Counting.calls == calls + 2 * (FRAMES - 1) - 1, (
        "one clip has changed, and it alone is measured anew"
    )
    assert rows(third, "psnr")[changed.name].value != rows(first, "psnr")[changed.name].value


def test_times_are_those_that_the_method_says(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    manifest, source = protocol
    one, other = manifest.clips[0].name, manifest.clips[2].name
    facts = {"method": "theirs", "seconds": {one: 3.5}, "latency_ms": 7.0, "missing": {other: "too hard"}}
    (videos / "method.json").write_text(json.dumps(facts))
    found = score_videos(manifest, source, videos, extractors=suite)
    assert found.method == "theirs"
    assert {name: s.value for name, s in rows(found, "reconstruction_seconds").items()} == {one: 3.5}
    assert next(s.value for s in found.set_scores if s.metric == "latency_ms") == 7.0
    assert rows(found, "psnr")[other].problem == "too hard"


def test_a_folder_that_is_not_there_is_an_error(protocol: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, source = protocol
    with pytest.raises(FileNotFoundError, match="no such folder of videos: .*nowhere"):
        score_videos(manifest, source, tmp_path / "nowhere", extractors=ExtractorSuite())


def test_without_real_clips_there_is_no_distance_and_no_error(
    protocol: tuple[Manifest, Path], videos: Path, suite: ExtractorSuite
) -> None:
    manifest, source = protocol
    bare = replace(manifest, clips=tuple(replace(clip, reference="") for clip in manifest.clips))
    found = score_videos(bare, source, videos, extractors=suite)
    assert rows(found, "psnr") == {} and len(rows(found, "matches_first")) == 10
    fvd = next(score for score in found.set_scores if score.metric == "fvd")
    assert math.isnan(fvd.value) and fvd.problem == "the manifest names no real clips"
    assert all(isinstance(clip, EvaluationClip) for clip in bare.clips)
