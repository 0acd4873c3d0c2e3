"""Our own JSON, and telling apart what else a JSON file of cameras may be."""

import json
from pathlib import Path
from typing import Any

from diff4splat.cameras.files.arrays import read_matrices
from diff4splat.cameras.files.keys import KEYFRAMES_NAME, read_keyframes, read_look_at
from diff4splat.cameras.files.matrices import check_rigid, numbers
from diff4splat.cameras.files.multicam import is_multicam, read_multicam
from diff4splat.cameras.files.neoverse import is_neoverse, read_neoverse
from diff4splat.cameras.files.nerf import read_transforms
from diff4splat.cameras.files.request import Read, Request, stored_size

__all__ = ["read_json", "write_json"]

_NAME, _VERSION = "diff4splat-cameras", 1


def read_json(path: Path, request: Request) -> Read:
    """Cameras of any JSON that is known, by its keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # JSONDecodeError is a ValueError
    except RecursionError:
        raise ValueError("file must hold a JSON object, got one nested too deeply.") from None
    if isinstance(content, list) and content:
        if isinstance(content[0], dict):
            return read_look_at(content, request)
        return read_matrices(content, request)
    if not isinstance(content, dict):
        raise ValueError(f"file must hold a JSON object or a list, got {type(content).__name__}.")
    if content.get("format") == KEYFRAMES_NAME:
        return read_keyframes(content, request)
    if "frames" in content:
        return read_transforms(content, request)
    if is_neoverse(content):
        return read_neoverse(content, path.parent, request)
    if is_multicam(content):
        return read_multicam(content, request)
    if content.get("format") != _NAME:
        raise ValueError(
            f"JSON must be {_NAME}, {KEYFRAMES_NAME}, a transforms.json with frames, a NeoVerse trajectory, "
            f"or a list of matrices or of positions and targets, got keys {sorted(content)[:8]}."
        )
    return _read_ours(content, request)


def _read_ours(content: dict[str, Any], request: Request) -> Read:
    request.refuse_stated(_NAME, "axes", "direction", "field_of_view_deg")
    if content.get("version") != _VERSION or content.get("axes") != "opencv":
        raise ValueError(
            f"version must be {_VERSION} and axes opencv, "
            f"got {content.get('version')!r} and {content.get('axes')!r}."
        )
    camera_to_world = numbers("camera_to_world", content.get("camera_to_world"), (4, 4))
    check_rigid("camera_to_world", camera_to_world)
    intrinsics = numbers("intrinsics", content.get("intrinsics"), (3, 3))
    return Read(camera_to_world, intrinsics, stored_size("height", content), stored_size("width", content))


def write_json(cameras: Read) -> bytes:
    """Ours: every bit is kept."""
    content = {
        "format": _NAME,
        "version": _VERSION,
        "axes": "opencv",
        "height": cameras.height,
        "width": cameras.width,
        "camera_to_world": cameras.camera_to_world.tolist(),
        "intrinsics": cameras.intrinsics.tolist(),
    }
    return (json.dumps(content) + "\n").encode()
