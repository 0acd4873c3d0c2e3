"""DynamicReplica: people and animals in scanned rooms, in stereo, with depth, masks and tracks.

Cameras are PyTorch3D's: row vectors, x left and y up, world to camera, lenses in normalised device
coordinates. Depth is along the view axis, in metres: a PNG of 16 bits that are those of a float16.
"""

import gzip
import json
import pickle
import re
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.readers.layout import folders_where
from diff4splat.data.readers.maps import read_maps, read_mask
from diff4splat.data.readers.matrices import cameras_from_world_to_camera
from diff4splat.data.readers.pictures import picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["DynamicReplica"]

_FPS = 30.0
_FOLDER = re.compile(r"(.+)_source_(left|right)")
_ANNOTATIONS = "frame_annotations_*.jgz"


class _Frame(NamedTuple):
    """What is kept of a frame's entry: the rest of 290,000 of them would fill the memory."""

    number: int
    image: str
    depth: str | None
    mask: str | None
    tracks: str | None
    height: int
    width: int
    viewpoint: np.ndarray  # rotation (9), translation (3), focal length (2), principal point (2)
    is_isotropic: bool


class DynamicReplica(DatasetReader):
    """DynamicReplica: `<split>/<sequence>_source_<left|right>` and `frame_annotations_<split>.jgz`.

    The left and the right camera are a recording each, with cameras of their own; only the left one has
    tracks. Files are those that the annotations name; what else lies beside them is passed over. The
    annotations of a split are read once per reader, and kept. Depth has float16's precision, 11 bits (4 mm at
    5 m), cameras and tracks float32's. `dynamic_mask` is the foreground, people and animals, whether they
    move in that frame or rest. A point is visible where the file says so and it lies in the image; points
    that are not seen in any frame that is read are left out. Tracks are loaded as tensors only: a file that
    would run code is refused. The split `real` has neither depth nor these names, and is not read. Its
    authors' own program leaves out the sequences 8369cb-7_obj and a7b915-7_obj, and does not say why.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "dynamicreplica"
    title = "DynamicReplica"
    licence = "see the dataset's page"

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._entries: dict[Path, dict[tuple[str, str], list[_Frame]]] = {}

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders `<sequence>_source_<left|right>` with `images`."""
        folder = folder.absolute()  # the name of the folder itself counts
        found = folders_where(
            folder, lambda place, names: "images" in names and _FOLDER.fullmatch(place.name) is not None
        )
        return sorted(place.relative_to(folder).as_posix() for place in found)

    def scene_of(self, name: str) -> str:
        """The sequence, which is the same for both cameras."""
        folder, slash, _ = name.rpartition("/")
        return f"{folder}{slash}{self._key(name)[0]}"

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth, masks and tracks where every frame has them."""
        frames = self._frames(name)
        place = self._place(name).parent
        self._kind(place, [frame.image for frame in frames], must=True)
        kinds = {"depth": "depth", "mask": "dynamic_mask", "tracks": "tracks"}
        holds = {kinds[key] for key in kinds if self._kind(place, [getattr(frame, key) for frame in frames])}
        first = frames[0]
        return RecordingInfo(
            name, len(frames), first.height, first.width, _FPS, frozenset(holds | {"cameras"}), "metre"
        )

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras, depth, foreground and tracks."""
        wanted = self.pick(name, frames)
        holds = self.info(name).holds
        picked = [self._frames(name)[index] for index in wanted]
        place = self._place(name).parent
        images = [_inside(place, frame.image) for frame in picked]
        height, width = size = (picked[0].height, picked[0].width)
        if picture_size(images[0]) != size:
            rows, columns = picture_size(images[0])
            raise ValueError(
                f"{images[0]} must have the size in the annotations, {width} x {height}, got "
                f"{columns} x {rows}."
            )
        video = read_pictures(images)
        depth = mask = moving = tracks = visible = pixels = None
        if "depth" in holds:
            stored = read_maps([_inside(place, frame.depth) for frame in picked], "grey16", size)
            depth = torch.from_numpy(stored.view(np.float16)).float()
            mask = (depth > 0) & (depth < torch.inf)  # neither holds for nan
        if "dynamic_mask" in holds:
            masks = [read_mask(_inside(place, frame.mask), size) for frame in picked]
            moving = torch.from_numpy(np.stack(masks))
        if "tracks" in holds:
            tracks, visible, pixels = _tracks([_inside(place, frame.tracks) for frame in picked], size)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=_cameras(self._annotations(name), picked),
            depth=depth,
            depth_mask=mask,
            dynamic_mask=moving,
            tracks=tracks,
            visible=visible,
            track_pixels=pixels,
            numbers=tuple(frame.number for frame in picked),
            fps=_FPS,
            unit="metre",
            facts={} if moving is None else {"dynamic_mask": "foreground, moving or not"},
        )

    def _sources(self, name: str) -> list[Path]:
        return [self._place(name), self._annotations(name)]

    def _place(self, name: str) -> Path:
        return self.folder.absolute() / name

    def _annotations(self, name: str) -> Path:
        """The file of annotations: beside the sequences, or one folder above."""
        place = self._place(name).parent
        split = [
            place / f"frame_annotations_{place.name}.jgz",
            place.parent / f"frame_annotations_{place.name}.jgz",
        ]
        found = [file for file in split if file.is_file()] or sorted(place.glob(_ANNOTATIONS))
        if not found:
            raise FileNotFoundError(
                f"no such file: {place / _ANNOTATIONS}, which holds the cameras of {name}"
            )
        for file in found:
            if len(found) == 1 or self._key(name) in self._load(file):
                return file
        raise ValueError(f"{found[0]} must hold frames of {'_source_'.join(self._key(name))}, got none.")

    def _key(self, name: str) -> tuple[str, str]:
        """Sequence and camera."""
        match = _FOLDER.fullmatch(self._place(name).name)
        if match is None:
            raise ValueError(f"name must end with <sequence>_source_<left|right>, got {name!r}.")
        return match[1], match[2]

    def _frames(self, name: str) -> list[_Frame]:
        """Entries of a recording, by number."""
        file = self._annotations(name)
        frames = self._load(file).get(self._key(name), [])
        if not frames:
            raise ValueError(f"{file} must hold frames of {'_source_'.join(self._key(name))}, got none.")
        numbers = [frame.number for frame in frames]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise ValueError(
                f"{file} must hold every frame of {'_source_'.join(self._key(name))} once, got numbers from "
                f"{numbers[0]} to {numbers[-1]} in {len(numbers)} entries."
            )
        return frames

    def _load(self, file: Path) -> dict[tuple[str, str], list[_Frame]]:
        """Frames of a file by sequence and camera; left and right ones take turns in it."""
        if file not in self._entries:
            found: dict[tuple[str, str], list[_Frame]] = {}

            def keep(node: dict[str, Any]) -> Any:
                if "sequence_name" not in node:
                    return node
                found.setdefault((node["sequence_name"], node["camera_name"]), []).append(_frame(node))
                return None

            try:
                with gzip.open(file, "rt", encoding="utf-8") as text:
                    json.load(text, object_hook=keep)
            except FileNotFoundError:
                raise
            except KeyError as error:
                raise ValueError(f"{file} must hold {error} in every entry, got one without it.") from error
            except (OSError, EOFError, zlib.error, ValueError, TypeError, IndexError) as error:
                raise ValueError(f"{file} is not a readable list of frames: {error}") from error
            self._entries[file] = {
                key: sorted(frames, key=lambda frame: frame.number) for key, frames in found.items()
            }
        return self._entries[file]

    def _kind(self, place: Path, names: list[str | None], must: bool = False) -> bool:
        """Whether files are there, all of them; some without the others are refused."""
        files = [_inside(place, name) if name is not None else None for name in names]
        missing = [file for file in files if file is None or not file.is_file()]
        if missing and (must or len(missing) < len(files)):
            first = next((file for file in missing if file is not None), None)
            raise ValueError(
                f"{first or place} must be there, as a file of that kind for every frame of a recording: "
                f"{len(missing)} of {len(files)} are missing."
            )
        return not missing


def _frame(node: dict[str, Any]) -> _Frame:
    view = node["viewpoint"]
    kind = str(view.get("intrinsics_format") or "ndc_norm_image_bounds").lower()
    if kind not in ("ndc_isotropic", "ndc_norm_image_bounds"):
        raise ValueError(f"intrinsics_format must be ndc_isotropic or ndc_norm_image_bounds, got {kind!r}")
    numbers = [*np.ravel(view["R"]), *view["T"], *view["focal_length"], *view["principal_point"]]
    viewpoint = np.array(numbers, dtype=np.float64)
    if viewpoint.shape != (16,):
        raise ValueError(f"a viewpoint must have 16 numbers, got {viewpoint.size}")
    depth, mask, tracks = ((node.get(key) or {}).get("path") for key in ("depth", "mask", "trajectories"))
    height, width = (int(side) for side in node["image"]["size"])
    number, image = int(node["frame_number"]), str(node["image"]["path"])
    return _Frame(number, image, depth, mask, tracks, height, width, viewpoint, kind == "ndc_isotropic")


def _inside(place: Path, name: str | None) -> Path:
    """A file that the annotations name, which must lie in the folder of the split."""
    path = PurePosixPath(name or "")
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"paths in the annotations must lie in {place}, got {name!r}.")
    return place / path


def _cameras(file: Path, frames: list[_Frame]) -> Cameras:
    """Cameras of entries: axes turned from left and up to right and down, lenses brought to pixels."""
    height, width = frames[0].height, frames[0].width
    if any((frame.height, frame.width) != (height, width) for frame in frames):
        raise ValueError(f"{file} must say one size for all frames of a recording, got several.")
    half = np.array([width, height]) / 2
    matrices = np.tile(np.eye(4), (len(frames), 1, 1))
    intrinsics = np.tile(np.eye(3), (len(frames), 1, 1))
    for row, frame in enumerate(frames):
        scale = half.min() if frame.is_isotropic else half
        # X_camera = X_world R + T for rows: the transpose is the usual matrix
        matrices[row, :3, :3] = np.diag([-1, -1, 1]) @ frame.viewpoint[:9].reshape(3, 3).T
        matrices[row, :3, 3] = frame.viewpoint[9:12] * [-1, -1, 1]
        intrinsics[row, [0, 1], [0, 1]] = frame.viewpoint[12:14] * scale
        intrinsics[row, :2, 2] = half - frame.viewpoint[14:] * scale
    return cameras_from_world_to_camera(file, matrices, intrinsics, height=height, width=width)


def _tracks(files: list[Path], size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Places, visibility and pixels of the points that are visible in some frame, a row each."""
    loaded = [_points(file) for file in files]
    for file, (points, _, _) in zip(files, loaded, strict=True):
        if len(points) != len(loaded[0][0]):
            raise ValueError(
                f"{file} must hold {len(loaded[0][0])} points, as {files[0].name} does, got {len(points)}."
            )
    tracks, visible, pixels = (torch.stack(values, dim=1) for values in zip(*loaded, strict=True))
    finite = torch.isfinite(tracks).all(-1) & torch.isfinite(pixels).all(-1)
    inside = ((pixels >= 0) & (pixels < torch.tensor([size[1], size[0]]))).all(-1)
    visible = visible & finite & inside
    kept = visible.any(1)
    tracks, pixels = (torch.where(torch.isfinite(values), values, 0) for values in (tracks, pixels))
    return tracks[kept], visible[kept], pixels[kept]


def _points(file: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Places, visibility and pixels of a frame's points."""
    try:
        data = torch.load(file, map_location="cpu", weights_only=True)
        points, visible, pixels = (data[key] for key in ("traj_3d_world", "verts_inds_vis", "traj_2d"))
        places, seen, flat = points.float(), visible.bool(), pixels[:, :2].float()
    except FileNotFoundError:
        raise
    except KeyError as error:
        raise ValueError(f"{file} must hold {error}, got none.") from error
    except pickle.UnpicklingError as error:
        raise ValueError(f"{file} must hold tensors and nothing else, or is damaged: not loaded.") from error
    except (OSError, EOFError, RuntimeError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"{file} is not a readable file of tracks: {error}") from error
    count = len(places)
    if places.shape != (count, 3) or seen.shape != (count,) or flat.shape != (count, 2):
        raise ValueError(
            f"{file} must hold tracks of [point, 3], [point] and [point, 2 or 3], got "
            f"{list(places.shape)}, {list(seen.shape)} and {list(pixels.shape)}."
        )
    return places, seen, flat
