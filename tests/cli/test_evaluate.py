"""The commands evaluate, compare and protocol: from a model or anybody's videos to tables and reports."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from cli.shown import error_of
from evaluation.oracle import BlindBackbone, Flat

from diff4splat.cli import main
from diff4splat.evaluation.protocol import Manifest, load_evaluation
from diff4splat.pipelines import Diff4SplatPipeline

SMALL = ["--size", "32", "--poses", "two-view"]
REPORT = {"report.html", "report.md", "report.tex", "scores.csv", "scores.parquet", "set_scores.csv"}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small evaluation of a model without weights."""
    folder = tmp_path_factory.mktemp("evaluated") / "ours"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Diff4SplatPipeline, "from_pretrained", flat)
        assert main(["evaluate", "--model", "flat", "--scenes", "2", *SMALL, "--output", str(folder)]) == 0
    return folder


def flat(name: str, *, device: torch.device) -> Diff4SplatPipeline:
    return Diff4SplatPipeline(BlindBackbone(), Flat(), num_frames=5, height=32, width=32, num_steps=2)


def test_from_a_model_to_the_report(evaluated: Path) -> None:
    files = {file.name for file in evaluated.iterdir()}
    assert files >= REPORT | {"evaluation.json", "features", "protocol", "videos", "real", "held_out"}
    evaluation = load_evaluation(evaluated)
    assert evaluation.method == "flat" and len(evaluation.clips) == 14
    assert evaluation.facts["settings"]["steps"] == 2 and "torch" in evaluation.facts["machine"]
    assert evaluation.facts["command"].startswith("diff4splat evaluate --model flat --scenes 2")
    metrics = {score.metric for score in evaluation.scores} | {s.metric for s in evaluation.set_scores}
    assert metrics >= {"fvd", "kvd", "matches_first", "subject_consistency", "rpe_rotation_mean_deg", "psnr"}
    assert metrics >= {"cycle_psnr_frozen", "cycle_psnr_running", "latency_ms", "reconstruction_seconds"}
    frozen = [score.value for score in evaluation.scores if score.metric == "cycle_psnr_frozen"]
    assert frozen == [100, 100]
    assert load_evaluation(evaluated / "real").method == "real clips"
    page = (evaluated / "report.html").read_text()
    assert "Where the truth is known" in page and "motion error over no motion" in page
    assert "210.153" in page and "real clips" in page and "data:image" in page
    assert (evaluated / "held_out" / "summary.json").is_file()


def test_the_same_command_goes_on(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ours"
    shutil.copytree(evaluated, folder)
    shutil.rmtree(folder / "videos" / "scene-00001" / "upward")

    def refuse(*given: object, **options: object) -> None:
        raise AssertionError("only the clip that is missing is made")

    made: list[str] = []
    call = Flat.__call__
    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", flat)
    monkeypatch.setattr("diff4splat.evaluation.evaluate_held_out", refuse)
    monkeypatch.setattr(Flat, "__call__", lambda *a, **k: made.append("one") or call(*a, **k))
    words = ["--model", "flat", "--poses", "two-view", "--manifest", str(folder / "protocol")]
    assert main(["evaluate", *words, "--output", str(folder)]) == 0
    assert len(made) == 1
    first, second = load_evaluation(evaluated), load_evaluation(folder)
    timeless = [
        [score for score in one.scores if score.metric != "reconstruction_seconds"] for one in (first, second)
    ]
    assert timeless[0] == timeless[1]
    assert "Table 1." in capsys.readouterr().out


def test_videos_of_somebody_else_and_a_comparison(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, protocol = tmp_path / "theirs", evaluated / "protocol"
    manifest = Manifest.load(protocol)
    for clip in manifest.clips[:-1]:
        shutil.copytree(protocol / clip.reference, theirs / clip.name)
    words = ["--videos", str(theirs), "--manifest", str(protocol / "manifest.json"), "--poses", "none"]
    assert main(["evaluate", *words, "--beside", str(evaluated), "--output", str(tmp_path / "scored")]) == 0
    shown = capsys.readouterr().out
    assert "theirs" in shown and "flat" in shown and "Diff4Splat" in shown
    evaluation = load_evaluation(tmp_path / "scored")
    assert {s.value for s in evaluation.scores if s.metric == "psnr"} == {100.0}, "they copied the truth"
    assert [s.problem for s in evaluation.scores if s.clip == manifest.clips[-1].name] == ["no video"]
    assert not (tmp_path / "scored" / "held_out").exists()

    output = tmp_path / "comparison"
    assert main(["compare", str(evaluated), str(tmp_path / "scored"), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "PSNR" in shown and "theirs" in shown
    assert {file.suffix for file in output.iterdir()} == {".html", ".md", ".tex"}
    assert main(["compare", str(evaluated), str(tmp_path / "scored"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    row = next(row for row in found["rows"] if row["metric"] == "psnr")
    assert row["second"]["value"] == 100 and row["num_scenes"] == 2 and row["num_clips"] == 10


def test_a_protocol_for_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["protocol", "--scenes", "1", "--frames", "3", "--size", "16", "--output", str(tmp_path / "p")]
    assert main(words) == 0
    assert "7 clips of 1 scenes" in capsys.readouterr().out
    manifest = Manifest.load(tmp_path / "p")
    manifest.check_files(tmp_path / "p")
    assert (manifest.num_frames, manifest.height) == (3, 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenes", "0"], "--scenes must be from 1 to 100000, got 0"),
        (["--videos", "."], "--videos needs --manifest"),
        (["--videos", ".", "--manifest", "nowhere"], "--manifest: no such file or folder: nowhere"),
        (["--videos", ".", "--manifest", ".", "--steps", "3"], "--steps is for models, got it with --videos"),
        (["--networks", "clip"], "--networks must be KIND=SOURCE, with commas between, got 'clip'"),
        (["--networks", "vgg=x"], "--networks knows i3d, dino, clip-background, clip, .*, got vgg"),
        (["--networks", "clip=a,clip=b"], "--networks names clip twice"),
        (["--networks", "i3d=nowhere.pt"], "nowhere.pt"),
        (["--beside", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_first(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *words, "--output", "out"]) == 2
    assert re.search(message, error_of(capsys))
    assert not (tmp_path / "out").exists()
