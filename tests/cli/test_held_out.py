"""The command `held-out`: a table on the screen, files if asked for, and refusals before any work."""

import json
from pathlib import Path

import pytest
import torch
from cli.shown import error_of
from evaluation.oracle import BlindBackbone, Flat

from diff4splat.cli import main
from diff4splat.evaluation.held_out.report import REPORT_FILES
from diff4splat.pipelines import Diff4SplatPipeline


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []

    def load(name: str, *, device: torch.device) -> Diff4SplatPipeline:
        asked.append(name)
        return Diff4SplatPipeline(BlindBackbone(), Flat(), num_frames=5, height=32, width=32, num_steps=3)

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", load)
    return asked


def test_evaluate(flat: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "mine", "--scenes", "2", "--size", "16", "--part", "reconstruction"]
    assert main(["held-out", *words, "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "motion error over no motion" in shown.out and "left or right" not in shown.out
    assert "true video" in shown.err
    assert flat == ["mine"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(REPORT_FILES)
    settings = json.loads((tmp_path / "out" / "summary.json").read_text())["settings"]
    assert (settings["num_scenes"], settings["num_frames"], settings["num_steps"]) == (2, 5, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenes", "0"], "--scenes must be from 1 to 1000000, got 0"),
        (["--first", "-1"], "--first must be from 0 to 1000000, got -1"),
        (["--steps", "0"], "--steps must be from 1 to 10000, got 0"),
        (["--output", "taken"], "--output must be a folder, got a file: taken"),
        (["--steps", "3", "--part", "reconstruction"], "--steps is for the parts generation and both"),
        (["--size", "20", "--output", "new/folder"], "--size must be a multiple of 8"),
        (["--size", "20"], "--size must be a multiple of 8"),
    ],
)
def test_evaluate_refuses(
    words: list[str],
    message: str,
    flat: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    assert main(["held-out", *words]) == 2
    assert message in error_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
