"""A field as a folder of 3DGS PLY files, one per moment, which any splat program opens one at a time.

The Gaussians of all files are the same ones in the same order; that is what lets a folder become a field.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.moments import check_times, moments
from diff4splat.assets.ply import check_single, load_ply, save_ply
from diff4splat.assets.ply_header import read_provenance
from diff4splat.gaussians import DeformableGaussianField, Gaussians, deltas_between

__all__ = ["load_ply_sequence", "save_ply_sequence"]

KEY = "diff4splat_sequence"  # the comment that tells our frames from files of others
_LARGEST_TIME = 1e30  # what 32 bits hold; whether it lies in [0, 1] is asked later
SAME_APPEARANCE = 1e-3  # of an opacity, or of a coefficient: a quarter of a step of 8 bits


def save_ply_sequence(
    field: DeformableGaussianField,
    folder: str | os.PathLike[str],
    *,
    times: Float[Tensor, " frame"] | Sequence[float] | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> None:
    """Write a field as `frame_00000.ply`, `frame_00001.ply` and so on.

    Each file holds the Gaussians at one time, with the metadata of the field and the time as comments. The
    signs of quaternions carry on from file to file. A folder that exists must hold nothing but an earlier
    sequence of this function, which is replaced, or hidden files, which stay. The files take their names once
    all are written, the first of them last, so that a sequence that was interrupted even then is known to be
    incomplete.

    Args:
        field: One field without batch axes.
        folder: Folder to write; made if needed, in one that exists.
        times: Times in [0, 1], ascending; those stored in the field when omitted.
        callback: Called with the number of files written and the number of all.

    Raises:
        ValueError: If the field has batch axes or invalid values, the times do not ascend in [0, 1], or the
            folder holds anything that this function did not write.
        NotADirectoryError: If `folder` is a file.
        FileNotFoundError: If the folder that it shall lie in does not exist.
    """
    check_single(field.canonical)
    field.validate()
    moments_at = check_times(field, times)
    target = Path(os.path.realpath(folder))
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"folder must name a folder, got the file {folder}.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {folder}: the folder {target.parent} does not exist.")
    former = _former_frames(target, folder)
    names = [f"frame_{index:05d}.ply" for index in range(len(moments_at))]
    made = not target.exists()
    target.mkdir(exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target))
    try:
        for index, gaussians in enumerate(moments(field, moments_at)):
            place = {"time": moments_at[index], "frame": index, "frames": len(names)}
            save_ply(gaussians, staging / names[index], provenance={**field.metadata, KEY: place})
            if callback is not None:
                callback(index + 1, len(names))
        _exchange(former, [target / name for name in names], staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made and not any(target.iterdir()):
            target.rmdir()


def load_ply_sequence(
    folder: str | os.PathLike[str],
    *,
    times: Float[Tensor, " frame"] | Sequence[float] | None = None,
    appearance: Literal["refuse", "mean"] = "refuse",
) -> DeformableGaussianField:
    """Read a folder of 3DGS PLY files, of this or another program, as a field.

    Gaussian i of every file is taken to be the same one. The first file becomes the canonical Gaussians, the
    others deformations of it, with delta quaternions on the side of those before.

    Args:
        folder: Folder whose `.ply` files are the moments, in the order of the last number in their names.
        times: One time per file, ascending in [0, 1]; when omitted those that the files tell, or else evenly
            spaced from 0 to 1.
        appearance: What to do where opacities or colours change over time, by more than 0.001, which a field
            does not hold: refuse the folder, or take their mean over all files, which `metadata` then says.

    Returns:
        Float32 field on the CPU; its metadata is that of the first file.

    Raises:
        ValueError: If there are no files, their order is not clear, one is damaged, they are not all of one
            sequence, they differ in the number or the appearance of the Gaussians, or `appearance` is
            unknown; names the file.
        FileNotFoundError: If there is no such folder.
    """
    if appearance not in ("refuse", "mean"):
        raise ValueError(f"appearance must be 'refuse' or 'mean', got {appearance!r}.")
    files = _frames_in_order(Path(folder))
    metadata = read_provenance(files[0])
    moments = _times_of(files, folder, times)
    metadata.pop(KEY, None)
    canonical = load_ply(files[0])
    deltas = [deltas_between(canonical, canonical)]
    opacities, harmonics = canonical.opacities.double(), canonical.harmonics.double()
    largest = 0.0
    for file in files[1:]:
        frame = load_ply(file)
        _check_same(file, frame, files[0], canonical)
        changes = (frame.opacities - canonical.opacities, frame.harmonics - canonical.harmonics)
        change = max(float(values.abs().max()) for values in changes)
        if change > SAME_APPEARANCE and appearance == "refuse":
            raise ValueError(
                f"{file}: opacities or colours change over time, by up to {change:.3g} since "
                f"{files[0].name}; a field holds one appearance (appearance='mean' takes the mean)."
            )
        largest = max(largest, change)
        opacities, harmonics = opacities + frame.opacities, harmonics + frame.harmonics
        step, before = deltas_between(canonical, frame), deltas[-1].quaternions
        turned_over = (step.quaternions * before).sum(-1, keepdim=True) < 0
        turns = torch.where(turned_over, -step.quaternions, step.quaternions)
        deltas.append(step._replace(quaternions=turns))
    if largest > SAME_APPEARANCE:
        metadata["appearance"] = f"mean over {len(files)} files that differ by up to {largest:.3g}"
        canonical = replace(
            canonical,
            opacities=(opacities / len(files)).float(),
            harmonics=(harmonics / len(files)).float(),
        )
    means, quaternions, scales = (torch.stack(part) for part in zip(*deltas, strict=True))
    return DeformableGaussianField(canonical, moments, means, quaternions, scales, metadata=metadata)


def is_ply_sequence(folder: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder with PLY files in it."""
    return Path(folder).is_dir() and any(_is_ply(path) for path in Path(folder).iterdir())


def _exchange(former: list[Path], frames: list[Path], staging: Path) -> None:
    """Put finished files in the place of former ones, or, if that fails, these back."""
    retired = Path(tempfile.mkdtemp(dir=staging))
    moved: list[tuple[Path, Path]] = []  # where a file is, and where it was
    try:
        for source, target in [
            *((path, retired / path.name) for path in former),
            *((staging / path.name, path) for path in reversed(frames)),
        ]:
            os.replace(source, target)
            moved.append((target, source))
    except BaseException:
        for target, source in reversed(moved):
            os.replace(target, source)
        raise


def _former_frames(target: Path, shown: str | os.PathLike[str]) -> list[Path]:
    """Files of an earlier sequence, first to last; ValueError where anything else is in the folder."""
    if not target.exists():
        return []
    visible = sorted(path for path in target.iterdir() if not path.name.startswith("."))
    for path in visible:
        if not re.fullmatch(r"frame_\d{5,}\.ply", path.name) or not _is_ours(path):
            raise ValueError(
                f"{shown} must be a new or empty folder, or hold an earlier sequence; it holds {path.name}, "
                "which would be lost among the frames."
            )
    return visible


def _is_ours(path: Path) -> bool:
    """Whether `save_ply_sequence` wrote a file."""
    try:
        return path.is_file() and KEY in read_provenance(path)
    except ValueError:
        return False


def _is_ply(path: Path) -> bool:
    return path.suffix.lower() == ".ply" and not path.name.startswith(".") and path.is_file()


def _frames_in_order(folder: Path) -> list[Path]:
    """The PLY files of a folder in the order of their numbers."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    numbered: dict[int, Path] = {}
    files = sorted(path for path in folder.iterdir() if _is_ply(path))
    if not files:
        raise ValueError(f"{folder} holds no .ply files.")
    for path in files:
        digits = re.findall(r"[0-9]+", path.stem)
        if not digits and len(files) > 1:
            raise ValueError(f"{path} must have a number in its name that says which frame it is.")
        number = int(digits[-1][-18:]) if digits else 0
        if number in numbered:
            raise ValueError(f"{path} and {numbered[number].name} must not have the same number, {number}.")
        numbered[number] = path
    return [numbered[number] for number in sorted(numbered)]


def _times_of(
    files: list[Path], folder: str | os.PathLike[str], times: Tensor | Sequence[float] | None
) -> Float[Tensor, " frame"]:
    """Time of each file: as given, as the files say, or evenly spaced."""
    notes = [read_provenance(file).get(KEY) for file in files]
    told = [note for note in notes if isinstance(note, dict)]
    for file, note in zip(files, notes, strict=True):
        if told and (not isinstance(note, dict) or note.get("frames") != len(files)):
            raise ValueError(
                f"{folder} is incomplete or mixed: {file.name} is not of a sequence of {len(files)} files."
            )
    if times is not None:
        values = torch.as_tensor(times, dtype=torch.float32).detach().cpu().reshape(-1)
    elif told and all(_is_time(note.get("time")) for note in told):
        values = torch.tensor([note["time"] for note in told], dtype=torch.float32)
    else:
        values = torch.linspace(0, 1, len(files)) if len(files) > 1 else torch.zeros(1)
    if len(values) != len(files):
        raise ValueError(f"times must hold one time per file, {len(files)}, got {len(values)}.")
    if not bool((values >= 0).all() & (values <= 1).all() & (values.diff() > 0).all()):
        raise ValueError(f"{folder}: times must ascend strictly in [0, 1], got {values.tolist()}.")
    return values


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_TIME


def _check_same(file: Path, frame: Gaussians, first: Path, canonical: Gaussians) -> None:
    """ValueError where files cannot hold the same Gaussians."""
    if frame.num_gaussians != canonical.num_gaussians:
        raise ValueError(
            f"{file} must hold the same Gaussians as {first.name}, {canonical.num_gaussians} of them, "
            f"got {frame.num_gaussians}: without a correspondence a sequence is no field."
        )
    if frame.sh_degree != canonical.sh_degree:
        raise ValueError(
            f"{file} must have harmonics of degree {canonical.sh_degree}, as {first.name}, "
            f"got {frame.sh_degree}."
        )
