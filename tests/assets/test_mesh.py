"""Mesh files, read by trimesh and by pygltflib."""

from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
import trimesh

from diff4splat.assets import Mesh, save_mesh
from diff4splat.assets.ply_header import read_provenance

PROVENANCE = {"prompt": 'Tässä\n"kuppi" <b>', "seed": 7}
TURNED = np.array([-1.0, -1.0, 1.0])


def tetrahedron(dtype: torch.dtype = torch.float32) -> Mesh:
    vertices = torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 2, 1], [0, 0, 4]], dtype=dtype)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    colors = torch.tensor([[1.0, 0, 0], [0, 0.5, 0], [0, 0.02, 1], [0.25, 1, 1]], dtype=dtype)
    return Mesh(vertices, faces, colors)


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
def test_another_reader_sees_the_same_mesh(kind: str, tmp_path: Path) -> None:
    mesh = tetrahedron(torch.float64)
    save_mesh(mesh, tmp_path / f"mesh.{kind}", provenance=PROVENANCE)
    plain = {"skip_materials": True} if kind == "glb" else {}  # trimesh shows colours or a material
    read = trimesh.load(tmp_path / f"mesh.{kind}", process=False, force="mesh", **plain)
    axes = 1 if kind == "ply" else TURNED
    np.testing.assert_allclose(read.vertices, mesh.vertices.numpy() * axes, atol=1e-6)
    np.testing.assert_array_equal(read.faces, mesh.faces.numpy())
    assert read.is_watertight and read.volume == pytest.approx(1.0), "half a turn keeps outside outside"
    colors = mesh.colors.numpy()
    if kind == "glb":  # linear light
        colors = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    got = np.asarray(read.visual.vertex_colors)[:, :3] / 255
    np.testing.assert_allclose(got, colors, atol=0.6 / 255 + 1e-4)


def test_a_glb_says_what_it_is(tmp_path: Path) -> None:
    save_mesh(tetrahedron(), tmp_path / "mesh.glb", provenance=PROVENANCE)
    content = pygltflib.GLTF2().load(str(tmp_path / "mesh.glb"))
    assert content.asset.version == "2.0" and content.asset.extras["provenance"] == PROVENANCE
    assert content.extensionsUsed == ["KHR_materials_unlit"] and content.materials[0].doubleSided
    place, color, corners = content.accessors
    assert (place.min, place.max) == ([-1.0, -2.0, 1.0], [0.0, 0.0, 4.0])
    assert (color.componentType, color.type, corners.count) == (pygltflib.FLOAT, "VEC3", 12)
    for view in content.bufferViews:
        assert view.byteOffset % 4 == 0
    assert content.buffers[0].byteLength == sum(view.byteLength for view in content.bufferViews)
    assert (tmp_path / "mesh.glb").stat().st_size % 4 == 0


def test_text_formats_state_axes_and_provenance(tmp_path: Path) -> None:
    for kind in ("ply", "obj"):
        save_mesh(tetrahedron(), tmp_path / f"mesh.{kind}", provenance=PROVENANCE)
        head = (tmp_path / f"mesh.{kind}").read_bytes()[:400].decode("ascii", errors="replace")
        assert (
            "axes" in head and r'{"prompt": "T\u00e4ss\u00e4\n\"kuppi\" <b>"' in head and '"seed": 7}' in head
        )
    assert read_provenance(tmp_path / "mesh.ply") == PROVENANCE


def test_refuses_in_words_and_leaves_what_was_there(tmp_path: Path) -> None:
    mesh, path = tetrahedron(), tmp_path / "mesh.ply"
    save_mesh(mesh, path)
    before = path.read_bytes()
    for bad, words in (
        (Mesh(mesh.vertices / 0, mesh.faces, mesh.colors), "vertices must be finite"),
        (Mesh(mesh.vertices, mesh.faces + 1, mesh.colors), "faces must be from 0 to 3, got 1 to 4"),
        (Mesh(mesh.vertices, mesh.faces - 1, mesh.colors), "faces must be from 0 to 3, got -1 to 2"),
        (Mesh(mesh.vertices, mesh.faces, 2 * mesh.colors), r"colors must lie in \[0, 1\]"),
        (Mesh(mesh.vertices, mesh.faces[:0], mesh.colors), "mesh must have at least one triangle"),
    ):
        with pytest.raises(ValueError, match=words):
            save_mesh(bad, path)
    with pytest.raises(ValueError, match="colors must be one per vertex, expected 4, got 3"):
        Mesh(mesh.vertices, mesh.faces, mesh.colors[:3])
    with pytest.raises(ValueError, match=r"must end in .ply, .obj, .glb, got .*stl"):
        save_mesh(mesh, tmp_path / "mesh.stl")
    with pytest.raises(ValueError, match="JSON"):
        save_mesh(mesh, path, provenance={"a": {1}})
    with pytest.raises(FileNotFoundError, match="folder"):
        save_mesh(mesh, tmp_path / "none" / "mesh.obj")
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
