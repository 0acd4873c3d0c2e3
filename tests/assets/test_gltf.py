"""glTF: every attribute through pygltflib, in y-up axes."""

import json
import struct

import numpy as np
import pytest
import torch
from assets.splat_scenes import COUNT, assert_equal, decibels, from_numpy, moving_scene, still_scene
from reference.assets_splats import covariance, read_glb, seen_color

from diff4splat.assets import save_glb
from diff4splat.assets.gltf import half_turn_about_z
from diff4splat.gaussians import harmonics_to_rgb

HALF_TURN = np.diag([-1.0, -1.0, 1.0])


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_an_independent_reader_finds_every_value(tmp_path, degree):
    gaussians, path = moving_scene(degree).at(0.6), tmp_path / "scene.glb"
    save_glb(gaussians, path, provenance={"prompt": "</script>\n", "seed": 3})
    found, color, file = read_glb(path)
    assert found["harmonics"].shape == (COUNT, (degree + 1) ** 2, 3)
    assert np.array_equal(found["means"], gaussians.means.double().numpy() @ HALF_TURN)
    for name in ("scales", "opacities"):
        assert np.array_equal(found[name], getattr(gaussians, name).double().numpy())
    np.testing.assert_allclose(np.linalg.norm(found["quaternions"], axis=1), 1, atol=3e-7)
    directions = np.random.default_rng(3).normal(size=(5, 3))
    for index in range(COUNT):
        actual = covariance(found["quaternions"][index], found["scales"][index])
        expected = HALF_TURN @ covariance(gaussians.quaternions[index], gaussians.scales[index]) @ HALF_TURN
        np.testing.assert_allclose(actual, expected, atol=1e-7)
        for direction in directions:
            actual = seen_color(found["harmonics"][index], HALF_TURN @ direction)
            np.testing.assert_allclose(actual, seen_color(gaussians.harmonics[index], direction), atol=1e-6)
    # The fallback for programs without the extension is linear light.
    rgb = harmonics_to_rgb(gaussians.harmonics[:, 0]).clamp(0, 1).double().numpy()
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(color[:, :3], linear, atol=1e-6)
    assert np.array_equal(color[:, 3], gaussians.opacities.double().numpy())
    assert file.asset.version == "2.0" and file.asset.generator.startswith("diff4splat ")
    assert file.asset.extras == {"provenance": {"prompt": "</script>\n", "seed": 3}}


def test_what_the_format_demands(tmp_path):
    path = tmp_path / "scene.glb"
    save_glb(still_scene(1), path)
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    text_length, kind = struct.unpack("<I4s", data[12:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and text_length % 4 == 0
    binary_length, kind = struct.unpack("<I4s", data[20 + text_length : 28 + text_length])
    assert kind == b"BIN\0" and 28 + text_length + binary_length == len(data) and binary_length % 4 == 0
    content = json.loads(data[20 : 20 + text_length])
    assert content["extensionsUsed"] == ["KHR_gaussian_splatting"] and "extensionsRequired" not in content
    assert content["buffers"] == [{"byteLength": binary_length}]
    (primitive,) = content["meshes"][0]["primitives"]
    extension = primitive["extensions"]["KHR_gaussian_splatting"]
    assert primitive["mode"] == 0
    assert extension["kernel"] == "ellipse" and extension["colorSpace"] == "srgb_rec709_display"
    types = {"POSITION": "VEC3", "COLOR_0": "VEC4"}
    types |= {
        f"KHR_gaussian_splatting:{name}": kind
        for name, kind in (("ROTATION", "VEC4"), ("SCALE", "VEC3"), ("OPACITY", "SCALAR"))
    }
    end = 0
    for name, index in primitive["attributes"].items():
        accessor = content["accessors"][index]
        view = content["bufferViews"][accessor["bufferView"]]
        assert accessor["count"] == COUNT and accessor["type"] == types.get(name, "VEC3")
        assert view["byteOffset"] == end and end % 4 == 0
        end += view["byteLength"]
        assert ("min" in accessor) == (name == "POSITION")
    assert end == binary_length
    means = still_scene(1).means.numpy() * np.float32([-1, -1, 1])
    position = content["accessors"][primitive["attributes"]["POSITION"]]
    np.testing.assert_array_equal(np.float32(position["min"]), means.min(axis=0))
    np.testing.assert_array_equal(np.float32(position["max"]), means.max(axis=0))


def test_the_picture_is_the_same_once_it_is_turned_back(tmp_path):
    gaussians = moving_scene(3).at(0.6)
    save_glb(gaussians, tmp_path / "scene.glb")
    found, _, _ = read_glb(tmp_path / "scene.glb")
    turned_back = half_turn_about_z(from_numpy(found))
    assert_equal(
        {name: getattr(turned_back, name).double().numpy() for name in found},
        # Half a turn and back is a whole one, which is the quaternion -1.
        type(gaussians)(
            gaussians.means,
            -gaussians.quaternions,
            *(getattr(gaussians, name) for name in ("scales", "opacities", "harmonics")),
        ),
    )
    assert decibels(turned_back, gaussians) > 100


def test_half_a_turn_is_that_of_transform():
    gaussians = still_scene(4)
    expected = gaussians.transform(torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0])))
    turned = half_turn_about_z(gaussians)
    torch.testing.assert_close(turned.means, expected.means)
    torch.testing.assert_close(turned.covariances(), expected.covariances())
    torch.testing.assert_close(turned.harmonics, expected.harmonics, rtol=1e-5, atol=1e-5)


def test_trimesh_finds_the_points_in_their_colours(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh comes with the extra 'mesh'")
    save_glb(still_scene(1), tmp_path / "scene.glb")
    scene = trimesh.load(tmp_path / "scene.glb")
    (cloud,) = scene.geometry.values()
    np.testing.assert_allclose(cloud.vertices, still_scene(1).means.numpy() @ HALF_TURN, rtol=1e-6)
    _, color, _ = read_glb(tmp_path / "scene.glb")
    np.testing.assert_allclose(cloud.colors / 255, color, atol=0.6 / 255)


def test_what_is_refused_leaves_what_was_there(tmp_path):
    path = tmp_path / "scene.glb"
    save_glb(still_scene(1), path)
    before, broken = path.read_bytes(), still_scene(1)
    broken.opacities[0] = 2
    for gaussians, provenance, words in (
        (broken, {}, "opacities must lie in"),
        (still_scene(4), {}, "degree 0 to 3 in glTF, got 4"),
        (still_scene(1).batch(None), {}, "no batch axes"),
        (still_scene(1).select([]), {}, "at least one Gaussian"),
        (still_scene(1), {"path": path}, "provenance must consist of JSON"),
        (still_scene(1), {"loss": float("nan")}, "provenance must consist of JSON"),
    ):
        with pytest.raises(ValueError, match=words):
            save_glb(gaussians, path, provenance=provenance)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
