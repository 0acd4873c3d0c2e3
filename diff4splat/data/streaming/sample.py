"""A sample: a recording as the files that lie under its name in a shard of training.

`json` says in words what there is and how it is kept, `npz` holds the numbers, `mp4` (or `00000.jpg` ..., or
`00000.png` ...) the frames. Frames of mp4 and jpg lose a little, depth less than a stated relative error, all
else comes back bit for bit.

| array of `npz` | meaning |
|---|---|
| `C2W`, `intrinsics` | as in `recording_file` |
| `depth_00000`, ... | uint8 [2, height, width]: depth of each frame, see `depth_codes` |
| `dynamic_mask` | uint8 [frame, byte]: `numpy.packbits` of the rows of each frame |
| `track_world` | float [track, frame, 3] |
| `visibility` | uint8 [track, byte]: `numpy.packbits` over frames |
| `track_xy` | float [track, frame, 2] |
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import diff4splat
from diff4splat.cameras import Cameras
from diff4splat.data.npz import NpzFile, write_npz
from diff4splat.data.recording_file import recording_words
from diff4splat.data.recordings import Recording
from diff4splat.data.stages.item import Value
from diff4splat.data.streaming.depth_codes import (
    DEPTH_ERROR,
    depth_from_codes,
    depth_step,
    depth_to_codes,
)
from diff4splat.data.streaming.video_parts import VideoKind, decode_video, encode_video
from diff4splat.data.uids import check_uid, clip_uid

__all__ = ["check_metric", "check_sample", "decode_sample", "encode_sample", "sample_words"]

_FORMAT = "diff4splat sample 1"
_RECORDING_WORDS = ("name", "dataset", "licence", "fps", "unit", "static", "caption", "facts")


def encode_sample(
    recording: Recording,
    uid: str | None = None,
    *,
    scene: str = "",
    video: VideoKind = "mp4",
    depth_error: float = DEPTH_ERROR,
    metrics: Mapping[str, Value] | None = None,
) -> dict[str, bytes]:
    """Files of a recording for a shard; equal recordings give equal bytes, but for those of an mp4.

    Args:
        recording: Any recording; depth must be finite and > 0 where known.
        uid: Its name among all samples: up to 80 letters, digits, "-" and "_"; that of `clip_uid` when
            omitted.
        scene: What it shows, the same for cameras that film one thing; the uid when empty.
        video: How frames are kept.
        depth_error: Largest relative error of depth, in (0, 1).
        metrics: What was measured, by name; numbers that are not finite are kept as null.

    Returns:
        Bytes by end of the file's name.

    Raises:
        ValueError: If the uid, an option, a depth, a metric or a fact is none of what is said here.
    """
    uid = check_uid(clip_uid(recording.dataset, recording.name, recording.numbers) if uid is None else uid)
    if not 0 < depth_error < 1:
        raise ValueError(f"depth_error must be above 0 and below 1, got {depth_error}.")
    parts = encode_video(recording.video, video, fps=recording.fps)
    depth_words, depth_arrays = _coded_depth(recording, depth_error)
    content = io.BytesIO()
    write_npz(content, {**_arrays(recording), **depth_arrays}, compression="deflate")
    words = {
        "format": _FORMAT,
        "uid": uid,
        "scene": scene or uid,
        **recording_words(recording),
        "frames": recording.num_frames,
        "height": recording.height,
        "width": recording.width,
        "holds": [name for name in ("cameras", "depth", "dynamic_mask", "tracks") if _has(recording, name)],
        "video": video,
        "depth": depth_words,
        "tracks": None if recording.tracks is None else len(recording.tracks),
        "metrics": {name: _finite(check_metric(name, value)) for name, value in (metrics or {}).items()},
        "versions": _versions(),
    }
    text = json.dumps(words, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1)
    return {"json": text.encode("utf-8", "surrogatepass"), "npz": content.getvalue(), **parts}


def decode_sample(parts: Mapping[str, bytes], frames: Sequence[int] | None = None) -> Recording:
    """A recording out of the files of a sample.

    Args:
        parts: Bytes by end of the file's name; only those that are needed are asked for.
        frames: Which, counted from 0 and ascending; all when omitted. Tracks that none of them sees are left
            out then, as by `Recording.select`. Depth is decoded for these frames alone, an mp4 from the key
            frame before the first of them to the last.

    Returns:
        The recording; depth in float32, 0 where unknown.

    Raises:
        ValueError: If a part is missing, damaged or of another format, or there is no such frame.
    """
    words = sample_words(parts)
    count, height, width = words["frames"], words["height"], words["width"]
    rows = list(range(count)) if frames is None else [int(frame) for frame in frames]
    ascend = all(before < after for before, after in zip(rows, rows[1:], strict=False))
    if not rows or rows[0] < 0 or rows[-1] >= count or not ascend:
        raise ValueError(
            f"frames must ascend from 0 to {count - 1}, at least one, got {rows[:9]} for {words['uid']}."
        )
    content: dict[str, Any] = {}
    if "npz" not in parts:
        raise ValueError(f"npz of {words['uid']} is missing, there are {', '.join(sorted(parts)[:9])}.")
    with NpzFile(parts["npz"], name=f"npz of {words['uid']}") as file:
        if "cameras" in words["holds"]:
            poses, lenses = (_tensor(file.read(key, rows)) for key in ("C2W", "intrinsics"))
            content["cameras"] = Cameras(poses, lenses, height, width)
        if "depth" in words["holds"]:
            near, step = words["depth"]["near"], words["depth"]["step"]
            coded = [file.read(f"depth_{row:05d}") for row in rows]
            maps = [depth_from_codes(codes, near=near, step=step) for codes in coded]
            content["depth"], content["depth_mask"] = (
                _tensor(np.stack(part)) for part in zip(*maps, strict=True)
            )
        if "dynamic_mask" in words["holds"]:
            bits = np.unpackbits(file.read("dynamic_mask", rows), axis=1, count=height * width)
            content["dynamic_mask"] = _tensor(bits.astype(bool).reshape(-1, height, width))
        if "tracks" in words["holds"]:
            content |= _tracks(file, count, None if frames is None else rows)
    video = decode_video(parts, words["video"], rows, height=height, width=width)
    return Recording(
        **{name: words[name] for name in _RECORDING_WORDS},
        numbers=tuple(words["numbers"][row] for row in rows),
        video=video,
        **content,
    )


def sample_words(parts: Mapping[str, bytes]) -> dict[str, Any]:
    """What the `json` of a sample says.

    Args:
        parts: Bytes by end of the file's name.

    Returns:
        Values by name: what `recording_words` gives, and uid, scene, frames, height, width, holds, video,
        depth (near, step and error), tracks (how many), metrics and versions.

    Raises:
        ValueError: If there is none, or it is of another format.
    """
    if "json" not in parts:
        raise ValueError(f"json is missing, there are {', '.join(sorted(parts)[:9]) or 'no parts'}.")
    try:
        words = json.loads(parts["json"].decode("utf-8", "surrogatepass"))
        known = words["format"] == _FORMAT
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"json is none of a {_FORMAT}: {error!r}.") from error
    if not known:
        raise ValueError(f"json must be of a {_FORMAT}, got {words['format']!r}.")
    return dict(words)


def check_sample(uid: str, parts: Mapping[str, bytes]) -> dict[str, Any]:
    """What a sample says, if it is whole and of that name; nothing but its `json` is read.

    Args:
        uid: Its name.
        parts: Bytes by end of the file's name.

    Returns:
        What `sample_words` gives.

    Raises:
        ValueError: If a part is missing, the json is of another format, or says another name.
    """
    words = sample_words(parts)
    if words.get("uid") != check_uid(uid):
        raise ValueError(f"sample of {uid} says that it is {words.get('uid')}.")
    kind = words.get("video")
    pictures = [f"{index:05d}.{kind}" for index in range(words.get("frames", 0))]
    missing = [end for end in ("npz", *(["mp4"] if kind == "mp4" else pictures)) if end not in parts]
    if missing:
        raise ValueError(f"sample of {uid} lacks {len(missing)} parts, the first of them {missing[0]}.")
    return words


def check_metric(name: str, value: Any) -> Value:
    """What was measured, as a value of Python: numbers of NumPy become such.

    Args:
        name: Of the metric.
        value: Number, text, truth value or None.

    Returns:
        The same.

    Raises:
        ValueError: If it is of another type.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None:
        return None
    for kind in (bool, int, float, str):
        if isinstance(plain, kind):
            return kind(plain)
    raise ValueError(f"metric {name} must be a number, a text, a truth value or None, got {value!r}.")


def _has(recording: Recording, name: str) -> bool:
    return getattr(recording, name) is not None


def _finite(value: Value) -> Value:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _versions() -> dict[str, str]:
    import av

    codecs = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {
        "diff4splat": diff4splat.__version__,
        "av": av.__version__,
        "libavcodec": codecs.get("libavcodec", "unknown"),
        "numpy": np.__version__,
    }


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _array(name: str, value: Tensor) -> np.ndarray:
    if value.dtype == torch.bfloat16:
        raise ValueError(f"{name} must be of a type that numpy has, got bfloat16.")
    return value.detach().cpu().numpy()


def _arrays(recording: Recording) -> dict[str, np.ndarray]:
    """All but frames and depth."""
    arrays: dict[str, np.ndarray] = {}
    if recording.cameras is not None:
        arrays["C2W"] = _array("camera_to_world", recording.cameras.camera_to_world)
        arrays["intrinsics"] = _array("intrinsics", recording.cameras.intrinsics)
    if recording.dynamic_mask is not None:
        arrays["dynamic_mask"] = np.packbits(recording.dynamic_mask.flatten(1).cpu().numpy(), axis=1)
    if recording.tracks is not None and recording.visible is not None:
        arrays["track_world"] = _array("tracks", recording.tracks)
        arrays["visibility"] = np.packbits(recording.visible.cpu().numpy(), axis=1)
        if recording.track_pixels is not None:
            arrays["track_xy"] = _array("track_pixels", recording.track_pixels)
    return arrays


def _coded_depth(recording: Recording, error: float) -> tuple[dict[str, float] | None, dict[str, np.ndarray]]:
    if recording.depth is None or recording.depth_mask is None:
        return None, {}
    depth = _array("depth", recording.depth.float())
    mask = recording.depth_mask.cpu().numpy()
    known = depth[mask]
    if not (np.isfinite(known).all() and (known > 0).all()):
        wrong = int((~(np.isfinite(known) & (known > 0))).sum())
        raise ValueError(f"depth must be finite and > 0 where known, got {wrong} other values.")
    near, far = (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)
    step, bound = depth_step(near, far, error)
    arrays = {
        f"depth_{index:05d}": depth_to_codes(depth[index], mask[index], near=near, step=step)
        for index in range(len(depth))
    }
    return {"near": near, "far": far, "step": step, "error": bound}, arrays


def _tracks(file: NpzFile, count: int, rows: list[int] | None) -> dict[str, Tensor]:
    visible = np.unpackbits(file.read("visibility"), axis=1, count=count).astype(bool)
    found = {"visible": visible, "tracks": file.read("track_world")}
    if "track_xy" in file:
        found["track_pixels"] = file.read("track_xy")
    if rows is not None:
        seen = visible[:, rows].any(1)
        found = {name: values[seen][:, rows] for name, values in found.items()}
    return {name: _tensor(values) for name, values in found.items()}
