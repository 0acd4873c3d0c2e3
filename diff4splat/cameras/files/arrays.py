"""numpy files: our npz and its relatives in Lyra, GEN3C and NeoVerse, and plain npy lists of matrices.

- `c2w` or `w2c` (3x4 or 4x4) with `K`, and `height`, `width` if known: ours.
- `w2c`, `intrinsics`, `image_height`, `image_width`: trajectories of Lyra 2.
- `data` (camera-to-world), `inds`: poses of ViPE and Lyra 1, whose lenses lie in `../intrinsics/`.
- `frame_matrices`, `frame_indices`: sparse keys of NeoVerse (`neoverse.py`).
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from diff4splat.cameras.files.archives import open_npy, open_npz
from diff4splat.cameras.files.matrices import check_rigid, numbers, rigid_inverses, square
from diff4splat.cameras.files.neoverse import read_sparse
from diff4splat.cameras.files.request import Read, Request, intrinsics_of, stored_size

__all__ = ["read_matrices", "read_npy", "read_npz", "write_lyra", "write_npy", "write_npz"]

_ALIASES = {"intrinsics": "K", "image_height": "height", "image_width": "width"}
_WANTED = {*_ALIASES, "K", "c2w", "data", "frame_indices", "frame_matrices", "height", "inds", "w2c", "width"}


def read_npz(path: Path, request: Request) -> Read:
    """Cameras of any of the archives above."""
    arrays = open_npz(path, _WANTED)
    if {"frame_matrices", "frame_indices"} <= arrays.keys():
        return read_sparse(arrays["frame_indices"], arrays["frame_matrices"], None, 1.0, request)
    if {"data", "inds"} <= arrays.keys():
        return _read_vipe(path, arrays["data"], request)
    arrays = {_ALIASES.get(name, name): array for name, array in arrays.items()}
    if ("c2w" in arrays) == ("w2c" in arrays) or "K" not in arrays:
        raise ValueError(f"npz must hold K and either c2w or w2c, got {sorted(arrays)}.")
    request.refuse_stated("npz", "direction", "field_of_view_deg")
    name = "c2w" if "c2w" in arrays else "w2c"
    matrices = _matrices(name, arrays[name])
    stored: dict[str, Any] = {key: array.item() for key, array in arrays.items() if array.size == 1}
    height = stored_size("height", stored, request.height)
    width = stored_size("width", stored, request.width)
    camera_to_world = request.to_opencv(
        name, matrices, direction="camera_to_world" if name == "c2w" else "world_to_camera"
    )
    return Read(camera_to_world, _lenses(arrays["K"], len(matrices)), height, width)


def _read_vipe(path: Path, matrices: np.ndarray, request: Request) -> Read:
    """Poses of ViPE and Lyra 1; their lenses are in a file of the same name in the folder beside."""
    request.refuse_stated("ViPE", "axes", "direction")
    height, width = request.both_sides("ViPE")
    if matrices.ndim == 2 and matrices.shape[1] == 16:
        matrices = matrices.reshape(-1, 4, 4)
    camera_to_world = _matrices("data", matrices)
    check_rigid("data", camera_to_world)
    lens_file = path.parent.parent / "intrinsics" / path.name
    if path.parent.name != "pose" or not lens_file.is_file():
        return Read(camera_to_world, request.lenses(len(matrices), height, width), height, width)
    request.refuse_stated("ViPE", "field_of_view_deg")
    lenses = open_npz(lens_file, ("data",)).get("data", np.zeros(0))
    if lenses.shape != (len(matrices), 3, 3):
        lenses = np.stack([intrinsics_of(*row[:4]) for row in numbers(f"{lens_file} data", lenses, (4,))])
    return Read(camera_to_world, lenses, height, width)


def read_npy(path: Path, request: Request) -> Read:
    """Cameras of one array of matrices, `[frame, 4, 4]`, `[frame, 3, 4]`, `[frame, 16]` or `[frame, 12]`."""
    return read_matrices(open_npy(path), request)


def read_matrices(values: Any, request: Request) -> Read:
    """Cameras of a list of matrices, whole or flattened row by row, whose convention the caller knows."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "file must hold matrices of 4 x 4 or 3 x 4 numbers, or 16 or 12 in a row, got something else."
        ) from None
    if array.ndim == 2 and array.shape[1] in (12, 16):
        array = array.reshape(len(array), -1, 4)
    matrices = _matrices("matrices", array)
    height, width = request.both_sides("matrix")
    camera_to_world = request.to_opencv("matrices", matrices)
    return Read(camera_to_world, request.lenses(len(matrices), height, width), height, width)


def _matrices(name: str, array: np.ndarray) -> np.ndarray:
    return square(numbers(name, array, (3, 4) if array.shape[-2:] == (3, 4) else (4, 4)))


def _lenses(array: np.ndarray, count: int) -> np.ndarray:
    if array.ndim == 2:
        array = np.broadcast_to(array, (count, *array.shape))
    return numbers("K", array, (3, 3))


def write_npz(cameras: Read) -> bytes:
    """Ours: every bit is kept."""
    return _savez(
        c2w=cameras.camera_to_world, K=cameras.intrinsics, height=cameras.height, width=cameras.width
    )


def write_lyra(cameras: Read) -> bytes:
    """A trajectory for Lyra 2."""
    return _savez(
        w2c=rigid_inverses(cameras.camera_to_world).astype(np.float32),
        intrinsics=cameras.intrinsics.astype(np.float32),
        image_height=cameras.height,
        image_width=cameras.width,
    )


def write_npy(cameras: Read) -> bytes:
    """Camera-to-world matrices alone."""
    buffer = io.BytesIO()
    np.save(buffer, cameras.camera_to_world)
    return buffer.getvalue()


def _savez(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
