"""A recording in one NPZ file: everything of it, bit for bit, under the names that the field's files use.

| key | shape | meaning |
|---|---|---|
| `images` | frame 3 height width | sRGB, uint8; a float in 0 to 1 is read, too |
| `timestep` | frame | time of each frame, 0 at the first and 1 at the last |
| `C2W` | frame 4 4 | camera to world, OpenCV axes |
| `fxfycxcy` | frame 4 | lens: x over width, y over height |
| `intrinsics` | frame 3 3 | lens in pixels; read instead of `fxfycxcy` where it is there |
| `depth`, `depth_mask` | frame height width | z-depth in scene units, and where it is known |
| `dynamic_mask` | frame height width | what moves by itself |
| `track_world`, `visibility` | frame track (3) | followed points, and whether they are seen |
| `track_xy` | frame track 2 | the same in pixels; integers number pixels, whose centres are at +0.5 |
| `recording` | byte | JSON: name, dataset, licence, numbers, fps, unit, static, caption, facts |

Files of others lack the last one. In them, `image`, `pose` and `extrinsics` (camera to world) are understood,
one lens may stand for all frames, and tracks none of which is ever seen count as no tracks.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.cameras.files.matrices import square
from diff4splat.data.npz import Compression, NpzFile, write_npz
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.files import atomic_path

__all__ = ["load_recording", "load_recording_info", "recording_words", "save_recording"]

_FORMAT = "diff4splat recording 1"
_IMAGES = ("images", "image")
_POSES = ("C2W", "pose", "extrinsics")
_MAPS = ("depth", "depth_mask", "dynamic_mask")
_TRACKS = {"tracks": "track_world", "visible": "visibility", "track_pixels": "track_xy"}


def save_recording(
    recording: Recording,
    path: str | os.PathLike[str],
    *,
    images: Literal["uint8", "float32"] = "uint8",
    compression: Compression = "none",
) -> None:
    """Write a recording to an NPZ file, whole or not at all; `load_recording` gives back the same bits.

    Equal recordings give equal bytes. Facts come back as JSON has them: tuples as lists.

    Args:
        recording: Any recording.
        path: File to write; its folder must exist.
        images: Type of the pixels; float32 in 0 to 1 is four times as large, and what the original reads.
        compression: "deflate" is smaller and slower, and then all frames are read to have one.

    Raises:
        ValueError: If facts are not JSON, a tensor is of a type that numpy lacks, or an option is another.
        FileNotFoundError: If the folder does not exist.
        OSError: If the file cannot be written.
    """
    if images not in ("uint8", "float32"):
        raise ValueError(f'images must be "uint8" or "float32", got {images!r}.')
    arrays = _arrays(recording)
    if images == "float32":
        arrays["images"] = arrays["images"].astype(np.float32) / np.float32(255)
    with atomic_path(path) as temporary:
        write_npz(temporary, arrays, compression=compression)


def load_recording(path: str | os.PathLike[str], frames: Sequence[int] | None = None) -> Recording:
    """Read a recording from an NPZ file, of this library or of the original release.

    Where the file does not say, the name is that of the file, the dataset "npz", the licence "unknown", depth
    is known where it is finite and above 0, and `timestep` is kept in the facts. Nothing is unpickled.

    Args:
        path: The file.
        frames: Which, counted from 0 and ascending; all when omitted. Tracks that none of them sees are left
            out then, as by `Recording.select`.

    Returns:
        The recording; its numbers are not checked beyond shapes, see `Recording.validate`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, lacks images, holds shapes that do not agree, or has no such frame.
    """
    with NpzFile(path) as file:
        words = _words(file)
        key, shape = _images(file)
        rows = None if frames is None else _checked(file, frames, shape[0])
        video = _video(file, key, rows)
        content: dict[str, Any] = {"cameras": _cameras(file, shape, rows, exact=words is not None)}
        for name in _MAPS:
            if name in file:
                content[name] = torch.from_numpy(_read(file, name, rows, (shape[0], *shape[2:])))
        content |= _tracks(file, shape[0], rows, exact=words is not None)
        if words is None:
            content = _as_ours(content)
            words = {"name": Path(path).stem, "dataset": "npz", "licence": "unknown"}
            if "timestep" in file:
                times = _read(file, "timestep", None, (shape[0],)).astype(np.float64)
                words["facts"] = {"timestep": times.tolist()}
    if rows is not None:
        words["numbers"] = [words["numbers"][row] for row in rows] if "numbers" in words else rows
    try:
        return Recording(
            **{**words, "numbers": tuple(words.get("numbers", ()))},
            video=video,
            **content,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} holds no recording: {error}") from error


def load_recording_info(path: str | os.PathLike[str]) -> RecordingInfo:
    """What the NPZ file of a recording holds, without its frames.

    Args:
        path: The file.

    Returns:
        Numbers and kinds; the name is that of the recording, or of the file where it does not say.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or lacks images.
    """
    with NpzFile(path) as file:
        words = _words(file) or {}
        shape = _images(file)[1]
        holds = {name for name in ("depth", "dynamic_mask") if name in file}
        if any(key in file for key in _POSES):
            holds.add("cameras")
        if "track_world" in file and (words or ("visibility" in file and file.read("visibility").any())):
            holds.add("tracks")
    return RecordingInfo(
        words.get("name", Path(path).stem),
        num_frames=shape[0],
        height=shape[2],
        width=shape[3],
        fps=words.get("fps"),
        holds=frozenset(holds),
        unit=words.get("unit", "unknown"),
    )


def recording_words(recording: Recording) -> dict[str, Any]:
    """What a recording holds beside tensors, as values that JSON knows.

    Args:
        recording: Any recording.

    Returns:
        Name, dataset, licence, numbers, fps, unit, static, caption and facts.

    Raises:
        ValueError: If the facts or the rate are no JSON: of another type, NaN or infinite.
    """
    names = ("name", "dataset", "licence", "numbers", "fps", "unit", "static", "caption", "facts")
    words = {name: getattr(recording, name) for name in names}
    words["numbers"], words["facts"] = list(recording.numbers), _plain(recording.facts)
    try:
        return dict(json.loads(json.dumps(words, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"facts and fps of {recording.name} must be JSON values: {error}.") from error


def _plain(facts: Any) -> Any:
    """Mappings as dictionaries."""
    if isinstance(facts, Mapping):
        return {key: _plain(value) for key, value in facts.items()}
    return [_plain(value) for value in facts] if isinstance(facts, (list, tuple)) else facts


def _arrays(recording: Recording) -> dict[str, np.ndarray]:
    words = {"format": _FORMAT, **recording_words(recording)}
    text = json.dumps(words, ensure_ascii=False, allow_nan=False, sort_keys=True)
    numbers = np.asarray(recording.numbers, np.float64)
    span = (numbers[-1] - numbers[0]) or 1.0
    arrays = {
        "recording": np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8),
        "images": _array("video", recording.video),
        "timestep": ((numbers - numbers[0]) / span).astype(np.float32),
    }
    if recording.cameras is not None:
        lenses = _array("intrinsics", recording.cameras.intrinsics)
        size = np.array([recording.width, recording.height] * 2, np.float64)
        arrays["C2W"] = _array("camera_to_world", recording.cameras.camera_to_world)
        arrays["fxfycxcy"] = (lenses[:, [0, 1, 0, 1], [0, 1, 2, 2]] / size).astype(np.float32)
        arrays["intrinsics"] = lenses
    for name in _MAPS:
        if (value := getattr(recording, name)) is not None:
            arrays[name] = _array(name, value)
    for name, key in _TRACKS.items():
        if (value := getattr(recording, name)) is not None:
            arrays[key] = _array(name, value).swapaxes(0, 1)
    return arrays


def _array(name: str, value: Tensor) -> np.ndarray:
    if value.dtype == torch.bfloat16:
        raise ValueError(f"{name} must be of a type that numpy has, got bfloat16.")
    return value.detach().cpu().numpy()


def _words(file: NpzFile) -> dict[str, Any] | None:
    """What a file of this library says in words; None in other files."""
    if "recording" not in file:
        return None
    try:
        words = json.loads(file.read("recording").tobytes().decode("utf-8", "surrogatepass"))
        if words.pop("format") != _FORMAT:
            raise ValueError(f"its format is another one than {_FORMAT}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    return dict(words)


def _images(file: NpzFile) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the frames."""
    key = next((key for key in _IMAGES if key in file), None)
    if key is None:
        raise ValueError(f"{file.name} must hold images, got {', '.join(file.keys) or 'nothing'}.")
    shape = file.shape(key)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise ValueError(f"{file.name} must hold {key} of [frame, 3, height, width], got {list(shape)}.")
    return key, shape


def _checked(file: NpzFile, frames: Sequence[int], count: int) -> list[int]:
    rows = [int(frame) for frame in frames]
    if not rows or min(rows) < 0 or max(rows) >= count:
        raise ValueError(
            f"frames must be from 0 to {count - 1} and at least one, got {rows[:9]} for {file.name}."
        )
    if any(after <= before for before, after in zip(rows, rows[1:], strict=False)):
        raise ValueError(f"frames must ascend, got {rows[:9]} for {file.name}.")
    return rows


def _read(file: NpzFile, key: str, rows: list[int] | None, shape: tuple[int | None, ...]) -> np.ndarray:
    """Rows of an array of a known shape; None stands for any size."""
    found = file.shape(key)
    fits = [wanted in (None, size) for wanted, size in zip(shape, found, strict=False)]
    if len(found) != len(shape) or not all(fits):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{file.name} must hold {key} of [{wanted}], got {list(found)}.")
    return file.read(key, rows)


def _video(file: NpzFile, key: str, rows: list[int] | None) -> Tensor:
    pixels = file.read(key, rows)
    if pixels.dtype == np.uint8:
        return torch.from_numpy(pixels)
    if pixels.dtype.kind != "f":
        raise ValueError(f"{file.name} must hold {key} of uint8 or a float, got {pixels.dtype}.")
    if not (pixels.min() >= -1e-3 and pixels.max() <= 1 + 1e-3):  # NaN is refused, too
        raise ValueError(
            f"{file.name} must hold {key} from 0 to 1, got {pixels.min():.4g} to {pixels.max():.4g}."
        )
    return torch.from_numpy((pixels.astype(np.float32) * 255).round().clip(0, 255).astype(np.uint8))


def _cameras(file: NpzFile, shape: tuple[int, ...], rows: list[int] | None, *, exact: bool) -> Cameras | None:
    count, _, height, width = shape
    key = next((key for key in _POSES if key in file), None)
    if key is None:
        return None
    poses = _read(file, key, rows, (count, 3 if file.shape(key)[1:2] == (3,) else 4, 4))
    lens = next((key for key in ("intrinsics", "fxfycxcy") if key in file), None)
    if lens is None:
        raise ValueError(f"{file.name} must hold fxfycxcy or intrinsics with {key}, got neither.")
    ends = (3, 3) if lens == "intrinsics" else (4,)
    if file.shape(lens) == ends:
        lenses = np.broadcast_to(_read(file, lens, None, ends), (len(poses), *ends))
    else:
        lenses = _read(file, lens, rows, (count, *ends))
    if lens == "fxfycxcy":
        size = [width, height, width, height]
        focal_x, focal_y, center_x, center_y = (lenses.astype(np.float64) * size).T
        lenses = np.zeros((len(poses), 3, 3))
        lenses[:, 0, 0], lenses[:, 1, 1], lenses[:, 2, 2] = focal_x, focal_y, 1
        lenses[:, 0, 2], lenses[:, 1, 2] = center_x, center_y
    if not exact:
        poses, lenses = square(poses).astype(np.float32), lenses.astype(np.float32)
    return Cameras(torch.from_numpy(poses), torch.from_numpy(np.ascontiguousarray(lenses)), height, width)


def _tracks(file: NpzFile, count: int, rows: list[int] | None, *, exact: bool) -> dict[str, Tensor]:
    """Tracks, frame after track; those that the wanted frames do not see are left out."""
    if "track_world" not in file:
        return {}
    found = {}
    for name, key in _TRACKS.items():
        ends = {"tracks": (3,), "visible": (), "track_pixels": (2,)}[name]
        if key in file:
            found[name] = np.ascontiguousarray(_read(file, key, rows, (count, None, *ends)).swapaxes(0, 1))
    if "visible" in found:
        found["visible"] = found["visible"].astype(bool)
        seen = found["visible"].any(1)
        if not exact and not seen.any():
            return {}
        if rows is not None:
            found = {name: values[seen] for name, values in found.items()}
    return {name: torch.from_numpy(values) for name, values in found.items()}


def _as_ours(content: dict[str, Any]) -> dict[str, Any]:
    """What files of others leave out, and in the types of this library."""
    content = dict(content)
    for name in ("depth", "tracks"):
        if name in content:
            content[name] = content[name].float()
    if "track_pixels" in content:
        pixels = content["track_pixels"]
        content["track_pixels"] = pixels if pixels.is_floating_point() else pixels.float() + 0.5
    for name in ("depth_mask", "dynamic_mask"):
        if name in content:
            content[name] = content[name].bool()
    if "depth" in content and "depth_mask" not in content:
        content["depth_mask"] = content["depth"].isfinite() & (content["depth"] > 0)
    return content
