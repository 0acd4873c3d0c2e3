"""Time and memory of the main job as a user starts it: a process per run, the first one with empty caches.

Run `python benchmarks/generate.py`. Options after `--` go to `diff4splat generate`.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

from diff4splat.assets import load_field, load_video

ROOT = Path(__file__).parents[1]


def run(photo: Path, options: tuple[str, ...], cache: Path) -> dict[str, float | str]:
    """One run in its own process; peak memory is that of the process, all stages together."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "diff4splat", "--quiet", "generate", str(photo), "--output", folder]
        started = time.perf_counter()
        process = subprocess.Popen([*command, *options], env={**os.environ, "NUMBA_CACHE_DIR": str(cache)})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            raise SystemExit(f"generate failed with status {status}")
        written = sum(path.stat().st_size for path in Path(folder).iterdir())
        field, video = load_field(Path(folder) / "scene.safetensors"), load_video(Path(folder) / "video.mp4")
    frames, _, height, width = video.shape
    return {
        "result": f"{field.num_gaussians} Gaussians, {frames} frames of {height} x {width} per video",
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024),
        "written_bytes": written,
    }


def main(
    photo: Path = ROOT / "examples/photos/coffee.jpg", runs: int = 3, options: tuple[str, ...] = ()
) -> None:
    """Print the table.

    Args:
        photo: Photograph to start from.
        runs: Warm runs after the cold one.
        options: Further options of `diff4splat generate`.
    """
    with tempfile.TemporaryDirectory() as cache:
        results = [run(photo, options, Path(cache)) for _ in range(runs + 1)]
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, commit {git.stdout.strip()}")
    print(results[-1]["result"])
    print(f"{'run':<6}{'seconds':>9}{'cpu s':>8}{'peak MB':>9}{'written MB':>12}")
    for index, result in enumerate(results):
        print(
            f"{'warm' if index else 'cold':<6}{result['seconds']:>9.1f}{result['cpu_seconds']:>8.1f}"
            f"{result['peak_bytes'] / 1e6:>9.0f}{result['written_bytes'] / 1e6:>12.1f}"
        )
    warm = min(result["seconds"] for result in results[1:] or results)
    print(json.dumps({"warm_seconds": warm, "peak_bytes": max(r["peak_bytes"] for r in results)}))


if __name__ == "__main__":
    tyro.cli(main)
