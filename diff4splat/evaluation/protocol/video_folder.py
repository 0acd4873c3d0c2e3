"""A folder of videos of one method: a video per clip, and a file that says how long they took and by what."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from diff4splat.cameras import Cameras, load_cameras
from diff4splat.evaluation.costs import PeakMemory, interactive_latency, peak_memory
from diff4splat.evaluation.protocol.making import ClipMaker, MadeClip
from diff4splat.evaluation.protocol.manifest import Manifest
from diff4splat.evaluation.protocol.videos import write_frames
from diff4splat.files import atomic_path, folder_lock
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["METHOD_FILE", "MethodFacts", "make_videos", "read_method"]

METHOD_FILE = "method.json"
"""May stand beside the videos of any method; everything in it is optional."""


@dataclass(frozen=True)
class MethodFacts:
    """What is known of a method beside its videos.

    Args:
        method: Its name.
        settings: What was run, JSON values; videos of other settings are not mixed with these.
        machine: What it ran on, JSON values.
        capabilities: What it can be used for, truth values by keys of `CAPABILITIES`.
        seconds: Time per clip by its name, from the inputs in memory to what is shown, without loading of
            weights.
        parts: The same by parts of the work.
        missing: Clips that the method could not make, with the reason in words.
        latency_ms: From a new camera to its frame, median; None if unknown.
        latency_note: How it was measured, in words.
        memory_gib: Most memory in use while clips were made; None if unknown.
        memory_note: How it was measured, in words.
    """

    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    latency_ms: float | None = None
    latency_note: str = ""
    memory_gib: float | None = None
    memory_note: str = ""


def read_method(folder: str | os.PathLike[str]) -> MethodFacts:
    """What `method.json` in a folder of videos says; nothing where there is no such file.

    Args:
        folder: The folder.

    Returns:
        The facts.

    Raises:
        ValueError: If the file is damaged, or says what is no fact; names the file.
    """
    path = Path(folder) / METHOD_FILE
    if not path.is_file():
        return MethodFacts()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}.")
    known = {part.name for part in fields(MethodFacts)}
    if unknown := sorted(content.keys() - known):
        raise ValueError(f"{path} must have no other keys than {', '.join(sorted(known))}, got {unknown[0]}.")
    for name in ("settings", "machine", "capabilities", "seconds", "parts", "missing"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{path}: {name} must be an object, got {content[name]!r}.")
    for name in ("method", "latency_note", "memory_note"):
        if not isinstance(content.get(name, ""), str):
            raise ValueError(f"{path}: {name} must be text, got {content[name]!r}.")
    for clip, reason in content.get("missing", {}).items():
        if not isinstance(reason, str) or not reason:
            raise ValueError(f"{path}: missing must say in words why {clip} is missing, got {reason!r}.")
    for name, value in content.get("capabilities", {}).items():
        if not isinstance(value, bool):
            raise ValueError(f"{path}: capabilities must be true or false, got {name} {value!r}.")
    for name in ("latency_ms", "memory_gib"):
        if content.get(name) is not None:
            _check_number(path, name, content[name])
    for clip, seconds in content.get("seconds", {}).items():
        _check_number(path, f"seconds of {clip}", seconds)
    return MethodFacts(**content)


def make_videos(
    maker: ClipMaker,
    manifest: Manifest,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    method: str,
    settings: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    capabilities: Mapping[str, bool] | None = None,
    device: torch.device | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> MethodFacts:
    """Make the clips of a protocol, as folders of PNG files without loss, and note what they took.

    Clips that are there are kept, so a run that was stopped goes on.

    Args:
        maker: The method.
        manifest: What is asked for.
        source: Folder of the manifest, from which its paths count.
        output: Folder of the videos; made if needed.
        method: Name of the method.
        settings: What is run, JSON values.
        machine: What it runs on, JSON values.
        capabilities: What the method can be used for, by keys of `CAPABILITIES`.
        device: Where the method works, for time and memory; the CPU when omitted.
        callback: Called with the clips done and of all, after each.

    Returns:
        What `method.json` in `output` says.

    Raises:
        TypeError: If what `maker` returns is no `MadeClip`.
        ValueError: If the folder holds videos of another method or of other settings, or another process is
            working in it.
        FileNotFoundError: If a file of the manifest is missing.
    """
    source, output = Path(source), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu") if device is None else device
    settings = json.loads(json.dumps(dict(settings or {})))
    with folder_lock(output):
        facts = read_method(output)
        if facts != MethodFacts() and (facts.method, facts.settings) != (method, settings):
            raise ValueError(
                f"output must be a folder for {method} with these settings, got {output}, which holds videos "
                f"of {facts.method!r} with {_difference(facts.settings, settings)}: choose another folder, "
                "or remove it."
            )
        facts = replace(
            facts,
            method=method,
            settings=settings,
            machine=dict(machine or {}),
            capabilities=dict(capabilities or {}),
        )
        for done, clip in enumerate(manifest.clips):
            if not (output / clip.name).is_dir() and clip.name not in facts.missing:
                cameras = load_cameras(source / clip.cameras)
                with peak_memory(device) as memory:
                    try:
                        made = maker(clip, source / clip.image, cameras)
                    except ValueError as error:
                        facts = replace(facts, missing={**facts.missing, clip.name: str(error)})
                        made = None
                    else:
                        _check_made(made)
                facts = _with_memory(facts, memory)
                if made is not None:
                    if made.field is not None and facts.latency_ms is None:
                        facts = _with_latency(facts, made.field, cameras)
                    facts = replace(
                        facts,
                        seconds={**facts.seconds, clip.name: round(sum(made.seconds.values()), 4)},
                        parts={
                            **facts.parts,
                            clip.name: {name: round(s, 4) for name, s in made.seconds.items()},
                        },
                    )
                    (output / clip.name).parent.mkdir(exist_ok=True)
                    write_frames(output / clip.name, made.frames)
                _write_method(facts, output)
            if callback is not None:
                callback(done + 1, len(manifest.clips))
    return facts


def _with_latency(facts: MethodFacts, scene: DeformableGaussianField, cameras: Cameras) -> MethodFacts:
    """Time from a new camera to its frame, for frames of the protocol's size."""
    path = cameras.relative_to().to(device=scene.device, dtype=scene.dtype)
    times = torch.linspace(0, 1, path.num_frames, device=scene.device)

    @torch.no_grad()
    def one(index: int) -> object:
        frame = slice(index % path.num_frames, index % path.num_frames + 1)
        return scene.render(path.select(frame), times[frame]).color

    latency = interactive_latency(one, device=scene.device)
    note = (
        f"median of {latency.count} frames of {path.width} x {path.height} pixels after {latency.warmup} to "
        f"warm up, quartiles {latency.iqr_ms:.3g} ms apart; {scene.num_gaussians:,} Gaussians, "
        f"{str(scene.dtype).removeprefix('torch.')}; {latency.device}"
    )
    return replace(facts, latency_ms=round(latency.median_ms, 4), latency_note=note)


def _with_memory(facts: MethodFacts, memory: PeakMemory) -> MethodFacts:
    """The most memory so far: that of a GPU, or by how much the process has grown since its first clip."""
    if not math.isnan(memory.reserved_gib):
        most = max(facts.memory_gib or 0.0, memory.reserved_gib)
        note = "of the GPU, reserved, with the weights; inference"
    elif not math.isnan(memory.resident_growth_gib):
        most = (facts.memory_gib or 0.0) + memory.resident_growth_gib
        note = "of the process, beyond what it held with the weights loaded; inference on a CPU"
    else:
        return facts
    return replace(facts, memory_gib=round(most, 4), memory_note=note)


def _check_made(made: object) -> None:
    if not isinstance(made, MadeClip):
        raise TypeError(f"maker must return a MadeClip, got {type(made).__name__}.")


def _write_method(facts: MethodFacts, folder: Path) -> None:
    with atomic_path(folder / METHOD_FILE) as temporary:
        temporary.write_text(json.dumps(asdict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    names = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    return "other settings: " + ", ".join(f"{name} {there.get(name)!r}" for name in names)


def _check_number(path: Path, name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{path}: {name} must be a number of at least 0, got {value!r}.")
