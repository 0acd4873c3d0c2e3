"""What benchmarks share: times, the machine they were taken on, and results beside their goals."""

import json as json_files
import os
import platform
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import diff4splat
from diff4splat.files import atomic_path

ROOT = Path(__file__).parents[1]
TINY = "These are tiny sizes: the numbers mean nothing."


@dataclass(frozen=True)
class Result:
    """A measured number and the goal it is held to, if any; `size` tells the points of a curve apart."""

    part: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    size: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def verdict(self) -> str:
        """The goal and "met" or "missed"; empty without a goal."""
        return "" if self.goal is None else f"{self.goal:g} {'met' if self.met else 'missed'}"

    def __str__(self) -> str:
        """One line of a report."""
        line = f"  {self.part + ': ' + self.name:<54}{number(self.value):>7} {self.unit:<2}"
        return line if self.goal is None else f"{line} {'>=' if self.at_least else '<='} {self.verdict()}"


def report(results: list[Result]) -> list[Result]:
    """Print a line for each, and hand them on."""
    print(*(str(result).rstrip() for result in results), sep="\n", flush=True)
    return results


def say(text: str) -> None:
    """Print text in lines of at most 80 characters."""
    print(textwrap.fill(text, 80))


def conclude(results: Sequence[Result], *, quick: bool, json: Path | None, facts: dict[str, Any]) -> None:
    """Say how many goals are met, and write all results if a file is named."""
    held = [result for result in results if result.met is not None]
    if held:
        print(f"\n{sum(bool(result.met) for result in held)} of {len(held)} goals met")
    if quick:
        print(TINY)
    if json:
        write_json(json, {"machine": facts, "results": [asdict(result) for result in results]})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write what was measured, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_files.dumps(content, indent=1) + "\n", encoding="utf-8")


def number(value: float) -> str:
    """Three digits or so."""
    if 0 < abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def once(function: Callable[[], Any]) -> float:
    """Wall time of a call, seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def fastest(functions: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Shortest wall time of each function, seconds.

    They take turns, so that what slows the machine for a while slows all of them.
    """
    rounds = [[once(function) for function in functions] for _ in range(repeats)]
    return [min(times) for times in zip(*rounds, strict=True)]


def resident_bytes(name: str) -> int:
    """Resident bytes of this process on Linux: "VmRSS" now, "VmHWM" at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def vector_class() -> str:
    """Widest vectors that the kernels are compiled for: "AVX-512", "AVX2", or "" where neither is known.

    NUMBA_CPU_NAME=haswell compiles for AVX2 on a newer processor and counts as such.
    """
    if os.environ.get("NUMBA_CPU_NAME", "host") != "host":
        return {"haswell": "AVX2", "skylake-avx512": "AVX-512"}.get(os.environ["NUMBA_CPU_NAME"], "")
    flags = _cpuinfo("flags").split()
    return "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""


def machine() -> dict[str, Any]:
    """Hardware, versions and the commit of the code that is measured."""
    try:
        numba = version("numba")
    except PackageNotFoundError:
        numba = "missing"
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vectors": vector_class(),
        "gflops": round(_gflops()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba,
        "commit": _commit(),
    }


def describe(facts: dict[str, Any]) -> str:
    """What `machine` found, in three lines."""
    hardware = f"{facts['processor']}, {facts['cores']} cores, threads: {facts['threads']}, "
    hardware += f"{facts['vectors'] or 'vectors unknown'}" + (f", {facts['gpu']}" if facts["gpu"] else "")
    hardware += f"\nmatrix products at this time: {facts['gflops']} GFLOP/s"
    return (
        f"{hardware}\n"
        f"Python {facts['python']}, torch {facts['torch']}, numba {facts['numba']}, commit {facts['commit']}"
    )


def _gflops() -> float:
    """Rate of float32 matrix products now: shared machines are not equally fast at all times."""
    a, b = torch.rand(2, 1024, 1024)
    return 2 * 1024**3 / fastest([lambda: a @ b], 10)[0] / 1e9


def command_line() -> str:
    """The command that is running, as one types it in the folder of the repository."""
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script.name
    return " ".join(["python", str(name), *sys.argv[1:]])


def _cpuinfo(key: str) -> str:
    """A value of the first processor on Linux, "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _commit() -> str:
    if not Path(diff4splat.__file__).is_relative_to(ROOT):
        return f"unknown (diff4splat {diff4splat.__version__} is imported from elsewhere)"
    head, changes = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    )
    return (head or "unknown") + ("+changes" if changes else "")
