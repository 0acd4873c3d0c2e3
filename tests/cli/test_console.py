"""Progress, measurements and tables, and output that is whole or not there."""

import errno
import io
import logging
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from diff4splat.cli.console import Console, table
from diff4splat.cli.errors import in_words
from diff4splat.cli.output import check_output_file, made_folder, staged_folder
from diff4splat.files import atomic_path


def wait_until_sampled(console: Console) -> None:
    """Until the thread that samples the memory has had its turn, however busy the machine is."""
    sampler = console._memory
    sampler._peak, deadline = 0, time.monotonic() + 30
    while not sampler._peak and time.monotonic() < deadline:
        time.sleep(0.01)


def test_console_measures_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        with console.stage("large"):
            block = np.ones(100_000_000, dtype=np.uint8)
            wait_until_sampled(console)
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


def test_folders_made_on_the_way_go_when_a_later_one_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="--output cannot be written: File name too long"):
        with staged_folder(tmp_path / "a" / "b" / ("c" * 300), ["one"]):
            raise AssertionError("not reached")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["a file", "a link to nothing", "below a file"])
def test_output_that_can_be_no_folder(kind: str, tmp_path: Path) -> None:
    output = tmp_path / "taken"
    if kind == "a link to nothing":
        output.symlink_to(tmp_path / "none" / "x")
    else:
        output.touch()
    wanted = f"--output must be a folder, got {kind}: .*taken"
    if kind == "below a file":
        output, wanted = output / "x", "--output cannot be written: Not a directory: .*taken/x"
    with pytest.raises((ValueError, OSError)) as raised, made_folder(output):
        raise AssertionError("not reached")
    assert re.fullmatch(wanted, in_words(raised.value))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_errors_about_staged_files_name_those_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised, staged_folder(tmp_path / "out", ["one"]) as folder:
        with atomic_path(folder / "one"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert in_words(raised.value) == (
        f"--output cannot be written: No space left on device: {tmp_path / 'out' / 'one'}"
    )
    with pytest.raises(OSError, match="elsewhere"), staged_folder(tmp_path / "out", ["one"]):
        raise OSError(errno.EACCES, "Permission denied", "elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_staged_folder_keeps_links(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "shelf" / "real").write_text("old")
    (tmp_path / "out" / "one").symlink_to(tmp_path / "shelf" / "real")
    with staged_folder(tmp_path / "out", ["one"]) as folder:
        (folder / "one").write_text("new")
    assert (tmp_path / "out" / "one").is_symlink()
    assert (tmp_path / "shelf" / "real").read_text() == "new"
    (tmp_path / "out" / "one").unlink()
    (tmp_path / "out" / "one").symlink_to(tmp_path / "none" / "real")
    with pytest.raises(ValueError, match="no link into a missing folder"):
        with staged_folder(tmp_path / "out", ["one"]):
            raise AssertionError("not reached")


def test_print_spells_out_what_the_stream_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Console().print("caf\xe9 \udcff")
    assert stream.buffer.getvalue() == b"caf\\xe9 \\udcff\n"


def test_check_output_file(tmp_path: Path) -> None:
    check_output_file(tmp_path / "new")
    with pytest.raises(ValueError, match="--output must be a file, got a folder"):
        check_output_file(tmp_path)
    with pytest.raises(ValueError, match="--output must lie in an existing folder"):
        check_output_file(tmp_path / "none" / "a")
    with pytest.raises(ValueError, match="--output must end in .json or .txt, got .*a.txt2"):
        check_output_file(tmp_path / "a.txt2", (".json", ".txt"))
    with pytest.raises(OSError, match="--output cannot be written: File name too long"):
        check_output_file(tmp_path / ("n" * 300))


def test_check_output_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # an administrator may write everywhere
    with pytest.raises(PermissionError, match="--output cannot be written: Permission denied: .*a.ply"):
        check_output_file(tmp_path / "a.ply")
