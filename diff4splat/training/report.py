"""What a run did, as a page: curves, last pictures, numbers of each stage."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from diff4splat import __version__
from diff4splat.files import atomic_path
from diff4splat.training.recipe import Recipe
from diff4splat.training.records import add_record, losses_of, read_records

__all__ = ["describe_hardware", "note_session", "read_sessions", "write_report"]

_SESSIONS = "sessions.jsonl"


def note_session(folder: str | Path, *, step: int, seed: int, processes: int) -> None:
    """Add a line to a stage's sessions.jsonl: with what it is trained from a step on.

    Args:
        folder: Folder of the stage.
        step: Steps that were done before.
        seed: Of the run.
        processes: Number of them.
    """
    record = {
        "step": step,
        "seed": seed,
        "processes": processes,
        "hardware": describe_hardware(),
        "versions": {
            "diff4splat": __version__,
            "Python": platform.python_version(),
            "accelerate": version("accelerate"),
        },
    }
    add_record(Path(folder) / _SESSIONS, record)


def read_sessions(folder: str | Path) -> list[dict[str, Any]]:
    """What `note_session` wrote.

    Args:
        folder: Folder of the stage.

    Returns:
        One dictionary per session, in order; none where none is noted.
    """
    return read_records(Path(folder) / _SESSIONS)


def write_report(folder: str | Path, recipe: Recipe, stages: Sequence[str]) -> Path:
    """Write report.md, and curves.png where matplotlib is installed.

    Args:
        folder: Folder of the run.
        recipe: What was run.
        stages: Names of the folders of its stages, in order.

    Returns:
        The page.
    """
    folder = Path(folder)
    logs = {name: read_records(folder / "stages" / name / "log.jsonl") for name in stages}
    lines = [f"# {recipe.name}", ""]
    lines += [f"Seed {recipe.seed}, precision {recipe.precision}, {describe_hardware()}.", ""]
    lines += [
        "| stage | steps | hours | clips that were bad | last running averages |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(folder, name, log) for name, log in logs.items()]
    lines += ["", "The pipeline is in `model`, what was run in `recipe.json`.", ""]
    if _draw_curves(logs, folder / "curves.png"):
        lines += ["![Losses over steps](curves.png)", ""]
    for name in stages:
        pictures = sorted((folder / "stages" / name / "pictures").glob("*.png"))
        if pictures:
            lines += [f"## {name}, step {int(pictures[-1].stem)}", ""]
            lines += [f"![{name}]({pictures[-1].relative_to(folder).as_posix()})", ""]
    path = folder / "report.md"
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return path


def _row(folder: Path, name: str, log: list[dict[str, Any]]) -> str:
    if not log:
        return f"| {name} | - | - | - | - |"
    done = folder / "stages" / name / "done.json"
    bad = json.loads(done.read_text(encoding="utf-8"))["bad_clips"] if done.is_file() else "-"
    values = ", ".join(f"{key} {value:.3g}" for key, value in losses_of(log[-1]).items())
    return f"| {name} | {log[-1]['step']:,} | {log[-1]['seconds'] / 3600:.2f} | {bad} | {values} |"


def describe_hardware() -> str:
    """What this process runs on.

    Returns:
        Words without the name of the machine.
    """
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}, torch {torch.__version__}"
    return f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _draw_curves(logs: dict[str, list[dict[str, Any]]], path: Path) -> bool:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    drawn = {name: log for name, log in logs.items() if len(log) > 1}
    if not drawn:
        return False
    figure = Figure(figsize=(5 * len(drawn), 4), layout="constrained")
    axes: Any = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axis, (name, log) in zip(axes, drawn.items(), strict=True):
        for key in losses_of(log[-1]):
            if key != "norm":
                known = [line for line in log if line.get(key) is not None]
                axis.plot([line["step"] for line in known], [line[key] for line in known], label=key)
        axis.set(title=name, xlabel="step", yscale="log")
        axis.grid(visible=True, alpha=0.3)
        axis.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return True
