"""What a bundle of trained parts says about itself: its README, from the logs of the runs and given facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from diff4splat.files import atomic_path
from diff4splat.hub import weights_hash
from diff4splat.training.records import losses_of, read_records
from diff4splat.training.report import read_sessions

__all__ = ["RunFacts", "read_run", "write_model_card"]

_LIMITS = (
    "It was trained on procedural scenes alone: boxes, balls, drums and the like that slide, turn, bounce. "
    "Photographs look different, so their depth is rough and what moves in them is guesswork.",
    "It has seen no people, animals, water, fire or plants that move.",
    "Prompts are understood as far as they resemble the captions of those scenes: what moves, and which way.",
    "The clip is short and small; detail in the first view comes from the photograph, and whatever the "
    "photograph does not show is blurry.",
    "Cameras that go far from the path leave what the scene knows and see holes.",
    "Depth and translation are in scene units, not in metres.",
)


@dataclass(frozen=True)
class RunFacts:
    """What the log of a training run tells.

    Args:
        steps: Optimiser steps.
        seconds: Time spent in the loop, over all sessions of the run.
        seed: Seed of the run; None where it was not written down.
        last: Last running averages of the losses, by name.
        hardware: What it ran on, with versions: different ones, if it was continued elsewhere.
    """

    steps: int
    seconds: float
    seed: int | None
    last: Mapping[str, float]
    hardware: tuple[str, ...] = ()


def read_run(folder: str | Path) -> RunFacts:
    """Steps, seconds, seed and hardware of a stage, from the logs that `train_stage` writes.

    Args:
        folder: Folder of the run.

    Returns:
        The facts, of all sessions of a run that was continued.

    Raises:
        FileNotFoundError: If the folder has no log.
        ValueError: If the log is empty.
    """
    path = Path(folder) / "log.jsonl"
    records = read_records(path)
    if not path.is_file():
        raise FileNotFoundError(f"the folder of a run must hold log.jsonl, got none in {folder}.")
    if not records:
        raise ValueError(f"{path} must hold at least one record, got none.")
    final, sessions = records[-1], read_sessions(folder)
    last = {name: float(value) for name, value in losses_of(final).items()}
    seed = sessions[-1]["seed"] if sessions else None
    hardware = tuple(dict.fromkeys(_hardware(session) for session in sessions))
    return RunFacts(int(final["step"]), float(final["seconds"]), seed, last, hardware)


def write_model_card(
    folder: str | Path,
    *,
    name: str,
    parts: Mapping[str, nn.Module],
    runs: Mapping[str, RunFacts],
    clip: tuple[int, int, int],
    commands: Sequence[str] = (),
    hardware: str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write README.md beside the weights: what the model is, how it was trained, what it cannot do.

    Args:
        folder: Folder of the saved pipeline.
        name: Name of the model, as it is loaded by.
        parts: Trained modules by name.
        runs: Runs by name, in the order they were made.
        clip: Frames, height and width of a generated clip.
        commands: Command lines of the training.
        hardware: What the training ran on; what the runs tell when omitted.
        notes: Measured results and further limits, a sentence each.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If the folder holds no weights.
    """
    folder = Path(folder)
    counts = [(name, sum(p.numel() for p in part.parameters())) for name, part in parts.items()]
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    frames, height, width = clip
    told = dict.fromkeys(words for run in runs.values() for words in run.hardware)
    hardware = hardware or "; ".join(told) or "not recorded"
    lines = [
        "---",
        "license: mit",
        "library_name: diff4splat",
        "tags: [image-to-4d, gaussian-splatting, video-diffusion]",
        "---",
        "",
        f"# {name}",
        "",
        "A photograph, a camera path and perhaps a prompt in, a deformable field of 3D Gaussians out. It is "
        "Diff4Splat's line of causal video autoencoder, camera-conditioned diffusion transformer and latent "
        f"reconstruction model in small: clips of {frames} frames at {height} x {width}.",
        "",
        "```python",
        "from diff4splat import Diff4SplatPipeline",
        "",
        f'field = Diff4SplatPipeline.from_pretrained("{name}")("photo.jpg", "spiral")',
        "```",
        "",
        "## Parts",
        "",
        *_table(
            ("part", "parameters"),
            [(name, f"{count:,}") for name, count in [*counts, ("all", sum(c for _, c in counts))]],
        ),
        "",
        f"Weights: {size / 1e6:.1f} MB; `diff4splat.hub.weights_hash` of the folder:",
        f"`{weights_hash(folder)}`.",
        "",
        "## Training",
        "",
        "On procedural scenes (`diff4splat.data`), whose seeds lie below 2^40; evaluation uses seeds above. "
        f"Hardware: {hardware}.",
        "",
        *_table(
            ("run", "steps", "hours", "seed", "last losses (running averages)"),
            [_run_row(name, run) for name, run in runs.items()],
        ),
        "",
    ]
    if commands:
        lines += ["Command lines, in order:", "", "```sh", *commands, "```", ""]
    lines += ["## Limits", "", *[f"- {limit}" for limit in _LIMITS], ""]
    if notes:
        lines += ["## Notes", "", *[f"- {note}" for note in notes], ""]
    path = folder / "README.md"
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return path


def _hardware(session: Mapping[str, Any]) -> str:
    processes = "" if session["processes"] == 1 else f"{session['processes']} processes, "
    versions = ", ".join(f"{name} {number}" for name, number in session["versions"].items())
    return f"{processes}{session['hardware']} ({versions})"


def _run_row(name: str, run: RunFacts) -> tuple[str, ...]:
    losses = ", ".join(f"{key} {value:.3g}" for key, value in run.last.items() if key != "norm")
    seed = "-" if run.seed is None else str(run.seed)
    return name, f"{run.steps:,}", f"{run.seconds / 3600:.2f}", seed, losses


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    ruler = "|".join("---" for _ in head)
    return [f"| {' | '.join(head)} |", f"|{ruler}|", *[f"| {' | '.join(row)} |" for row in rows]]
