"""What the runs of the ablations reached, kept in a file; those that are there are not made again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from diff4splat.files import atomic_path


@dataclass(frozen=True)
class Run:
    """What a variant reached with a training seed."""

    variant: str
    seed: int
    minutes: float
    scenes: dict[str, list[float | None]]
    """One number per scene, or per clip, by name; None where there is none."""
    groups: list[int] = field(default_factory=list)
    """Scene of each number; each has a scene of its own when empty."""
    whole: dict[str, float | None] = field(default_factory=dict)
    """One number of all clips together by name; None where it could not be measured."""
    clips: str = ""
    """Stands for the clips that were asked for."""
    measured_with: dict[str, str] = field(default_factory=dict)
    """Networks, matchers and pose estimators in words, by name of the numbers."""
    missing: dict[str, str] = field(default_factory=dict)
    """How many numbers are missing and why, by their name."""


def load(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """What a file of results was made with, and the runs in it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["settings"], [Run(**one) for one in content["runs"]]


def save(path: Path, facts: dict[str, Any], settings: dict[str, Any], runs: Sequence[Run]) -> None:
    """Write results, whole or not at all."""
    content = {"machine": facts, "settings": settings, "runs": [asdict(one) for one in runs]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def complete(
    path: Path,
    settings: dict[str, Any],
    asked: Sequence[tuple[str, int]],
    make: Callable[[str, int], Run],
    facts: dict[str, Any],
) -> list[Run]:
    """Make the runs that are asked for, variant and seed, and not in the file; it is written after each.

    Args:
        path: The file; its folder is made if needed.
        settings: All that two runs must share to be compared.
        asked: Variants and seeds.
        make: Makes one.
        facts: The machine.

    Returns:
        All runs of the file.
    """
    settings = json.loads(json.dumps(settings))  # as the file gives them back
    done: list[Run] = []
    if path.is_file():
        before, done = load(path)
        if before != settings:
            raise SystemExit(f"{path} was made with {before}, now it is {settings}: choose another --output.")
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {(one.variant, one.seed) for one in done}
    missing = [one for one in asked if one not in known]
    for key, seed in tqdm(missing, desc=path.stem, unit="run"):
        done.append(make(key, seed))
        save(path, facts, settings, done)
        tqdm.write(f"{key}, seed {seed}: {done[-1].minutes:.1f} minutes")
    return done


def results_of(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """`load`, for a file that a user names."""
    if not path.is_file():
        raise SystemExit(f"results must be a file that a run wrote, got {path}.")
    return load(path)
