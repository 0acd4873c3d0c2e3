"""A recording between two stages, as a file: every tensor with its bits, and no code in it."""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.recordings import Recording
from diff4splat.files import atomic_path

__all__ = ["load_recording", "save_recording"]

_TENSORS = ("video", "depth", "depth_mask", "dynamic_mask", "tracks", "visible", "track_pixels")
_WORDS = ("name", "dataset", "licence", "numbers", "fps", "unit", "static", "caption")


def save_recording(recording: Recording, path: Path) -> None:
    """Write a recording, whole or not at all; equal recordings give equal bytes.

    Args:
        recording: What to write.
        path: An NPZ file; its folder must exist.

    Raises:
        TypeError: If its facts are not JSON.
        OSError: If the file cannot be written.
    """
    found = {name: getattr(recording, name) for name in _TENSORS}
    cameras = recording.cameras
    if cameras is not None:
        found |= {"camera_to_world": cameras.camera_to_world, "intrinsics": cameras.intrinsics}
    words = {name: getattr(recording, name) for name in _WORDS} | {"facts": dict(recording.facts)}
    arrays = {name: value.detach().cpu().numpy() for name, value in found.items() if value is not None}
    arrays["words"] = np.frombuffer(json.dumps(words, sort_keys=True).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_recording(path: Path) -> Recording:
    """Read what `save_recording` wrote; facts come back as JSON has them.

    Args:
        path: The file.

    Returns:
        The recording, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        words: dict[str, Any] = json.loads(arrays.pop("words").tobytes())
        tensors: dict[str, Any] = {name: torch.from_numpy(value) for name, value in arrays.items()}
        height, width = tensors["video"].shape[-2:]
        poses, lenses = tensors.pop("camera_to_world", None), tensors.pop("intrinsics", None)
        cameras = None if poses is None or lenses is None else Cameras(poses, lenses, height, width)
        words["numbers"] = tuple(words["numbers"])
        return Recording(**words, **tensors, cameras=cameras)
    except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
