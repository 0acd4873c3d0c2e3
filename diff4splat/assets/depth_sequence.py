"""Depth of every frame of a clip: a folder of 16-bit PNGs, or one `.npz` with cameras and times."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.depth_file import (
    DepthUnit,
    depth_of_values,
    known_depth,
    load_depth,
    npz_bytes,
    png_bytes,
    step_size,
)
from diff4splat.assets.provenance_text import provenance_text
from diff4splat.cameras import Cameras, save_cameras
from diff4splat.cameras.files.archives import open_npz
from diff4splat.files import atomic_folder, atomic_path, natural_order

__all__ = ["load_depth_sequence", "save_depth_sequence"]


def save_depth_sequence(
    depth: Float[Tensor, "frame height width"],
    path: str | os.PathLike[str],
    *,
    cameras: Cameras | None = None,
    times: Float[Tensor, " time"] | None = None,
    unit: DepthUnit | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the depth of every frame of a clip.

    A `.npz` holds "depth" (float32 scene units, NaN where unknown), "times", the cameras as "c2w", "K",
    "height" and "width", which `load_cameras` reads, and "provenance". Any other path is a folder, which must
    be new or empty: `depth_00000.png` and so on as `save_depth` writes them, all with one unit, each with its
    `time`, and `cameras.json`. Either is written whole or not at all.

    Args:
        depth: z-depth, scene units; what is not finite or not above 0 counts as unknown.
        path: `.npz` file, or folder.
        cameras: One camera per frame, without batch axes.
        times: Time of each frame, in [0, 1].
        unit: For PNGs, see `save_depth`.
        provenance: JSON values (model, seed, prompt, licence).

    Raises:
        ValueError: If the numbers of frames or the sizes differ, no pixel is known, a depth lies beyond the
            65,535 steps of a PNG, the folder has something in it, or provenance is not JSON.
        FileNotFoundError: If the folder around `path` does not exist.
    """
    target, frames = Path(path), len(depth)
    if cameras is not None:
        if cameras.batch_shape or (cameras.num_frames, cameras.height, cameras.width) != tuple(depth.shape):
            got = [*cameras.batch_shape, cameras.num_frames, cameras.height, cameras.width]
            raise ValueError(f"cameras must be one per map and of its size, {list(depth.shape)}, got {got}.")
        cameras.validate()
    if times is not None and len(times) != frames:
        raise ValueError(f"times must have one entry per frame, {frames}, got {len(times)}.")
    values, text = known_depth(depth), provenance_text(provenance or {})
    if target.suffix.lower() == ".npz":
        if unit is not None:
            raise ValueError(f"unit is for folders of .png; a .npz holds scene units, got unit={unit}.")
        arrays = {"depth": values, "provenance": np.array(text)}
        if times is not None:
            arrays["times"] = times.detach().cpu().double().numpy()
        if cameras is not None:
            arrays["c2w"] = cameras.camera_to_world.detach().cpu().double().numpy()
            arrays["K"] = cameras.intrinsics.detach().cpu().double().numpy()
            arrays["height"], arrays["width"] = np.array(cameras.height), np.array(cameras.width)
        content = npz_bytes(**arrays)
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
        return
    if target.suffix and not target.is_dir():
        raise ValueError(f"path must end in .npz, or name a folder, got {path}.")
    step = step_size(values, unit)
    with atomic_folder(target) as folder:
        for index, frame in enumerate(values):
            texts = {"Comment": text} | ({} if times is None else {"time": repr(float(times[index]))})
            (folder / f"depth_{index:05d}.png").write_bytes(png_bytes(frame, step, texts))
        if cameras is not None:
            save_cameras(cameras, folder / "cameras.json")


def load_depth_sequence(path: str | os.PathLike[str]) -> Float[Tensor, "frame height width"]:
    """Read the depth of every frame of a clip.

    Args:
        path: `.npz` with an array "depth" of shape `[frame, height, width]`, or a folder with one `.png` per
            frame, sorted by name, numbers in it by value; each as `load_depth` reads it.

    Returns:
        float32 z-depth in scene units, NaN where unknown.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it is something else, is damaged, or the maps differ in size.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.png"), key=lambda file: natural_order(file.name))
        if not files:
            raise ValueError(f"{path} must hold depth maps (.png), got none.")
        maps = [load_depth(file) for file in files]
        sizes = {tuple(depth.shape) for depth in maps}
        if len(sizes) > 1:
            raise ValueError(f"{path}: all depth maps must be of one size, got {sorted(sizes)}.")
        return torch.stack(maps)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    try:
        values = open_npz(path, {"depth"})["depth"]
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path}: must be a .npz with an array 'depth': {error}") from None
    if values.ndim != 3 or 0 in values.shape:
        shape = list(values.shape)
        raise ValueError(f"{path}: depth must have shape [frame, height, width], got {shape}.")
    return depth_of_values(path, values, unit=None, kind="depth")
