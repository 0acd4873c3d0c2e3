"""The protocol on procedural scenes that training never saw: images, paths, prompts and true frames."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diff4splat.cameras import Cameras, save_cameras
from diff4splat.data import HELD_OUT_SEEDS, ProceduralScenes, sample_cameras, sample_scenes
from diff4splat.evaluation.held_out.scenes import seed_batches
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.paths import PAPER_TRAJECTORIES, protocol_cameras
from diff4splat.evaluation.protocol.videos import write_frames
from diff4splat.files import atomic_folder, atomic_path, folder_lock

__all__ = ["write_procedural_protocol"]

_VERSION = 1  # of the scenes and of how they are rendered
_FPS = 8.0
_SETTINGS, _CHECKSUMS = "settings.json", "checksums.json"


def write_procedural_protocol(
    folder: str | os.PathLike[str],
    *,
    num_scenes: int = 32,
    first_scene: int = 0,
    num_frames: int = 9,
    height: int = 128,
    width: int = 128,
    supersample: int = 2,
    amplitude: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Render held-out scenes along the paths of the protocol, with all that a method is given and judged by.

    Seven clips per scene: the five paths of the paper, and a closed one, once while things move and once
    while time stands still at 0. `scenes/<scene>/` holds `image.png`, `<path>.json` with the commanded
    cameras, the true frames `<path>/0000.png` and so on, rendered along the same cameras, and
    `<path>-depth.npz` with their z-depth `depth`, `[frame, height, width]`, scene units, float16, which is
    exact to 0.05 %. The prompt is the caption of the scene, the seed its number, the lens that of the scene.
    At last `manifest.json` is written. 32 scenes of the default size take about 73 MB.

    What is there already, of the same settings and whole by its checksums, is kept; so a run that was ended
    goes on where it stopped, and more scenes are added to fewer. A scene is written whole or not at all.
    Equal arguments give equal bytes on one machine with the same versions of PyTorch, NumPy and Pillow.

    Args:
        folder: Where to write; made if needed.
        num_scenes: Scenes, at least 1.
        first_scene: Number of the first scene among the held-out ones. To choose between models, use other
            scenes than those that are reported.
        num_frames: Frames of each clip, at least 3.
        height: Image rows.
        width: Image columns.
        supersample: Rays per pixel side that are averaged into the colours.
        amplitude: Length of the paths, and farthest point of the closed one, scene units.
        progress: Called after each scene with how many are done, and how many there are.

    Returns:
        The manifest.

    Raises:
        ValueError: If an argument is out of range, the folder holds scenes of other settings or something
            else, or another process is writing into it.
        OSError: If the folder cannot be written, for instance on a full disk.
    """
    seeds = [seed for batch in seed_batches(num_scenes, 1, first_scene=first_scene) for seed in batch]
    for name, value, least in (("num_frames", num_frames, 3), ("supersample", supersample, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    settings = _Settings(num_frames, height, width, supersample, float(amplitude))
    paths = settings.cameras()  # refuses sizes and amplitudes that are out of range
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clips: list[EvaluationClip] = []
    with folder_lock(folder):
        _claim(folder, settings)
        for done, seed in enumerate(seeds, start=1):
            name = f"scene-{seed - HELD_OUT_SEEDS[0]:05d}"
            scene = sample_scenes([seed])
            target = folder / "scenes" / name
            if not _is_whole(target, settings.files()):
                shutil.rmtree(target, ignore_errors=True)
                with atomic_folder(target) as temporary:
                    _write_scene(temporary, scene, seed, paths, settings)
            clips += _clips(name, scene.captions[0], seed - HELD_OUT_SEEDS[0])
            if progress is not None:
                progress(done, len(seeds))
        manifest = Manifest(
            name=f"procedural scenes {first_scene} to {first_scene + num_scenes - 1}, {settings.words()}",
            clips=tuple(clips),
            num_frames=num_frames,
            height=height,
            width=width,
            fps=_FPS,
            note="Rendered by diff4splat from seeds that its training does not use; MIT licence.",
        )
        manifest.save(folder / "manifest.json")
    return manifest


@dataclass(frozen=True)
class _Settings:
    """What the files of a scene depend on, but for its seed."""

    num_frames: int
    height: int
    width: int
    supersample: int
    amplitude: float

    def words(self) -> str:
        rays = f"{self.supersample} x {self.supersample} rays per pixel"
        return f"version {_VERSION}, amplitude {self.amplitude!r}, {rays}"

    def as_json(self) -> dict[str, Any]:
        return {"format": "diff4splat-procedural-protocol", "version": _VERSION} | vars(self)

    def cameras(self) -> dict[str, Cameras]:
        """Paths by name, of a lens that no scene has."""
        size = {"height": self.height, "width": self.width}
        return {
            name: protocol_cameras(name, self.num_frames, **size, amplitude=self.amplitude)
            for name in (*PAPER_TRAJECTORIES, "closed")
        }

    def files(self) -> list[str]:
        """All files of a scene."""
        names = ["image.png", *(f"{path}.json" for path in (*PAPER_TRAJECTORIES, "closed"))]
        for path in (*PAPER_TRAJECTORIES, "closed", "closed-frozen"):
            names.append(f"{path}-depth.npz")
            names += [f"{path}/{index:04d}.png" for index in range(self.num_frames)]
        return sorted(names)


def _clips(scene: str, caption: str, number: int) -> Iterator[EvaluationClip]:
    for name in (*PAPER_TRAJECTORIES, "closed", "closed-frozen"):
        path = name.removesuffix("-frozen")
        yield EvaluationClip(
            name=f"{scene}/{name}",
            scene=scene,
            trajectory=name,
            prompt=caption,
            seed=number,
            image=f"scenes/{scene}/image.png",
            cameras=f"scenes/{scene}/{path}.json",
            reference=f"scenes/{scene}/{name}",
            closed=path == "closed",
            frozen=name != path,
        )


def _write_scene(
    folder: Path, scene: ProceduralScenes, seed: int, paths: Mapping[str, Cameras], settings: _Settings
) -> None:
    from PIL import Image

    lens = sample_cameras([seed], 1, height=settings.height, width=settings.width).intrinsics[0]
    times = torch.linspace(0, 1, settings.num_frames)
    for name in (*PAPER_TRAJECTORIES, "closed", "closed-frozen"):
        path = paths[name.removesuffix("-frozen")]
        cameras = Cameras(
            path.camera_to_world, lens.expand(settings.num_frames, 3, 3), path.height, path.width
        )
        if name in paths:
            save_cameras(cameras, folder / f"{name}.json")
        moments = times if name in paths else torch.zeros_like(times)
        one = Cameras(cameras.camera_to_world[None], cameras.intrinsics[None], path.height, path.width)
        seen = scene.render(one, moments, supersample=settings.supersample)
        frames = _to_bytes(seen.color[0])
        write_frames(folder / name, frames)
        np.savez_compressed(folder / f"{name}-depth.npz", depth=seen.depth[0].half().numpy())
        if name == PAPER_TRAJECTORIES[0]:
            Image.fromarray(frames[0].permute(1, 2, 0).numpy()).save(folder / "image.png")
    sums = {name: _sha256(folder / name) for name in settings.files()}
    (folder / _CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n")


def _to_bytes(color: Tensor) -> Tensor:
    return color.clamp(0, 1).mul(255).round().byte()


def _claim(folder: Path, settings: _Settings) -> None:
    """Make the folder one of these settings, and clear away what a run left that was killed."""
    file = folder / _SETTINGS
    if not file.exists():
        others = [path.name for path in folder.iterdir() if path.name[0] != "."]
        if others:
            raise ValueError(
                f"folder must be new, empty or one of this protocol, got {folder} with {others[:3]}."
            )
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(settings.as_json(), indent=1) + "\n")
    try:
        known = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} must be JSON, but {error}.") from error
    if known != settings.as_json():
        there = known if isinstance(known, dict) else {}
        changed = {key: value for key, value in settings.as_json().items() if there.get(key) != value}
        listed = ", ".join(f"{key} of {there.get(key)} and not {value}" for key, value in changed.items())
        raise ValueError(f"folder must hold scenes of the same settings, got {folder} with {listed}.")
    (folder / "scenes").mkdir(exist_ok=True)
    for left in (folder / "scenes").glob(".scene-*"):
        shutil.rmtree(left)


def _is_whole(folder: Path, files: list[str]) -> bool:
    try:
        sums = json.loads((folder / _CHECKSUMS).read_text())
        return list(sums) == files and all(_sha256(folder / name) == sums[name] for name in files)
    except (OSError, ValueError):
        return False


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
