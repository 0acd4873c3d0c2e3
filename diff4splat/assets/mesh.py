"""Triangle meshes with colours, and the files that other programs open them from."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.assets.glb_file import linear_light, write_glb
from diff4splat.assets.ply_header import comment_lines
from diff4splat.assets.provenance_text import provenance_text
from diff4splat.files import atomic_path

__all__ = ["Mesh", "save_mesh"]

_SUFFIXES = (".ply", ".obj", ".glb")
_Y_UP = np.array([-1.0, -1.0, 1.0])  # half a turn about z
_CONTENT = {
    "extensionsUsed": ["KHR_materials_unlit"],
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}]}],
    "materials": [
        {
            "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
            "doubleSided": True,
            "extensions": {"KHR_materials_unlit": {}},
        }
    ],
}  # of a .glb


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in world coordinates, with a colour at each corner.

    Args:
        vertices: Scene units, OpenCV axes.
        faces: Three vertices each, counter-clockwise as seen from outside.
        colors: sRGB in [0, 1].

    Raises:
        ValueError: If there is not one colour per vertex.
    """

    vertices: Float[Tensor, "vertex xyz=3"]
    faces: Int[Tensor, "face corner=3"]
    colors: Float[Tensor, "color rgb=3"]

    def __post_init__(self) -> None:
        if len(self.colors) != len(self.vertices):
            raise ValueError(
                f"colors must be one per vertex, expected {len(self.vertices)}, got {len(self.colors)}."
            )

    @property
    def num_vertices(self) -> int:
        """Number of vertices."""
        return len(self.vertices)

    @property
    def num_faces(self) -> int:
        """Number of triangles."""
        return len(self.faces)

    def validate(self) -> None:
        """Refuse values that are no mesh.

        Raises:
            ValueError: If there is no triangle, a vertex is not finite, a face names a vertex that is not
                there, or a colour is outside [0, 1].
        """
        if not self.num_faces:
            raise ValueError("mesh must have at least one triangle, got none.")
        if not bool(torch.isfinite(self.vertices).all()):
            raise ValueError("vertices must be finite, got NaN or infinity.")
        low, high = int(self.faces.min()), int(self.faces.max())
        if low < 0 or high >= self.num_vertices:
            raise ValueError(f"faces must be from 0 to {self.num_vertices - 1}, got {low} to {high}.")
        if not bool(((self.colors >= 0) & (self.colors <= 1)).all()):
            raise ValueError("colors must lie in [0, 1], got others.")


def save_mesh(
    mesh: Mesh, path: str | os.PathLike[str], *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a mesh with the colours of its vertices.

    `.ply` (binary) keeps OpenCV axes, as the PLY of Gaussians does, so that both lie in one place. `.obj` and
    `.glb` are y-up in nearly every program: there the mesh is turned by half a turn about z, which takes
    (x, y, z) to (-x, -y, z), as the `.glb` of Gaussians is. Colours are sRGB bytes in a `.ply` and numbers
    behind each vertex in an `.obj`; in a `.glb` they are linear light, as glTF wants it, on a material that
    is shown unlit, since the light is in the colours already. The file is written whole or not at all.

    Args:
        mesh: The mesh, of any device and floating type; positions become float32.
        path: File to write; must end in `.ply`, `.obj` or `.glb`.
        provenance: JSON values (model, seed, prompt, licence): comments of a `.ply`, as in that of Gaussians,
            and of an `.obj`, `asset.extras` of a `.glb`.

    Raises:
        ValueError: If the suffix is another, the mesh is invalid, it does not fit into a `.glb` of 4 GiB, or
            provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(f"path must end in {', '.join(_SUFFIXES)}, got {path}.")
    mesh.validate()
    vertices = mesh.vertices.detach().cpu().float().numpy()
    faces, colors = mesh.faces.cpu().numpy(), mesh.colors.detach().cpu().double().numpy()
    if suffix == ".glb":
        write_glb(path, _arrays(vertices, faces, colors), _CONTENT, provenance=provenance)
        return
    content = {".ply": _ply, ".obj": _obj}[suffix](vertices, faces, colors, provenance or {})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _ply(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, provenance: Mapping[str, Any]) -> bytes:
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment axes opencv: +x right, +y down, +z forward",
        *comment_lines(provenance),
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    corners = np.empty(len(vertices), dtype=[("place", "<f4", 3), ("color", "u1", 3)])
    corners["place"], corners["color"] = vertices, np.rint(colors * 255)
    triangles = np.empty(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, faces
    return "\n".join(header).encode("ascii") + corners.tobytes() + triangles.tobytes()


def _obj(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, provenance: Mapping[str, Any]) -> bytes:
    lines = io.BytesIO()
    lines.write(b"# axes: x left, y up, z forward; colours are sRGB behind each vertex\n")
    lines.write(f"# provenance {provenance_text(provenance)}\n".encode("ascii"))
    np.savetxt(
        lines, np.concatenate((vertices * _Y_UP, colors), axis=1), fmt="v %.7g %.7g %.7g %.4f %.4f %.4f"
    )
    np.savetxt(lines, faces + 1, fmt="f %d %d %d")
    return lines.getvalue()


def _arrays(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> dict[str, np.ndarray]:
    """What a .glb holds, in the order in which `_CONTENT` counts."""
    return {
        "POSITION": np.ascontiguousarray(vertices * _Y_UP, dtype="<f4"),
        "COLOR_0": linear_light(colors).astype("<f4"),
        "indices": faces.reshape(-1).astype("<u4"),
    }
