"""Gaussians as binary glTF with the extension `KHR_gaussian_splatting`.

The file holds one moment: the extension has no place for motion. glTF is y-up, so the scene is turned by half
a turn about z, which takes (x, y, z) to (-x, -y, z), together with its quaternions and harmonics. Quaternions
are xyzw there, scales linear, opacities probabilities, harmonics one attribute per coefficient.
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from diff4splat.assets.ply import check_single
from diff4splat.files import atomic_path
from diff4splat.gaussians import Gaussians, harmonics_to_rgb

__all__ = ["save_glb"]

EXTENSION = "KHR_gaussian_splatting"
FLOAT, UNSIGNED_SHORT, ARRAY_BUFFER, POINTS = 5126, 5123, 34962, 0
LARGEST_FILE = 2**32 - 1  # bytes that the header of a .glb can count
LARGEST_DEGREE = 3


def save_glb(
    gaussians: Gaussians,
    path: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write Gaussians as a `.glb` file with `KHR_gaussian_splatting`.

    All values are kept, as 32-bit floats. Programs without the extension show the centres as coloured points.
    The file is written whole or not at all.

    Args:
        gaussians: One set without batch axes, with harmonics of degree 0 to 3; of a field, take
            `field.at(time)`.
        path: File to write, by habit ending in `.glb`.
        provenance: JSON values (model, seed, prompt, licence), kept in `asset.extras`.

    Raises:
        ValueError: If the Gaussians have batch axes, invalid values or harmonics of degree 4, are too many
            for a file of 4 GiB, or provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    check_single(gaussians)
    if gaussians.sh_degree > LARGEST_DEGREE:
        raise ValueError(
            f"gaussians must have harmonics of degree 0 to 3 in glTF, got {gaussians.sh_degree}."
        )
    attributes = _attributes(half_turn_about_z(gaussians.detach().to("cpu", torch.float32)))
    size = sum(array.nbytes for array in attributes.values())
    if size + 2**20 > LARGEST_FILE:
        raise ValueError(f"gaussians must fit into a file of 4 GiB, got {gaussians.num_gaussians} of them.")
    text = _described(attributes, provenance or {})
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + size)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header + struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", size, b"BIN\0"))
        for array in attributes.values():
            array.tofile(file)


def half_turn_about_z(gaussians: Gaussians) -> Gaussians:
    r"""Gaussians turned by 180 degrees about z, from y-down to y-up axes or back, without rounding.

    $$\mu \to (-\mu_x, -\mu_y, \mu_z), \qquad q \to k \otimes q, \qquad c_{l m} \to (-1)^m c_{l m}$$

    with $k$ the unit quaternion of z. Harmonics only change sign, since those of order $m$ turn by $m \pi$.

    Args:
        gaussians: One set, in OpenCV axes.

    Returns:
        The same Gaussians in axes x left, y up, z forward.
    """
    w, x, y, z = gaussians.quaternions.unbind(-1)
    orders = [order for degree in range(gaussians.sh_degree + 1) for order in range(-degree, degree + 1)]
    signs = gaussians.harmonics.new_tensor([-1.0 if order % 2 else 1.0 for order in orders])
    return Gaussians(
        gaussians.means * gaussians.means.new_tensor([-1.0, -1.0, 1.0]),
        torch.stack((-z, -y, x, w), dim=-1),
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics * signs[:, None],
    )


def _attributes(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """Contiguous little-endian arrays by the name of the attribute."""
    unit = torch.nn.functional.normalize(gaussians.quaternions, dim=-1, eps=1e-30)
    rgb = harmonics_to_rgb(gaussians.harmonics[:, 0]).clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)  # sRGB decoded
    points = torch.cat((linear, gaussians.opacities[:, None]), dim=-1)
    floats = {
        "POSITION": gaussians.means,
        f"{EXTENSION}:ROTATION": unit[:, [1, 2, 3, 0]],
        f"{EXTENSION}:SCALE": gaussians.scales.clamp(min=torch.finfo(torch.float32).tiny),
        f"{EXTENSION}:OPACITY": gaussians.opacities,
    }
    for index in range(gaussians.harmonics.shape[1]):
        degree = math.isqrt(index)
        name = f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{index - degree**2}"
        floats[name] = gaussians.harmonics[:, index]
    arrays = {name: np.ascontiguousarray(values.numpy(), dtype="<f4") for name, values in floats.items()}
    arrays["COLOR_0"] = points.mul(65535).round().numpy().astype("<u2")
    return arrays


def _described(attributes: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> bytes:
    """The JSON part of the file."""
    from diff4splat import __version__

    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    offset = 0
    for name, array in attributes.items():
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes, "target": ARRAY_BUFFER})
        width = 1 if array.ndim == 1 else array.shape[1]
        accessor: dict[str, Any] = {
            "bufferView": len(accessors),
            "componentType": FLOAT if array.dtype == np.dtype("<f4") else UNSIGNED_SHORT,
            "count": len(array),
            "type": "SCALAR" if width == 1 else f"VEC{width}",
        }
        if accessor["componentType"] == UNSIGNED_SHORT:
            accessor["normalized"] = True
        if name == "POSITION":
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        accessors.append(accessor)
        offset += array.nbytes
    primitive = {
        "mode": POINTS,
        "attributes": {name: index for index, name in enumerate(attributes)},
        "extensions": {
            EXTENSION: {
                "kernel": "ellipse",
                "colorSpace": "srgb_rec709_display",
                "projection": "perspective",
                "sortingMethod": "cameraDistance",
            }
        },
    }
    content = {
        "asset": {
            "version": "2.0",
            "generator": f"diff4splat {__version__}",
            "extras": {"provenance": dict(provenance)},
        },
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "Gaussians"}],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"provenance must consist of JSON values, but {error}.") from error
