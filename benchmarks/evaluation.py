"""How long an evaluation takes, from the model to the report, and again when all is there.

    python benchmarks/evaluation.py            two scenes, fourteen clips, a few minutes
    python benchmarks/evaluation.py --scenes 32

Each command runs in a process of its own, with the loading of libraries and weights.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro
from measuring import Result, conclude, describe, machine, report, say

GOAL_MINUTES = 5.0


def seconds(*words: str) -> float:
    """Wall-clock time of a command line."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "diff4splat", "--quiet", *words], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def measure(scenes: int, folder: Path) -> list[Result]:
    """Times of a model's evaluation, of the same again, and of videos that are there."""
    ours, theirs = folder / "ours", folder / "theirs"
    model = ("evaluate", "--scenes", str(scenes), "--output", str(ours))
    given = ("--videos", str(ours / "videos"), "--manifest", str(ours / "protocol"), "--output", str(theirs))
    goal = GOAL_MINUTES if scenes == 2 else None
    part = f"{scenes} scenes"
    return report(
        [
            Result(part, "model to report", seconds(*model) / 60, "min", goal=goal),
            Result(part, "the same command again", seconds(*model) / 60, "min"),
            Result(part, "videos to report", seconds("evaluate", *given) / 60, "min"),
        ]
    )


def main(scenes: int = 2, json: Path | None = None) -> list[Result]:
    """Measure.

    Args:
        scenes: Procedural scenes, seven clips each.
        json: File for the results.
    """
    facts = machine()
    say(describe(facts))
    with tempfile.TemporaryDirectory() as folder:
        results = measure(scenes, Path(folder))
    conclude(results, quick=False, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
