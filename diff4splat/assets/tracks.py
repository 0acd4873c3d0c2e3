"""Paths of points through a clip, in space and in pictures, as files in the keys of TAPVid-3D."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.assets.depth_file import npz_bytes
from diff4splat.assets.provenance_text import provenance_text
from diff4splat.cameras import Cameras
from diff4splat.cameras.files.archives import open_npz
from diff4splat.files import atomic_path
from diff4splat.geometry import project, rigid_inverse

__all__ = ["PointTracks", "load_tracks", "save_tracks"]

_NEEDED = ("tracks_world", "visibility", "queries_xyt", "times", "c2w", "K", "height", "width")


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Where points are at the time of every frame of a clip, and in which frames they are seen.

    Args:
        positions: World coordinates, scene units.
        visible: Whether a point is inside the picture of a frame and in front of everything else.
        cameras: One camera per frame, without batch axes.
        times: Time of each frame, in [0, 1].
        query_frame: Frame that the points were chosen in.

    Raises:
        ValueError: If the numbers of frames or points differ, or `query_frame` is none of the frames.
    """

    positions: Float[Tensor, "frame point xyz=3"]
    visible: Bool[Tensor, "seen_frame seen_point"]
    cameras: Cameras
    times: Float[Tensor, " time"]
    query_frame: int = 0

    def __post_init__(self) -> None:
        frames, points = self.positions.shape[:2]
        if tuple(self.visible.shape) != (frames, points):
            got = list(self.visible.shape)
            raise ValueError(f"visible must have shape {[frames, points]}, got {got}.")
        if self.cameras.batch_shape or self.cameras.num_frames != frames or len(self.times) != frames:
            got = [*self.cameras.batch_shape, self.cameras.num_frames]
            raise ValueError(
                f"cameras and times must be one per frame, {frames}, got {got} and {len(self.times)}."
            )
        if not 0 <= self.query_frame < frames:
            raise ValueError(f"query_frame must be from 0 to {frames - 1}, got {self.query_frame}.")

    @property
    def pixels(self) -> Float[Tensor, "frame point xy=2"]:
        """Where the points are in the pictures; also outside of them, and NaN behind the camera."""
        xy, depth = project(self.positions, self.cameras.camera_to_world, self.cameras.intrinsics)
        return torch.where(depth[..., None] > 0, xy, torch.full_like(xy, torch.nan))


def save_tracks(
    tracks: PointTracks,
    path: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write point tracks as a `.npz` that programs for TAPVid-3D read, with more beside.

    | key | shape | |
    |---|---|---|
    | `tracks_XYZ` | frame, point, 3 | in the coordinates of each frame's camera (TAPVid-3D) |
    | `visibility` | frame, point | bool (TAPVid-3D) |
    | `queries_xyt` | point, 3 | pixel x, y in the query frame, and its number (TAPVid-3D) |
    | `fx_fy_cx_cy` | 4 | lens of the query frame, pixels (TAPVid-3D) |
    | `extrinsics_w2c` | frame, 4, 4 | world to camera (TAPVid-3D) |
    | `tracks_world` | frame, point, 3 | world coordinates |
    | `tracks_xy` | frame, point, 2 | pixels; NaN behind the camera |
    | `times` | frame | in [0, 1] |
    | `c2w`, `K`, `height`, `width` | frame, ... | the cameras, as `load_cameras` reads them |
    | `provenance` | | JSON text |

    Camera axes are OpenCV's in both; lengths are scene units, metres where the scene is metric. The pictures
    themselves (`images_jpeg_bytes` there) are not in it. The file is written whole or not at all.

    Args:
        tracks: At least one point.
        path: File to write; must end in `.npz`.
        provenance: JSON values (model, seed, prompt, licence).

    Raises:
        ValueError: If the suffix is another, there are no points, a position is not finite, a camera is
            invalid, or provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"path must end in .npz, got {path}.")
    if 0 in tracks.positions.shape:
        raise ValueError(f"tracks must have points, got shape {list(tracks.positions.shape)}.")
    if not bool(torch.isfinite(tracks.positions).all()):
        raise ValueError("positions must be finite, got NaN or infinity.")
    tracks.cameras.validate()
    positions = tracks.positions.detach().cpu().double()
    cameras = tracks.cameras.to("cpu", torch.float64)
    world_to_camera = rigid_inverse(cameras.camera_to_world)
    local = positions @ world_to_camera[:, :3, :3].mT + world_to_camera[:, None, :3, 3]
    pixels = PointTracks(positions, tracks.visible.cpu(), cameras, tracks.times.cpu()).pixels
    query = torch.full((positions.shape[1], 1), float(tracks.query_frame), dtype=torch.float64)
    lens = cameras.intrinsics[tracks.query_frame]
    arrays = {
        "tracks_XYZ": local.float(),
        "visibility": tracks.visible.cpu(),
        "queries_xyt": torch.cat((pixels[tracks.query_frame], query), dim=-1).float(),
        "fx_fy_cx_cy": torch.stack((lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2])).float(),
        "extrinsics_w2c": world_to_camera,
        "tracks_world": positions.float(),
        "tracks_xy": pixels.float(),
        "times": tracks.times.detach().cpu().double(),
        "c2w": cameras.camera_to_world,
        "K": cameras.intrinsics,
    }
    content = npz_bytes(
        **{name: values.detach().numpy() for name, values in arrays.items()},
        height=np.array(cameras.height),
        width=np.array(cameras.width),
        provenance=np.array(provenance_text(provenance or {})),
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_tracks(path: str | os.PathLike[str]) -> PointTracks:
    """Read point tracks that `save_tracks` wrote.

    Args:
        path: The `.npz`.

    Returns:
        Tracks on the CPU, whose positions, cameras and times are float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is something else, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        arrays = open_npz(path, _NEEDED)
        frames, points = arrays["visibility"].shape
        queries = arrays["queries_xyt"].reshape(points, 3)
        tracks = PointTracks(
            torch.from_numpy(arrays["tracks_world"].reshape(frames, points, 3).astype(np.float32)),
            torch.from_numpy(arrays["visibility"].astype(bool)),
            Cameras(
                torch.from_numpy(arrays["c2w"].reshape(frames, 4, 4).astype(np.float32)),
                torch.from_numpy(arrays["K"].reshape(frames, 3, 3).astype(np.float32)),
                height=int(arrays["height"]),
                width=int(arrays["width"]),
            ),
            torch.from_numpy(arrays["times"].reshape(frames).astype(np.float32)),
            query_frame=int(queries[0, 2]) if points else 0,
        )
        tracks.cameras.validate()
    except (ValueError, OSError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} holds no point tracks: {error}") from None
    return tracks
