"""Results of stages as files: one for each clip and stage that is stored, named by what it was made from.

`folder/<stage>/<first two digits of the key>/<key>.zip` holds `outcome.json` and the files of the clip, and
beside it lies `<key>.npz` with the recording where a stage keeps it. Equal results have equal bytes.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from diff4splat.cameras.files.archives import DAMAGED
from diff4splat.data.recording_file import load_recording, save_recording
from diff4splat.data.stages.item import Item, Outcome
from diff4splat.data.stages.stage import Stage, Task
from diff4splat.files import atomic_path

__all__ = ["load_item", "read_outcome", "remove_unfinished", "result_path", "resumable_item", "write_result"]

_OUTCOME = "outcome.json"
_CLIP = "clip."
_STALE_SECONDS = 60.0


def result_path(folder: str | os.PathLike[str], stage: str, key: str) -> Path:
    """File of a result.

    Args:
        folder: As `run_stages` was given it.
        stage: Name of the stage, as `Outcome.stage`.
        key: Its hash, as `Outcome.key`.

    Returns:
        A path that need not exist.
    """
    return Path(folder, stage, key[:2], f"{key}.zip")


def write_result(
    folder: Path, task: Task, stages: Sequence[Stage], outcome: Outcome, item: Item, *, keep: bool
) -> None:
    """Write what became of a clip, whole or not at all.

    Args:
        folder: As `run_stages` was given it.
        task: The clip.
        stages: Those up to the one it is the result of.
        outcome: What became of it.
        item: Its files are written.
        keep: Whether its recording is written, too.

    Raises:
        TypeError: If the facts of the recording are not JSON.
        OSError: If the files cannot be written, for instance on a full disk.
    """
    path = result_path(folder, outcome.stage, outcome.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    keep = keep and item.recording is not None
    if keep and item.recording is not None:
        save_recording(item.recording, path.with_suffix(".npz"))
    content = {
        "uid": outcome.uid,
        "status": outcome.status,
        "stage": outcome.stage,
        "reason": outcome.reason,
        "metrics": dict(outcome.metrics),
        "key": outcome.key,
        "recording": keep,
        "resumable": outcome.status == "kept" and (keep or item.recording is None),
        "inputs": task.inputs,
        "stages": [
            {"name": stage.name, "version": stage.version, "parameters": stage.parameters} for stage in stages
        ],
    }
    with atomic_path(path) as temporary, ZipFile(temporary, "w") as archive:
        # ZipInfo dates all members 1980, where a name alone would take the time of writing
        archive.writestr(ZipInfo(_OUTCOME), json.dumps(content, sort_keys=True))
        for name in sorted(item.files):
            archive.writestr(ZipInfo(_CLIP + name), item.files[name])


def read_outcome(
    folder: str | os.PathLike[str], stage: str, key: str, *, whole: bool = False
) -> Outcome | None:
    """What became of a clip, as it was written.

    Args:
        folder: As `run_stages` was given it.
        stage: Name of the stage.
        key: Hash of the result.
        whole: Whether a clip that was kept counts only if its recording was stored, too.

    Returns:
        The outcome, marked as reused; None if there is no such file, or it is damaged.
    """
    try:
        with ZipFile(result_path(folder, stage, key)) as archive:
            content = _content(archive)
        if whole and content["status"] == "kept" and not content["resumable"]:
            return None
        names = ("uid", "status", "stage", "reason", "metrics", "key")
        return Outcome(**{name: content[name] for name in names}, reused=True)
    except (FileNotFoundError, KeyError, ValueError, *DAMAGED):
        return None


def load_item(folder: str | os.PathLike[str], stage: str, key: str) -> Item:
    """A result with its files, and its recording where that stage keeps it.

    Args:
        folder: As `run_stages` was given it.
        stage: Name of the stage, as `Outcome.stage`.
        key: Hash of the result, as `Outcome.key`.

    Returns:
        The item after that stage; of a clip that was rejected or failed, what is left of it.

    Raises:
        FileNotFoundError: If there is no such result.
        ValueError: If it is damaged.
    """
    return _load(folder, stage, key)[0]


def resumable_item(folder: Path, stage: str, key: str) -> Item | None:
    """The item to go on from after a stage.

    Args:
        folder: As `run_stages` was given it.
        stage: Name of the stage.
        key: Hash of the result.

    Returns:
        The item; None where there is none, it was not stored whole, or it is damaged.
    """
    try:
        item, content = _load(folder, stage, key)
    except (FileNotFoundError, ValueError):
        return None
    return item if content["resumable"] else None


def remove_unfinished(folder: Path, stages: Sequence[Stage]) -> None:
    """Remove what processes left that were killed while they wrote, a minute ago or longer.

    Args:
        folder: As `run_stages` was given it.
        stages: Whose folders are looked into.
    """
    for stage in stages:
        for path in Path(folder, stage.name).glob("*/.*"):
            try:
                if path.suffix in (".zip", ".npz") and time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                pass


def _load(folder: str | os.PathLike[str], stage: str, key: str) -> tuple[Item, dict[str, Any]]:
    path = result_path(folder, stage, key)
    try:
        with ZipFile(path) as archive:
            content = _content(archive)
            names = [name for name in archive.namelist() if name.startswith(_CLIP)]
            files = {name.removeprefix(_CLIP): archive.read(name) for name in names}
        recording = load_recording(path.with_suffix(".npz")) if content["recording"] else None
    except (KeyError, ValueError, *DAMAGED) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    return Item(content["uid"], recording, content["metrics"], files, content["inputs"]), content


def _content(archive: ZipFile) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(archive.read(_OUTCOME))
    return content
