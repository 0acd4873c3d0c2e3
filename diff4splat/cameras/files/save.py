"""Writing a camera path: in which format, whole or not at all."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from diff4splat.cameras.cameras import Cameras
from diff4splat.cameras.files.arrays import write_lyra, write_npy, write_npz
from diff4splat.cameras.files.colmap import write_colmap
from diff4splat.cameras.files.native import write_json
from diff4splat.cameras.files.neoverse import write_neoverse
from diff4splat.cameras.files.nerf import write_transforms
from diff4splat.cameras.files.request import Read
from diff4splat.cameras.files.rows import write_realestate10k, write_tum
from diff4splat.files import atomic_path

__all__ = ["CameraFormat", "save_cameras"]

logger = logging.getLogger(__name__)

CameraFormat = Literal[
    "json", "transforms", "realestate10k", "npz", "colmap", "tum", "npy", "lyra", "neoverse"
]

_WRITERS: dict[str, Callable[[Read], bytes]] = {
    "json": write_json,
    "transforms": write_transforms,
    "realestate10k": write_realestate10k,
    "npz": write_npz,
    "tum": write_tum,
    "npy": write_npy,
    "lyra": write_lyra,
    "neoverse": write_neoverse,
}
_BY_SUFFIX = {".json": "json", ".txt": "realestate10k", ".npz": "npz", ".tum": "tum", ".npy": "npy"}
_WITHOUT_LENS, _WITHOUT_SKEW = ("tum", "npy", "neoverse"), ("transforms", "realestate10k", "colmap")


def save_cameras(cameras: Cameras, path: str | Path, *, format: CameraFormat | None = None) -> None:
    """Write a camera path; an existing file is replaced in one step.

    The `json` format is `{"format": "diff4splat-cameras", "version": 1, "axes": "opencv", "height": rows,
    "width": columns, "camera_to_world": [frame][4][4], "intrinsics": [frame][3][3]}`, matrices in row order.
    `tum`, `npy` and `neoverse` hold no lens; it is logged which one is left out.

    Args:
        cameras: Cameras without batch axes.
        path: File to write; its folder must exist. For `colmap` the folder of the model, which is made if
            needed, or its `images.txt`; `cameras.txt` and `points3D.txt` are written beside it.
        format: File format. When omitted: `.npz`, `.npy`, `.tum` and `.txt` (RealEstate10K) from the suffix,
            `transforms` for a name that starts so and ends in `.json`, else `json` for `.json`; `colmap` for
            a folder, a path without suffix, and `images.txt`.

    Raises:
        ValueError: If the cameras have batch axes or are invalid, the format cannot hold them (skew), the
            format is unknown, or the folder holds a COLMAP model of another program.
    """
    path = Path(path)
    if cameras.batch_shape:
        raise ValueError(f"cameras must have no batch axes, got batch shape {list(cameras.batch_shape)}.")
    cameras.validate()
    chosen = _format_of(path) if format is None else format
    if chosen not in get_args(CameraFormat):
        raise ValueError(f"format must be one of {', '.join(get_args(CameraFormat))}, got {chosen!r}.")
    content = Read(
        cameras.camera_to_world.detach().cpu().double().numpy(),
        cameras.intrinsics.detach().cpu().double().numpy(),
        cameras.height,
        cameras.width,
    )
    if chosen in _WITHOUT_SKEW and np.abs(content.intrinsics[:, 0, 1]).max(initial=0) > 0:
        raise ValueError("intrinsics must have no skew in this format, got a skewed camera; use json or npz.")
    if chosen == "colmap":
        _write_model(path.parent if path.suffix.lower() in (".txt", ".bin") else path, write_colmap(content))
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(_WRITERS[chosen](content))
    if chosen in _WITHOUT_LENS:
        angle = 2 * np.degrees(np.arctan(cameras.width / 2 / content.intrinsics[0, 0, 0]))
        logger.info(
            "%s holds no lens: a field of view of %.4g degrees, images of %dx%d pixels",
            *(path, angle, cameras.width, cameras.height),
        )


def _write_model(folder: Path, contents: dict[str, bytes]) -> None:
    """The files of a COLMAP model, unless there is one of another program, which nobody wants to lose."""
    folder.mkdir(exist_ok=True)
    points = folder / "points3D.txt"
    ours = points.is_file() and points.read_bytes() == contents[points.name]
    if list(folder.glob("*.bin")) or (not ours and any((folder / name).exists() for name in contents)):
        raise ValueError(f"folder must hold no other COLMAP model, got {folder}; name another one.")
    for name, content in sorted(contents.items(), reverse=True):  # points first: they tell whose it is
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if not suffix or path.is_dir() or path.name == "images.txt":
        return "colmap"
    if suffix == ".json" and path.name.startswith("transforms"):
        return "transforms"
    if suffix not in _BY_SUFFIX:
        known = ", ".join(_BY_SUFFIX)
        raise ValueError(
            f"path must end in {known}, or name a folder, when format is omitted, got {path.name!r}."
        )
    return _BY_SUFFIX[suffix]
