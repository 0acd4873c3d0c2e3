"""What may stand in the tables of an evaluation beside it: other methods on the same clips."""

import shutil
from pathlib import Path

import pytest
from cli.shown import error_of

from diff4splat.cli import main
from diff4splat.evaluation.protocol import Manifest


def protocol(folder: Path, first: int) -> Path:
    """A protocol of one scene, and the real clips as the videos of a method."""
    words = ["--scenes", "1", "--first", str(first), "--frames", "3", "--size", "16"]
    assert main(["protocol", *words, "--output", str(folder)]) == 0
    for clip in Manifest.load(folder).clips:
        shutil.copytree(folder / clip.reference, folder.parent / f"videos {first}" / clip.name)
    return folder.parent / f"videos {first}"


def test_other_clips_and_other_scales_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Pitfall: numbers of other clips would stand in one table, and the best of them would be marked.
    words = ["evaluate", "--poses", "none", "--videos", str(protocol(tmp_path / "p", 0)), "--manifest"]
    one = tmp_path / "one"
    assert main([*words, str(tmp_path / "p"), "--output", str(one)]) == 0
    page = (one / "report.html").read_text(encoding="utf-8")
    assert '<span class="faint">videos 0</span>' in page, "frames are named after the method"
    beside = ["--beside", str(one), "--output", str(tmp_path / "two")]
    assert main([*words, str(tmp_path / "p"), *beside]) == 0
    capsys.readouterr()
    assert main([*words, str(tmp_path / "p"), *beside, "--scale", "none"]) != 0
    assert "--beside must have paths scaled by --scale none, got steps" in error_of(capsys)
    words = ["evaluate", "--poses", "none", "--videos", str(protocol(tmp_path / "q", 1)), "--manifest"]
    capsys.readouterr()
    assert main([*words, str(tmp_path / "q"), *beside]) != 0
    assert "--beside must be of the same protocol, sha256:" in error_of(capsys)
