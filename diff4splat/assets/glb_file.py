"""The container of a `.glb`: what the file holds as JSON, then all arrays in one buffer."""

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from diff4splat.assets.provenance_text import provenance_text
from diff4splat.files import atomic_path

__all__ = ["linear_light", "write_glb"]

_FLOAT, _UNSIGNED_INT = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LARGEST_FILE = 2**32 - 1  # bytes that the header can count


def write_glb(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    content: Mapping[str, Any],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write arrays and what they are for, whole or not at all.

    Each array becomes one accessor with a view of its own, in their order. Values are 32 bits wide
    throughout: not every program reads colours of 16 bits.

    Args:
        path: File to write.
        arrays: 32-bit floats of shape `[item]` or `[item, component]`, or indices of vertices, which are
            unsigned, by name; that of positions is "POSITION".
        content: The rest of the JSON: scenes, nodes, meshes, which name accessors by their number.
        provenance: JSON values, kept in `asset.extras`.

    Raises:
        ValueError: If the arrays do not fit into a file of 4 GiB, or provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    from diff4splat import __version__

    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    size = 0
    for name, array in arrays.items():
        indices = array.dtype == np.dtype("<u4")
        target = _ELEMENT_ARRAY_BUFFER if indices else _ARRAY_BUFFER
        accessor = {
            "bufferView": len(views),
            "componentType": _UNSIGNED_INT if indices else _FLOAT,
            "count": len(array),
            "type": "SCALAR" if array.ndim == 1 else f"VEC{array.shape[1]}",
        }
        if name == "POSITION":
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        views.append({"buffer": 0, "byteOffset": size, "byteLength": array.nbytes, "target": target})
        accessors.append(accessor)
        size += array.nbytes
    described = {
        "asset": {
            "version": "2.0",
            "generator": f"diff4splat {__version__}",
            "extras": {"provenance": json.loads(provenance_text(provenance or {}))},
        },
        **content,
        "buffers": [{"byteLength": size}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(described, separators=(",", ":"), allow_nan=False).encode("ascii")
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + size
    if length > _LARGEST_FILE:
        raise ValueError(f"a .glb must fit into 4 GiB, got {length} bytes for {path}.")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, length))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", size, b"BIN\0"))
        for array in arrays.values():
            array.tofile(file)


def linear_light(srgb: np.ndarray) -> np.ndarray:
    """Decode sRGB, as glTF wants the colours of vertices.

    Args:
        srgb: Colours in [0, 1].

    Returns:
        Linear light, in [0, 1].
    """
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
