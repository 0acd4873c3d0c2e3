"""The mistakes that converting Gaussians between formats invites, one test each.

Each takes Gaussians for which the mistake would show, writes them in every format, and looks at the numbers
that an independent reader finds.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from assets.splat_scenes import moving_scene, still_scene
from plyfile import PlyData
from reference.assets_splats import (
    covariance,
    quaternion_to_matrix,
    read_glb,
    read_ply,
    read_splat,
    read_usd,
    seen_color,
)

from diff4splat.assets import load_ply, save_glb, save_ply, save_ply_sequence, save_splat, save_usd
from diff4splat.gaussians import DeformableGaussianField, Gaussians

HALF = math.sqrt(0.5)


def one(**changes: torch.Tensor) -> Gaussians:
    """One Gaussian all of whose numbers differ."""
    gaussians = Gaussians(
        torch.tensor([[0.25, -0.5, 3.0]]),
        torch.tensor([[0.8, 0.1, 0.3, 0.5]]) / math.sqrt(0.99),
        torch.tensor([[0.5, 0.125, 2.0]]),
        torch.tensor([0.75]),
        torch.arange(12.0).reshape(1, 4, 3) / 16,
    )
    return replace(gaussians, **changes)


def usd_values(gaussians: Gaussians, folder) -> dict[str, np.ndarray]:
    save_usd(DeformableGaussianField.from_gaussians(gaussians, torch.zeros(1)), folder / "a.usda")
    (values,), _, _ = read_usd(folder / "a.usda")
    return values


def test_trap_1_order_of_quaternions(tmp_path):
    gaussians = one()
    w, x, y, z = gaussians.quaternions[0].double().tolist()
    save_ply(gaussians, tmp_path / "a.ply")
    vertex = PlyData.read(tmp_path / "a.ply")["vertex"]
    assert [vertex[f"rot_{index}"][0] for index in range(4)] == pytest.approx([w, x, y, z])
    save_splat(gaussians, tmp_path / "a.splat")
    row = np.fromfile(tmp_path / "a.splat", np.uint8)[28:]
    assert row.tolist() == [round(128 + 128 * value) for value in (w, x, y, z)]
    save_glb(gaussians, tmp_path / "a.glb")
    _, _, file = read_glb(tmp_path / "a.glb")
    attributes = file.meshes[0].primitives[0].attributes
    view = file.bufferViews[file.accessors[getattr(attributes, "KHR_gaussian_splatting:ROTATION")].bufferView]
    stored = np.frombuffer(file.binary_blob()[view.byteOffset :][:16], "<f4")
    # Half a turn about z is k x q = (-z, -y, x, w); glTF puts the real part last.
    np.testing.assert_allclose(stored, [-y, x, w, -z], rtol=1e-6)
    assert usd_values(gaussians, tmp_path)["quaternions"][0] == pytest.approx([w, x, y, z])
    # What is (real, i, j, k) as text is x, y, z, w in memory: a text of USD tells the two apart.
    line = next(line for line in (tmp_path / "a.usda").read_text().splitlines() if "quatf[]" in line)
    numbers = [float(word) for word in line.partition("=")[2].strip(" []()").split(",")]
    assert numbers == pytest.approx([w, x, y, z], rel=1e-6)


def test_trap_2_logarithms_of_scales(tmp_path):
    gaussians = one()
    save_ply(gaussians, tmp_path / "a.ply")
    vertex = PlyData.read(tmp_path / "a.ply")["vertex"]
    stored = [vertex[f"scale_{index}"][0] for index in range(3)]
    assert stored == pytest.approx([math.log(0.5), math.log(0.125), math.log(2.0)])
    save_splat(gaussians, tmp_path / "a.splat")
    assert np.fromfile(tmp_path / "a.splat", "<f4")[3:6].tolist() == [0.5, 0.125, 2.0]
    save_glb(gaussians, tmp_path / "a.glb")
    assert read_glb(tmp_path / "a.glb")[0]["scales"].tolist() == [[0.5, 0.125, 2.0]]
    assert usd_values(gaussians, tmp_path)["scales"].tolist() == [[0.5, 0.125, 2.0]]


def test_trap_3_logits_of_opacities(tmp_path):
    gaussians = one()
    save_ply(gaussians, tmp_path / "a.ply")
    assert PlyData.read(tmp_path / "a.ply")["vertex"]["opacity"][0] == pytest.approx(math.log(3))
    save_splat(gaussians, tmp_path / "a.splat")
    assert np.fromfile(tmp_path / "a.splat", np.uint8)[27] == round(0.75 * 255)
    save_glb(gaussians, tmp_path / "a.glb")
    assert read_glb(tmp_path / "a.glb")[0]["opacities"].tolist() == [0.75]
    assert usd_values(gaussians, tmp_path)["opacities"].tolist() == [0.75]


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_trap_4_channel_major_harmonics(tmp_path, degree):
    number = (degree + 1) ** 2
    # The value tells coefficient and channel: 7.2 is coefficient 7, blue.
    values = torch.arange(float(number))[None, :, None] + torch.arange(3.0) / 10
    gaussians = one(harmonics=values)
    save_ply(gaussians, tmp_path / "a.ply")
    vertex = PlyData.read(tmp_path / "a.ply")["vertex"]
    stored = [vertex[f"f_rest_{index}"][0] for index in range(3 * (number - 1))]
    expected = [index + channel / 10 for channel in range(3) for index in range(1, number)]
    assert stored == pytest.approx(expected)
    assert torch.equal(load_ply(tmp_path / "a.ply").harmonics, values)
    flat = values[0].double().numpy()
    np.testing.assert_array_equal(usd_values(gaussians, tmp_path)["harmonics"][0], flat)
    save_glb(gaussians, tmp_path / "a.glb")
    np.testing.assert_array_equal(np.abs(read_glb(tmp_path / "a.glb")[0]["harmonics"][0]), flat)


def test_trap_5_axes_and_the_harmonics_with_them(tmp_path):
    """A Gaussian up and to the right of the camera is up and left in glTF; its colours turn along."""
    gaussians = one(
        means=torch.tensor([[1.0, -2.0, 3.0]]),  # right, up, ahead
        quaternions=torch.tensor([[HALF, 0.0, 0.0, HALF]]),  # a quarter about z: the first axis lies along y
        harmonics=torch.tensor([[0.0] * 3, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])[None],
    )
    save_glb(gaussians, tmp_path / "a.glb")
    found, _, _ = read_glb(tmp_path / "a.glb")
    assert found["means"].tolist() == [[-1.0, 2.0, 3.0]]
    first_axis = quaternion_to_matrix(found["quaternions"][0])[:, 0]
    np.testing.assert_allclose(first_axis, [0, -1, 0], atol=1e-6)
    signs = np.array([1, -1, 1, -1])[:, None]  # of orders 0, -1, 0 and 1
    np.testing.assert_array_equal(found["harmonics"][0], signs * gaussians.harmonics[0].double().numpy())
    for direction in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.3, -0.8, 0.5]):
        turned = [-direction[0], -direction[1], direction[2]]
        actual = seen_color(found["harmonics"][0], turned)
        np.testing.assert_allclose(actual, seen_color(gaussians.harmonics[0], direction), atol=1e-7)
    # USD keeps the numbers and turns their parent.
    values = usd_values(gaussians, tmp_path)
    _, _, stage = read_usd(tmp_path / "a.usda")
    assert values["means"].tolist() == [[1.0, -2.0, 3.0]]
    from pxr import Gf, UsdGeom

    prim = UsdGeom.Xformable(stage.GetPrimAtPath("/Scene/Gaussians"))
    assert prim.ComputeLocalToWorldTransform(0).Transform(Gf.Vec3d(1, -2, 3)) == Gf.Vec3d(-1, 2, 3)
    # PLY and .splat keep the axes: no header could say otherwise.
    save_ply(gaussians, tmp_path / "a.ply")
    save_splat(gaussians, tmp_path / "a.splat")
    for found in (read_ply(tmp_path / "a.ply"), read_splat(tmp_path / "a.splat")):
        assert found["means"].tolist() == [[1.0, -2.0, 3.0]]


def test_trap_6_signs_of_quaternions_over_time(tmp_path):
    """Blended component by component, as viewers do, neighbouring frames must not pass through zero."""
    field = moving_scene()
    flips = torch.where(torch.arange(3) == 1, -1.0, 1.0)[:, None, None]
    field = replace(field, delta_quaternions=field.delta_quaternions * flips)
    times = torch.linspace(0, 1, 9)
    save_ply_sequence(field, tmp_path / "frames", times=times)
    save_usd(field, tmp_path / "a.usdc", times=times)
    from_ply = [read_ply(path)["quaternions"] for path in sorted((tmp_path / "frames").iterdir())]
    from_usd = [frame["quaternions"] for frame in read_usd(tmp_path / "a.usdc")[0]]
    for frames in (from_ply, from_usd):
        for before, after in zip(frames[:-1], frames[1:], strict=True):
            assert np.linalg.norm(0.5 * before + 0.5 * after, axis=1).min() > 0.9


@pytest.mark.parametrize("number", [1, 2, 3, 8, 12, 21, 48, 69, 75])
def test_trap_7_incomplete_degrees(tmp_path, number):
    save_ply(still_scene(0), tmp_path / "a.ply")
    vertices = PlyData.read(tmp_path / "a.ply", mmap=False)["vertex"].data
    names = [*vertices.dtype.names, *(f"f_rest_{index}" for index in range(number))]
    table = np.zeros(len(vertices), dtype=[(name, "f4") for name in names])
    for name in vertices.dtype.names:
        table[name] = vertices[name]
    from plyfile import PlyElement

    PlyData([PlyElement.describe(table, "vertex")]).write(tmp_path / "a.ply")
    with pytest.raises(ValueError, match=rf"f_rest must have one of \[0, 9, 24, 45, 72\] .*, got {number}"):
        load_ply(tmp_path / "a.ply")


def test_trap_8_covariances_come_from_deformed_values():
    """R diag(s)^2 R^T with the quaternion and the scales of the moment, not of the canonical set."""
    field = moving_scene()
    gaussians = field.at(0.8)
    actual = gaussians.covariances().double().numpy()
    for index in range(gaussians.num_gaussians):
        expected = covariance(gaussians.quaternions[index], gaussians.scales[index])
        np.testing.assert_allclose(actual[index], expected, atol=2e-7)
    difference = (gaussians.covariances() - field.canonical.covariances()).abs().amax(dim=(1, 2))
    assert difference.median() > 1e-3, "the moment is told from the canonical set"
