"""The protocol on one's own images: a manifest, images of one size and the camera paths."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from diff4splat.cameras import Cameras, load_cameras, save_cameras
from diff4splat.data.readers.pictures import PICTURES, picture_files
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.paths import PAPER_TRAJECTORIES, protocol_cameras
from diff4splat.files import atomic_path
from diff4splat.pipelines.images import prepare_image

__all__ = ["manifest_of_images"]

_CLOSED = ("closed", "closed-frozen")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def manifest_of_images(
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    num_frames: int,
    height: int,
    width: int,
    fps: float = 8.0,
    trajectories: Sequence[str] = (*PAPER_TRAJECTORIES, *_CLOSED),
    amplitude: float | Mapping[str, float] = 0.5,
    focus_depth: float = 4.0,
    field_of_view_deg: float = 60.0,
    seed: int = 0,
    name: str = "images",
    note: str = "",
) -> Manifest:
    """Ask for clips of one's own images along the paths of the protocol; there is no truth to compare with.

    Written are `images/<scene>.png`, the images upright, cropped around their centre and resized;
    `cameras/<path>.json`; and at last `manifest.json`. Scenes have the names of the images, with "-" for what
    names of clips may not hold. The text of a file beside an image, of the same name but for `.txt`, is its
    prompt.

    Args:
        images: Folder whose images are taken by the numbers in their names, or a list of files.
        folder: Where to write; made if needed. One of the same protocol may get more
            images.
        num_frames: Frames of each clip.
        height: Rows of the clips, pixels.
        width: Columns, pixels.
        fps: Frames per second that are asked for.
        trajectories: Paths; names that `protocol_cameras` knows, or "closed-frozen", the closed path while
            time stands still.
        amplitude: Size of the motion, scene units; of all paths, or by their names.
        focus_depth: Depth of the point that "spiral", "orbit" and "closed" look at, scene units.
        field_of_view_deg: Horizontal field of view of the cropped images, degrees.
        seed: Seed of the first image; each next one has the next.
        name: Name of the protocol.
        note: Where the images come from, and their licence.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If `folder` holds a manifest that asks for other clips or paths, there are no images, one
            cannot be read, two give scenes of one name, a trajectory is unknown or there twice, or an
            argument is out of range.
        OSError: If the folder cannot be written.
    """
    files = _image_files(images)
    scenes = _scene_names(files)
    repeated = {path for path in trajectories if list(trajectories).count(path) > 1}
    if repeated or not trajectories:
        raise ValueError(f"trajectories must name each path once, got {list(trajectories)}.")
    if isinstance(amplitude, Mapping) and set(amplitude) - {_path_of(path) for path in trajectories}:
        raise ValueError(
            f"amplitude must be of the trajectories {list(trajectories)}, got {sorted(amplitude)}."
        )
    paths = {
        path: protocol_cameras(
            path,
            num_frames,
            height=height,
            width=width,
            amplitude=amplitude.get(path, 0.5) if isinstance(amplitude, Mapping) else amplitude,
            focus_depth=focus_depth,
            field_of_view_deg=field_of_view_deg,
        )
        for path in dict.fromkeys(map(_path_of, trajectories))
    }
    clips = tuple(
        EvaluationClip(
            name=f"{scene}/{trajectory}",
            scene=scene,
            trajectory=trajectory,
            prompt=_caption(file),
            seed=seed + number,
            image=f"images/{scene}.png",
            cameras=f"cameras/{_path_of(trajectory)}.json",
            closed=_path_of(trajectory) in ("closed", "orbit"),
            frozen=trajectory != _path_of(trajectory),
        )
        for number, (file, scene) in enumerate(zip(files, scenes, strict=True))
        for trajectory in trajectories
    )
    manifest = Manifest(name, clips, num_frames, height, width, float(fps), note)
    manifest.validate()  # before anything is written
    _check_other_protocol(Path(folder), manifest, paths)
    folder = Path(folder)
    for part in ("images", "cameras"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for file, scene in zip(files, scenes, strict=True):
        image = prepare_image(file, height=height, width=width, detail_size=1).image
        _write_image(image, folder / "images" / f"{scene}.png")
    for path, cameras in paths.items():
        save_cameras(cameras, folder / "cameras" / f"{path}.json")
    manifest.save(folder / "manifest.json")
    return manifest


def _path_of(trajectory: str) -> str:
    return "closed" if trajectory == "closed-frozen" else trajectory


def _image_files(images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(images, str | os.PathLike):
        files = [Path(image) for image in images]
    elif not Path(images).is_dir():
        raise FileNotFoundError(f"no such folder of images: {images}")
    else:
        files = picture_files(Path(images))
    if not files:
        raise ValueError(f"images must be at least one, of {', '.join(PICTURES)}, got none in {images}.")
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"no such images: {', '.join(missing)}")
    return files


def _scene_names(files: Sequence[Path]) -> list[str]:
    owners: dict[str, Path] = {}
    names = []
    for file in files:
        name = _UNSAFE.sub("-", file.stem).strip("-_") or "image"
        owner = owners.setdefault(name.lower(), file)
        if owner is not file:
            raise ValueError(f"images must have names that differ as {name!r} does, got {owner} and {file}.")
        names.append(name)
    return names


def _caption(file: Path) -> str:
    text = file.with_suffix(".txt")
    if not text.is_file():
        return ""
    try:
        return " ".join(text.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"{text} must be text in UTF-8, but {error}.") from error


def _write_image(image: Tensor, path: Path) -> None:
    from PIL import Image

    pixels = rearrange(image.clamp(0, 1).mul(255).round().to(torch.uint8), "c h w -> h w c")
    with atomic_path(path) as temporary:
        Image.fromarray(pixels.contiguous().numpy()).save(temporary, format="PNG")


def _check_other_protocol(folder: Path, manifest: Manifest, paths: Mapping[str, Cameras]) -> None:
    """A manifest by which videos may have been made is not replaced, but by one with more clips."""
    if not (folder / "manifest.json").exists():
        return
    there = Manifest.load(folder)
    same = replace(there, clips=(), note="") == replace(manifest, clips=(), note="")
    same = same and set(there.clips) <= set(manifest.clips)
    for path, cameras in paths.items():
        file = folder / "cameras" / f"{path}.json"
        if same and file.exists():
            known = load_cameras(file)
            same = torch.allclose(known.camera_to_world, cameras.camera_to_world.to(known.camera_to_world))
            same = same and torch.allclose(known.intrinsics, cameras.intrinsics.to(known.intrinsics))
    if not same:
        raise ValueError(
            f"folder must be new, empty or one of this protocol, got {folder}, which holds a manifest of "
            f"{there.name!r} that asks for other clips or paths: choose another folder."
        )
