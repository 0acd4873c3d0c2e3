"""Protocols and clips that something is wrong with: nothing counts in silence, and nothing else suffers."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diff4splat.cameras import Cameras, load_cameras, save_cameras
from diff4splat.evaluation.extractors import (
    EstimatedPath,
    ExtractorSpec,
    ExtractorSuite,
    Matches,
    OraclePoses,
    SeededClipFeatures,
    SeededFrameFeatures,
)
from diff4splat.evaluation.metrics import frechet_distance
from diff4splat.evaluation.protocol import (
    Evaluation,
    Manifest,
    Score,
    ScoreLog,
    read_video,
    score_videos,
    summarize,
    write_frames,
    write_procedural_protocol,
)
from diff4splat.evaluation.reports.paper_tables import problem_words

SIZE, FRAMES = 32, 5


@pytest.fixture
def protocol(tmp_path: Path) -> tuple[Manifest, Path, Path]:
    """A manifest, its folder, and videos that are the real ones, darker."""
    sizes = {"num_scenes": 1, "num_frames": FRAMES, "height": SIZE, "width": SIZE, "supersample": 1}
    manifest = write_procedural_protocol(tmp_path / "protocol", **sizes)
    for clip in manifest.clips:
        (tmp_path / "videos" / clip.scene).mkdir(parents=True, exist_ok=True)
        write_frames(tmp_path / "videos" / clip.name, read_video(tmp_path / "protocol" / clip.reference) // 2)
    return manifest, tmp_path / "protocol", tmp_path / "videos"


def row(evaluation: Evaluation, clip: str, metric: str) -> Score:
    return next(score for score in evaluation.scores if (score.clip, score.metric) == (clip, metric))


def test_a_real_clip_that_cannot_be_read_is_said(protocol: tuple[Manifest, Path, Path]) -> None:
    manifest, source, videos = protocol
    first, second = manifest.clips[:2]
    (source / first.reference / "0003.png").unlink()
    shutil.rmtree(videos / second.name)
    (source / second.reference / "0003.png").unlink()
    found = score_videos(manifest, source, videos, extractors=ExtractorSuite(clips=SeededClipFeatures()))
    for metric in ("psnr", "ssim"):  # pitfall: these rows were left out, and the mean was of the other clips
        lost = row(found, first.name, metric)
        assert math.isnan(lost.value) and lost.problem.startswith("real clip: ")
        assert "too few: 4" in lost.problem
        assert "no video" in row(found, second.name, metric).problem
        line = next(line for line in summarize(found, num_resamples=7).rows if line.metric == metric)
        assert line.missing == 2
    closed = {score.metric for score in found.scores if score.clip.endswith("/closed")}
    assert closed == {"cycle_psnr_running"}


def test_features_that_are_not_finite_do_not_end_the_evaluation(
    protocol: tuple[Manifest, Path, Path],
) -> None:
    class Overflowing(SeededClipFeatures):
        def __call__(self, frames: torch.Tensor) -> torch.Tensor:
            found = super().__call__(frames)
            return torch.where((frames == 0).all(), math.nan, found)

    manifest, source, videos = protocol
    black, *others = [clip for clip in manifest.clips if not clip.closed]
    shutil.rmtree(videos / black.name)
    write_frames(videos / black.name, torch.zeros(FRAMES, 3, SIZE, SIZE, dtype=torch.uint8))
    network = Overflowing()
    found = score_videos(manifest, source, videos, extractors=ExtractorSuite(clips=network))
    fvd = next(score for score in found.set_scores if score.metric == "fvd")
    sides = [
        network(torch.stack([read_video(path) for path in paths]))
        for paths in (
            [videos / clip.name for clip in others],
            [source / clip.reference for clip in others],
        )
    ]
    assert fvd.value == pytest.approx(frechet_distance(*sides), rel=1e-5)
    assert (fvd.count, fvd.reference_count) == (4, 4)
    line = summarize(found, num_resamples=7).rows[0]
    assert (line.metric, line.missing, line.problems) == ("fvd", 1, (("features are not finite", 1),))


@pytest.mark.parametrize(
    ("fails", "problem"),
    [
        ("raises", "the memory is full"),
        ("is wider", "401 features, clips before had 400"),
        ("has no clips", "odd must give one vector per clip, got shape (400,) for one"),
    ],
)
def test_a_network_that_fails_on_a_clip_does_not_end_the_evaluation(
    protocol: tuple[Manifest, Path, Path], fails: str, problem: str, without_shape_checker: None
) -> None:
    class Odd:
        spec = ExtractorSpec("odd", "", "", "none")
        min_frames = 2

        def __init__(self) -> None:
            self.fails = fails

        def __call__(self, frames: torch.Tensor) -> torch.Tensor:
            found = frames.double().flatten(1)[:, :400]
            if (frames == 0).all() and self.fails:
                if self.fails == "raises":
                    raise RuntimeError("the memory is full")
                return torch.ones(1, 401) if self.fails == "is wider" else found[0]
            return found.bfloat16()  # which a log of scores cannot hold

    manifest, source, videos = protocol
    black = [clip for clip in manifest.clips if not clip.closed][2]
    shutil.rmtree(videos / black.name)
    write_frames(videos / black.name, torch.zeros(FRAMES, 3, SIZE, SIZE, dtype=torch.uint8))
    network, log = Odd(), ScoreLog(source / "log.jsonl")
    for _ in range(2):  # pitfall: what is noted would hide the reason from the run that goes on
        found = score_videos(manifest, source, videos, extractors=ExtractorSuite(clips=network), log=log)
        assert [score.count for score in found.set_scores] == [4, 4]
        assert math.isfinite(row(found, black.name, "psnr").value)
        summary = summarize(found, num_resamples=7)
        assert {line.metric: (line.missing, line.problems) for line in summary.rows[:2]} == {
            metric: (1, ((problem, 1),)) for metric in ("fvd", "kvd")
        }
        assert f"FVD; KVD: clips without features are left out (1: {problem})." in summary.warnings
    if fails == "raises":
        network.fails = ""
        found = score_videos(manifest, source, videos, extractors=ExtractorSuite(clips=network), log=log)
        assert [score.count for score in found.set_scores] == [5, 5]
        assert "clips without features" not in found.facts


def test_features_of_other_frames_than_asked_for_are_no_number(
    protocol: tuple[Manifest, Path, Path], without_shape_checker: None
) -> None:
    class Strided:
        spec = ExtractorSpec("every other frame", "", "", "none")

        def __call__(self, frames: torch.Tensor) -> torch.Tensor:
            return frames[::2].float().flatten(1) + 1

        def text(self, prompts: list[str]) -> torch.Tensor:
            return torch.ones(len(prompts), 3 * SIZE * SIZE)

    manifest, source, videos = protocol
    network = Strided()
    suite = ExtractorSuite(subject=network, background=network, prompts=network)
    found = score_videos(manifest, source, videos, extractors=suite)
    for metric in ("subject_consistency", "background_consistency", "clip_score"):
        told = row(found, manifest.clips[0].name, metric)
        assert math.isnan(told.value) and "must give one vector per frame, 5, got 3" in told.problem


def test_a_path_that_is_not_closed_has_no_cycle_consistency(protocol: tuple[Manifest, Path, Path]) -> None:
    manifest, source, videos = protocol
    closed = next(clip for clip in manifest.clips if clip.trajectory == "closed")
    forward = next(clip for clip in manifest.clips if clip.trajectory == "forward")
    wrong = replace(manifest, clips=(replace(closed, cameras=forward.cameras),))
    found = score_videos(wrong, source, videos, extractors=ExtractorSuite())
    score = row(found, closed.name, "cycle_psnr_running")
    assert math.isnan(score.value) and "is no closed one" in score.problem
    right = score_videos(replace(manifest, clips=(closed,)), source, videos, extractors=ExtractorSuite())
    assert row(right, closed.name, "cycle_psnr_running").value > 0


def test_why_there_are_no_poses_and_no_matches(protocol: tuple[Manifest, Path, Path]) -> None:
    class Nothing:
        spec = ExtractorSpec("nothing", "", "", "none", trained=False)

        def __call__(self, first: torch.Tensor, second: torch.Tensor) -> Matches:
            return Matches(torch.zeros(0, 2), torch.zeros(0, 2))

    class Crashing(OraclePoses):
        def __call__(self, *given: torch.Tensor, **options: object) -> EstimatedPath:
            return replace(super().__call__(*given, **options), note="COLMAP failed with status 139")

    manifest, source, videos = protocol
    one = replace(manifest, clips=manifest.clips[:1])
    clip = one.clips[0]
    poses = Crashing(load_cameras(source / clip.cameras), failing=1.0)
    found = score_videos(one, source, videos, extractors=ExtractorSuite(matcher=Nothing(), poses=poses))
    why = row(found, clip.name, "rpe_translation_mean").problem
    assert why.startswith("COLMAP failed with status 139; "), "the cause comes first"
    assert row(found, clip.name, "registered").value == 0
    assert row(found, clip.name, "matches_first").value == 0
    assert row(found, clip.name, "match_inliers").problem == "no later frame has a match with frame 0"


def test_poses_with_the_lens_of_other_frames_are_refused(protocol: tuple[Manifest, Path, Path]) -> None:
    manifest, source, videos = protocol
    one = replace(manifest, clips=manifest.clips[:1])
    clip = one.clips[0]
    cameras = load_cameras(source / clip.cameras)
    poses = OraclePoses(cameras)
    larger = Cameras(cameras.camera_to_world, cameras.intrinsics, 2 * SIZE, 2 * SIZE)
    save_cameras(larger, source / clip.cameras)
    found = score_videos(one, source, videos, extractors=ExtractorSuite(poses=poses))
    score = row(found, clip.name, "rpe_rotation_mean_deg")
    assert math.isnan(score.value) and "frames of (32, 32) pixels, got (64, 64)" in score.problem


def test_extractors_that_change_places_measure_anew(protocol: tuple[Manifest, Path, Path]) -> None:
    manifest, source, videos = protocol
    one, log = replace(manifest, clips=manifest.clips[:1]), videos.parent / "scores.jsonl"
    networks = SeededFrameFeatures(0), SeededFrameFeatures(1)
    values = []
    for subject, background in (networks, networks[::-1]):
        suite = ExtractorSuite(subject=subject, background=background)
        found = score_videos(one, source, videos, extractors=suite, log=ScoreLog(log))
        score = row(found, one.clips[0].name, "subject_consistency")
        assert score.extractor == subject.spec.key
        values.append(score.value)
    assert values[0] != values[1]


def test_another_scale_of_paths_measures_anew(protocol: tuple[Manifest, Path, Path]) -> None:
    """Pitfall: a run that goes on with another scale would keep the errors of the first one."""
    manifest, source, videos = protocol
    one, log = replace(manifest, clips=manifest.clips[:1]), videos.parent / "scores.jsonl"
    poses = OraclePoses(load_cameras(source / one.clips[0].cameras), scale=3.0)
    errors = {
        scale: row(
            score_videos(
                one,
                source,
                videos,
                extractors=ExtractorSuite(poses=poses),
                pose_scale=scale,
                log=ScoreLog(log),
            ),
            one.clips[0].name,
            "rpe_translation_mean",
        ).value
        for scale in ("steps", "none")
    }
    assert errors["steps"] == pytest.approx(0, abs=1e-6) and errors["none"] > 0.01


def test_what_broke_down_is_tried_again(protocol: tuple[Manifest, Path, Path]) -> None:
    class Full(SeededFrameFeatures):
        calls = 0

        def __call__(self, frames: torch.Tensor) -> torch.Tensor:
            Full.calls += 1
            if Full.calls == 1:
                raise RuntimeError("CUDA out of memory")
            return super().__call__(frames)

    manifest, source, videos = protocol
    one, log = replace(manifest, clips=manifest.clips[:1]), videos.parent / "scores.jsonl"
    scores = []
    for _ in range(3):
        suite = ExtractorSuite(subject=Full())
        found = score_videos(one, source, videos, extractors=suite, log=ScoreLog(log))
        scores.append(row(found, one.clips[0].name, "subject_consistency"))
    assert scores[0].problem == "CUDA out of memory" and scores[1].value > 0
    assert scores[2] == scores[1] and Full.calls == 2


def test_clips_that_are_too_short_for_the_network_have_no_distance(
    protocol: tuple[Manifest, Path, Path],
) -> None:
    class Long(SeededClipFeatures):
        min_frames = 10

    manifest, source, videos = protocol
    found = score_videos(manifest, source, videos, extractors=ExtractorSuite(clips=Long()))
    assert [(score.metric, score.count) for score in found.set_scores] == [("fvd", 0), ("kvd", 0)]
    line = summarize(found, num_resamples=7).rows[0]
    words = "No number: clips have 5 frames, the network needs 10."
    assert problem_words(line) == words  # pitfall: "0 clips have no number"


def test_the_time_of_a_scene_counts_once(protocol: tuple[Manifest, Path, Path]) -> None:
    manifest, source, videos = protocol
    seconds = {clip.name: 5.0 if clip.closed else 2.0 for clip in manifest.clips}

    def timed() -> list[float]:
        (videos / "method.json").write_text(json.dumps({"seconds": seconds}))
        found = score_videos(manifest, source, videos, extractors=ExtractorSuite())
        return [score.value for score in found.scores if score.metric == "reconstruction_seconds"]

    assert timed() == [2.0] * 5 + [5.0]  # pitfall: the frozen clip is another view of the same scene
    seconds[next(clip.name for clip in manifest.clips if clip.frozen)] = 6.0
    assert timed() == [2.0] * 5 + [5.0, 6.0], "made on its own"
