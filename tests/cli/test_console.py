"""Progress, measurements and tables, and output that is whole or not there."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diff4splat.cli.console import Console, table
from diff4splat.cli.output import check_output_file, staged_folder


def test_console_measures_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        with console.stage("large"):
            block = np.ones(100_000_000, dtype=np.uint8)
            del block
        with console.stage("small"):
            pass
        for done in range(4):
            console.progress("steps", done, 3)
    assert [record.name for record in console.records] == ["large", "small", "steps"]
    large, small, _ = console.records
    if sys.platform == "linux":
        assert large.memory is not None and small.memory is not None
        assert large.memory - small.memory > 50_000_000, "the peak of one stage is not carried to the next"
    assert large.gpu_memory is None or torch.cuda.is_available()
    rows = console.stage_table().splitlines()
    assert rows[0].split() == ["stage", "seconds", "peak", "memory"] and rows[-1].startswith("in all")
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["large", "small", "steps"]


def test_console_leaves_out_a_stage_that_failed_and_the_logger_as_it_was() -> None:
    logger = logging.getLogger("diff4splat")
    before = (logger.level, list(logger.handlers))
    console = Console()
    with pytest.raises(ZeroDivisionError), console, console.stage("fails"):
        raise ZeroDivisionError
    assert console.records == []
    assert (logger.level, logger.handlers) == before


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Console() as console:
        for done in range(6):
            console.progress("generate video", done, 5)
        logging.getLogger("diff4splat.pipelines").info("said in passing")
    shown = capsys.readouterr().err
    assert "generate video" in shown and "5/5" in shown and "note: said in passing" in shown


def test_table() -> None:
    lines = table(("name", "size"), [("a", "12 MB"), ("longer", "3 kB")], right=(1,)).splitlines()
    assert lines == ["name     size", "------  -----", "a       12 MB", "longer   3 kB"]


def test_staged_folder_puts_nothing_in_place_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with staged_folder(out, ["one", "two"]) as folder:
        (folder / "one").write_text("1")
        (folder / "two").write_text("2")
        assert not (out / "one").exists()
    assert {path.name: path.read_text() for path in out.iterdir()} == {"one": "1", "two": "2"}


def test_staged_folder_that_lacks_a_file_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staged_folder(tmp_path / "out", ["one"]):
        pass
    assert not (tmp_path / "out").exists()


def test_check_output_file(tmp_path: Path) -> None:
    check_output_file(tmp_path / "new")
    with pytest.raises(ValueError, match="--output must be a file, got a folder"):
        check_output_file(tmp_path)
    with pytest.raises(ValueError, match="--output must lie in an existing folder"):
        check_output_file(tmp_path / "none" / "a")
