"""Gaussians as binary glTF with the extension `KHR_gaussian_splatting`.

The file holds one moment: the extension has no place for motion. glTF is y-up, so the scene is turned by half
a turn about z, which takes (x, y, z) to (-x, -y, z), together with its quaternions and harmonics. Quaternions
are xyzw there, scales linear, opacities probabilities, harmonics one attribute per coefficient.
"""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from diff4splat.assets.glb_file import linear_light, write_glb
from diff4splat.assets.ply import check_single
from diff4splat.gaussians import Gaussians, harmonics_to_rgb

__all__ = ["save_glb"]

EXTENSION = "KHR_gaussian_splatting"
POINTS = 0
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
    write_glb(path, attributes, _content(list(attributes)), provenance=provenance)


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
    linear = torch.from_numpy(linear_light(rgb.numpy()))
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
    floats["COLOR_0"] = torch.cat((linear, gaussians.opacities[:, None]), dim=-1)
    return {name: np.ascontiguousarray(values.numpy(), dtype="<f4") for name, values in floats.items()}


def _content(attributes: list[str]) -> dict[str, Any]:
    """What the file says of its arrays, named in their order."""
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
    return {
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "Gaussians"}],
        "meshes": [{"primitives": [primitive]}],
    }
