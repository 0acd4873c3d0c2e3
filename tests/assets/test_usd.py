"""OpenUSD: every attribute at every time code through pxr, and the cameras."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from assets.splat_scenes import COUNT, TIMES, assert_equal, decibels, from_numpy, moving_scene, some_cameras
from pxr import Gf, Usd, UsdGeom, UsdVol
from reference.assets_splats import read_usd

from diff4splat.assets import save_usd
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import project


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usd", ".usdz"])
def test_an_independent_reader_finds_every_value_at_every_time(tmp_path, suffix):
    field, path = moving_scene(), tmp_path / f"a scene [1]:ü{suffix}"
    save_usd(field, path, seconds=2.5, fps=8, provenance={"seed": 5})
    frames, codes, stage = read_usd(path)
    assert codes == [time * 2.5 * 8 for time in TIMES]
    for time, found in zip(TIMES, frames, strict=True):
        expected = field.at(time)
        signs = np.sign((found["quaternions"] * expected.quaternions.double().numpy()).sum(-1, keepdims=True))
        assert_equal({**found, "quaternions": signs * found["quaternions"]}, expected)
        assert decibels(from_numpy(found), expected) > 100
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (8, 0, 20)
    notes = stage.GetRootLayer().customLayerData["diff4splat"]
    assert json.loads(notes["provenance"]) == {**field.metadata, "seed": 5}
    assert stage.GetDefaultPrim().GetPath() == "/Scene" and not stage.GetCompositionErrors()
    assert [*tmp_path.iterdir()] == [path], "nothing beside the file"


def test_a_package_holds_one_layer_of_a_plain_name(tmp_path):
    save_usd(moving_scene(), tmp_path / "..\\x.usdz")
    with zipfile.ZipFile(tmp_path / "..\\x.usdz") as package:
        (entry,) = package.infolist()
        assert entry.filename == "scene.usdc" and entry.compress_type == zipfile.ZIP_STORED


def test_only_what_changes_is_sampled(tmp_path):
    field = moving_scene()
    still = replace(field, delta_quaternions=torch.tensor([1.0, 0, 0, 0]).expand(3, COUNT, 4))
    still = replace(still, delta_scales=torch.zeros(3, COUNT, 3))
    for name, scene, expected in (
        ("moves", still, {"positions", "extent"}),
        ("all", field, {"positions", "extent", "orientations", "scales"}),
        ("none", DeformableGaussianField.from_gaussians(field.canonical, field.times), set()),
    ):
        save_usd(scene, tmp_path / f"{name}.usdc")
        frames, codes, stage = read_usd(tmp_path / f"{name}.usdc")
        prim = stage.GetPrimAtPath("/Scene/Gaussians")
        sampled = {item.GetName() for item in prim.GetAttributes() if item.GetNumTimeSamples()}
        assert sampled == expected
        if not expected:
            assert_equal(frames[0], field.canonical)
    other = UsdVol.ParticleField3DGaussianSplat(prim)
    assert other.GetProjectionModeHintAttr().Get() == "perspective"
    assert other.GetSortingModeHintAttr().Get() == "zDepth"


def test_the_extent_holds_three_standard_deviations(tmp_path):
    field = moving_scene()
    save_usd(field, tmp_path / "a.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    extent = UsdGeom.Boundable(stage.GetPrimAtPath("/Scene/Gaussians")).GetExtentAttr()
    for time, code in zip(TIMES, extent.GetTimeSamples(), strict=True):
        low, high = (np.array(corner) for corner in extent.Get(code))
        gaussians = field.at(time)
        reach = 3 * gaussians.covariances().diagonal(dim1=-2, dim2=-1).sqrt().numpy()
        assert (low <= gaussians.means.numpy() - reach + 1e-5).all()
        assert (high >= gaussians.means.numpy() + reach - 1e-5).all()


def test_quaternions_never_jump_to_the_other_side(tmp_path):
    field = moving_scene()
    wild = torch.where(torch.arange(3)[:, None, None] == 1, -1.0, 1.0) * field.delta_quaternions
    save_usd(replace(field, delta_quaternions=wild), tmp_path / "a.usdc", times=torch.linspace(0, 1, 11))
    frames, codes, _ = read_usd(tmp_path / "a.usdc")
    assert len(codes) == 11
    for before, after in zip(frames[:-1], frames[1:], strict=True):
        assert ((before["quaternions"] * after["quaternions"]).sum(-1) > 0).all()
        np.testing.assert_allclose(np.linalg.norm(after["quaternions"], axis=1), 1, atol=3e-7)


def test_between_samples_usd_blends_centres_as_the_field_does(tmp_path):
    field = moving_scene()
    save_usd(field, tmp_path / "a.usdc", seconds=1, fps=16)
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    particles = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath("/Scene/Gaussians"))
    means = np.array(particles.GetPositionsAttr().Get(11.0))
    np.testing.assert_allclose(means, field.at(11 / 16).means, rtol=1e-5, atol=1e-6)


def test_cameras_see_every_point_where_ours_do(tmp_path):
    cameras, field = some_cameras(5).crop(3, 5, 47, 41), moving_scene()
    save_usd(field, tmp_path / "a.usdc", cameras=cameras, seconds=2, fps=10)
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/Scene/Camera"))
    world = UsdGeom.Xformable(stage.GetPrimAtPath("/Scene/Gaussians"))
    for frame in range(5):
        code = frame / 4 * 20
        frustum = camera.GetCamera(code).frustum
        view = frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()
        view = world.ComputeLocalToWorldTransform(code) * view
        pose, lens = cameras.camera_to_world[frame], cameras.intrinsics[frame]
        pixels, _ = project(field.canonical.means, pose, lens)
        for index in range(COUNT):
            x, y, _ = view.Transform(Gf.Vec3d(*field.canonical.means[index].double().tolist()))
            actual = ((x + 1) / 2 * cameras.width, (1 - y) / 2 * cameras.height)
            np.testing.assert_allclose(actual, pixels[index], rtol=1e-4, atol=1e-2)


def test_what_is_refused_leaves_what_was_there(tmp_path, monkeypatch):
    path, field = tmp_path / "a.usdc", moving_scene()
    save_usd(field, path)
    before = path.read_bytes()
    broken = replace(field, delta_means=field.delta_means * torch.nan)
    for scene, options, words in (
        (broken, {}, "delta_means must be finite"),
        (field.batch(None), {}, "no batch axes"),
        (field, {"seconds": 0}, "seconds must be positive, got 0"),
        (field, {"fps": float("nan")}, "fps must be positive"),
        (field, {"times": [0.5, 0.5]}, "ascend strictly"),
        (field, {"times": [0.5, 1.5]}, "ascend strictly"),
        (field, {"times": []}, "ascend strictly"),
        (field, {"provenance": {"path": path}}, "provenance must consist of JSON"),
    ):
        with pytest.raises(ValueError, match=words):
            save_usd(scene, path, **options)
    with pytest.raises(ValueError, match="path must end in .usda, .usdc, .usdz, .usd, got"):
        save_usd(field, tmp_path / "a.gltf")
    with pytest.raises(FileNotFoundError):
        save_usd(field, tmp_path / "missing" / "a.usdc")
    monkeypatch.delattr(UsdVol, "ParticleField3DGaussianSplat")
    with pytest.raises(ImportError, match=r"usd-core 26.3 or later: pip install 'diff4splat\[usd\]'"):
        save_usd(field, path)
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(ImportError, match=r"needs usd-core: pip install 'diff4splat\[usd\]'"):
        save_usd(field, path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
