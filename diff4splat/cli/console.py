"""What a command shows while it works: one bar per stage, notes of the library, and tables of results."""

import json
import logging
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from diff4splat.cli.stopping import hold_requests

__all__ = ["Console", "StageRecord", "file_size", "json_text", "size_in_words", "table"]

_NAME_WIDTH = 18
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class StageRecord:
    """What one stage took.

    Args:
        name: Name of the stage.
        seconds: Wall-clock time.
        memory: Peak resident memory of the process during the stage, bytes; None where it cannot be measured.
        gpu_memory: Peak memory allocated on the GPU during the stage, bytes; None without a GPU.
    """

    name: str
    seconds: float
    memory: int | None
    gpu_memory: int | None


class Console:
    """Progress on the standard error stream, results on the standard output stream.

    On a terminal every stage has a bar; in a file or a pipe, one line when it is finished.

    Args:
        quiet: Show results only.
        command: The command line, as one types it, for reports.
    """

    def __init__(self, *, quiet: bool = False, command: str = "") -> None:
        self.quiet, self.command = quiet, command
        self.records: list[StageRecord] = []
        self._bar: Any = None
        self._name: str | None = None
        self._start = 0.0
        self._memory = _MemorySampler()
        self._handler = _NoteHandler()
        self._logger = logging.getLogger("diff4splat")
        self._level = self._logger.level

    def __enter__(self) -> "Console":
        self._memory.start()
        self._logger.addHandler(self._handler)
        self._logger.setLevel(logging.WARNING if self.quiet else logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(finished=kind is None)
        self._memory.stop()
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level)

    @contextmanager
    def stage(self, name: str, total: int = 1) -> Iterator[Callable[[int, int], None]]:
        """One stage as a block, from its first line to its last.

        Args:
            name: Name shown.
            total: Number of steps.

        Yields:
            Function to call with the steps finished and the steps in all.
        """
        self._end(finished=True)
        self._begin(name, total)
        yield self._advance
        self._advance(total, total)
        self._end(finished=True)

    @contextmanager
    def libraries(self) -> Iterator[None]:
        """The stage in which a command imports its libraries; requests to stop wait for its end."""
        with self.stage("load libraries"), hold_requests():
            yield

    def progress(self, name: str, done: int, total: int) -> None:
        """Show how far a stage is; a new name ends the stage before. Fits `Diff4SplatPipeline`'s callback.

        Args:
            name: Name of the stage.
            done: Steps finished.
            total: Steps in all.
        """
        if name != self._name:
            self._end(finished=True)
            self._begin(name, total)
        self._advance(done, total)
        if done >= total:
            self._end(finished=True)

    def print(self, text: str = "") -> None:
        """Write a line of the result.

        Args:
            text: The line, or several; characters that the stream cannot write are spelled out.
        """
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()

    def stage_table(self) -> str:
        """Seconds and peak memory of every stage so far, and of all.

        Returns:
            Aligned text.
        """
        with_gpu = any(record.gpu_memory is not None for record in self.records)
        peaks = [record.memory for record in self.records if record.memory is not None]
        gpu_peaks = [record.gpu_memory for record in self.records if record.gpu_memory is not None]
        total = StageRecord(
            "in all",
            sum(record.seconds for record in self.records),
            max(peaks) if peaks else None,
            max(gpu_peaks) if gpu_peaks else None,
        )
        rows = [
            (
                record.name,
                f"{record.seconds:.1f}",
                size_in_words(record.memory),
                *((size_in_words(record.gpu_memory),) if with_gpu else ()),
            )
            for record in (*self.records, total)
        ]
        return table(
            ("stage", "seconds", "peak memory", *(("GPU memory",) if with_gpu else ())), rows, right=(1, 2, 3)
        )

    def _advance(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)

    def _begin(self, name: str, total: int) -> None:
        self._name, self._start = name, time.perf_counter()
        self._memory.take_peak()
        _take_gpu_peak()
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            # tqdm shows nothing on a terminal that does not tell its size; shutil then has a guess.
            screen = shutil.get_terminal_size()
            self._bar = tqdm(
                total=total,
                desc=f"{name:<{_NAME_WIDTH}}",
                bar_format="{desc} {bar:30} {n_fmt:>3}/{total_fmt:<3} {elapsed}",
                ncols=min(screen.columns, 90),
                nrows=screen.lines,
                file=sys.stderr,
            )

    def _end(self, *, finished: bool) -> None:
        if self._name is None:
            return
        seconds = time.perf_counter() - self._start
        if finished:
            record = StageRecord(self._name, seconds, self._memory.take_peak(), _take_gpu_peak())
            self.records.append(record)
        if self._bar is not None:
            self._bar.close()
        elif finished and not self.quiet:
            sys.stderr.write(f"{self._name:<{_NAME_WIDTH}} {seconds:6.1f} s\n")
        self._bar, self._name = None, None


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Aligned text with a line under the head.

    Args:
        head: Titles of the columns.
        rows: Cells.
        right: Columns that are aligned to the right.

    Returns:
        The table, without a line break at its end.

    Examples:
        >>> print(table(("stage", "seconds"), [("load", "1.5")], right=(1,)))
        stage  seconds
        -----  -------
        load       1.5
    """
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    lines = []
    for row in cells:
        aligned = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def json_text(content: Any) -> str:
    r"""Results as JSON that every program can read.

    Args:
        content: Mappings, sequences, texts and numbers.

    Returns:
        JSON; numbers that are NaN or infinite, which JSON does not have, are null.

    Examples:
        >>> json_text({"value": float("nan")})
        '{\n "value": null\n}'
    """

    def known(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: known(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [known(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(known(content), ensure_ascii=False, indent=1, allow_nan=False)


def file_size(path: Path) -> str:
    """Size of a file, or of all files in a folder, for people.

    Args:
        path: File or folder.

    Returns:
        Such as "12.3 MB".
    """
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return size_in_words(sum(file.stat().st_size for file in files))


def size_in_words(count: int | None) -> str:
    """A number of bytes, for people.

    Args:
        count: Bytes; None for what is not known.

    Returns:
        Such as "12.3 MB", and "-" for None.
    """
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


class _NoteHandler(logging.Handler):
    """Log lines that leave a running bar whole."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, above the bar if there is one."""
        from tqdm import tqdm

        mark = "note" if record.levelno < logging.WARNING else record.levelname.lower()
        tqdm.write(f"{mark}: {record.getMessage()}", file=sys.stderr)


class _MemorySampler:
    """Largest resident memory between two questions, sampled in a thread.

    The kernel's own high-water mark never falls, so it cannot tell stages apart; it is the answer only where
    /proc is missing.
    """

    def __init__(self) -> None:
        self._peak: int | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-sampler", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._done.set()
        self._thread.join()

    def take_peak(self) -> int | None:
        """Peak in bytes since the last call, None where there is no way to know; starts anew."""
        now = _resident_memory()
        peak = max(self._peak or 0, now) if now is not None else None
        self._peak = now
        return peak

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            now = _resident_memory()
            if now is None:
                return
            self._peak = max(self._peak or 0, now)


def _resident_memory() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return _kernel_peak()


def _kernel_peak() -> int | None:
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _take_gpu_peak() -> int | None:
    """Peak bytes on the GPU since the last call; asks only if torch is loaded and the GPU in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return int(peak)
