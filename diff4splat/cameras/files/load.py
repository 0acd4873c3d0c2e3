"""Reading a camera path: which reader a file goes to, and what is checked for all of them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from diff4splat.cameras.cameras import Cameras
from diff4splat.cameras.files.arrays import read_npy, read_npz
from diff4splat.cameras.files.colmap import read_colmap
from diff4splat.cameras.files.matrices import check_lenses
from diff4splat.cameras.files.native import read_json
from diff4splat.cameras.files.request import Axes, Direction, Read, Request
from diff4splat.cameras.files.rows import read_rows

__all__ = ["load_cameras"]

logger = logging.getLogger(__name__)

_READERS: dict[str, Callable[[Path, Request], Read]] = {
    ".json": read_json,
    ".txt": read_rows,
    ".csv": read_rows,
    ".tum": read_rows,
    ".npz": read_npz,
    ".npy": read_npy,
    ".bin": read_colmap,
}
_COLMAP_NAMES = ("cameras.txt", "images.txt")


def load_cameras(
    path: str | Path,
    *,
    height: int | None = None,
    width: int | None = None,
    axes: Axes | None = None,
    direction: Direction | None = None,
    field_of_view_deg: float | None = None,
    distortion: Literal["refuse", "drop"] = "refuse",
    camera: str | None = None,
) -> Cameras:
    """Read a camera path; the format is recognised from the suffix and the content.

    `docs/trajectories.md` lists the formats: ours, keyframes, `transforms.json`, COLMAP, RealEstate10K and
    CameraCtrl, TUM and TartanAir, lists of matrices, lists of places and targets, NeoVerse, Lyra,
    MultiCamVideo, npz. What neither the file nor the caller says is assumed, and logged as information. The
    first camera may stand anywhere; `Cameras.relative_to` makes it the identity.

    Args:
        path: File, or the folder of a COLMAP model or of a project that has one in `sparse/0`.
        height: Image rows wanted; required where the file does not state a size, else the cameras are resized
            to it.
        width: Image columns wanted, likewise.
        axes: Camera axes of a file that does not say: "opencv" (x right, y down, z forward; assumed when
            omitted), "opengl" (y up, z backward) or "ned" (x forward, y right, z down; TartanAir).
        direction: What the matrices of a file that does not say it take to what: "camera_to_world" (assumed
            when omitted) or "world_to_camera".
        field_of_view_deg: Horizontal field of view for a file without a lens, degrees; 60 when omitted.
        distortion: What to do with a lens that is no pinhole: refuse it, or drop the distortion and keep the
            rest. Fisheye lenses are always refused.
        camera: Name of one camera of a file that holds several per frame (MultiCamVideo).

    Returns:
        Validated cameras without batch axes, float32, on the CPU, in the order of the file; those of COLMAP
        sorted by the names of their images.

    Raises:
        ValueError: If the file is not of a known format, is damaged or cannot be opened, states already what
            an argument says, or holds values that are no cameras; the message starts with the path.
        FileNotFoundError: If there is no such file, or no model in the folder.
    """
    path = Path(path)
    request = Request(height, width, axes, direction, field_of_view_deg, distortion, camera)
    try:
        request.check()
        camera_to_world, intrinsics, stored_height, stored_width = _reader(path)(path, request)
        if len(camera_to_world) == 0:
            raise ValueError("file must hold at least one camera, got none.")
        check_lenses(intrinsics, stored_height, stored_width)
        cameras = Cameras(
            torch.tensor(camera_to_world, dtype=torch.float64),
            torch.tensor(intrinsics, dtype=torch.float64),
            stored_height,
            stored_width,
        )
        cameras.validate()
        wanted_height = stored_height if height is None else height
        wanted_width = stored_width if width is None else width
        single = cameras.resize(wanted_height, wanted_width).to(dtype=torch.float32)
        single.validate()  # numbers beyond the range of float32 have become infinite
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:  # such as a folder in its place
        raise ValueError(f"{path}: {error}") from error
    for note in request.notes:
        logger.info("%s: %s", path, note)
    return single


def _reader(path: Path) -> Callable[[Path, Request], Read]:
    if path.is_dir() or path.name in _COLMAP_NAMES:
        return read_colmap
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"suffix must be one of {', '.join(_READERS)}, got {path.suffix!r}.")
    return _READERS[path.suffix.lower()]
