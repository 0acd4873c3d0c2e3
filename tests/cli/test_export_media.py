"""Exports of what a scene shows: video, depth, mesh, tracks, cameras."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from cli.shown import error_of
from PIL import Image
from pipelines.fake_parts import fake_pipeline

from diff4splat.assets import load_depth_sequence, load_field, load_tracks, load_video, save_field
from diff4splat.cameras import load_cameras, trajectory
from diff4splat.cli import main
from diff4splat.cli.exports import media
from diff4splat.pipelines import fit_cameras, render_path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.safetensors"
    image = torch.rand(3, 31, 31, generator=torch.Generator().manual_seed(0))
    field = fake_pipeline()(image, generator=torch.Generator().manual_seed(0))
    cameras = trajectory.forward(5, height=32, width=40)
    save_field(field, path, cameras=cameras, provenance={"image": "my photo.jpg", "fps": 10})
    return path


@pytest.mark.parametrize("kind", ["mp4", "webp", "gif"])
def test_a_video_is_the_recorded_path(kind: str, scene: Path, tmp_path: Path) -> None:
    output = tmp_path / f"clip.{kind}"
    assert main(["export", str(scene), "-o", str(output), "--size", "60", "--frames", "3"]) == 0
    video = load_video(output)
    assert video.shape == (3, 3, 48, 60), "of the shape of the recorded path"
    cameras = fit_cameras(trajectory.forward(5, height=32, width=40), height=48, width=60, num_frames=3)
    film = render_path(load_field(scene), cameras)
    assert (video - film.color.clamp(0, 1)).square().mean() < 10**-2.2
    if kind == "mp4":
        with av.open(str(output)) as container:
            assert float(container.streams.video[0].average_rate) == pytest.approx(6), "as long as 5 at 10"
            assert json.loads(container.metadata["comment"])["image"] == "my photo.jpg"
    else:
        with Image.open(output) as picture:
            assert picture.n_frames == 3


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_render_writes_animations_too(kind: str, scene: Path, tmp_path: Path) -> None:
    output = tmp_path / f"clip.{kind}"
    words = ["--trajectory", "orbit", "--size", "24", "--frames", "4", "--fps", "8"]
    assert main(["render", str(scene), "-o", str(output), *words]) == 0
    with Image.open(output) as picture:
        assert (picture.size, picture.n_frames) == ((24, 24), 4)
        text = str(picture.info.get("comment") or picture.info.get("xmp"))
    assert "orbit" in text and "my photo.jpg" in text


def test_depth(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ["--size", "40"]
    assert main(["export", str(scene), "--to", "depth-png", "-o", str(tmp_path / "maps"), *shared]) == 0
    assert "not in millimetres: the scene is not known to be in metres" in capsys.readouterr().err
    assert main(["export", str(scene), "--to", "depth-npz", "-o", str(tmp_path / "d.npz"), *shared]) == 0
    pictures, floats = load_depth_sequence(tmp_path / "maps"), load_depth_sequence(tmp_path / "d.npz")
    assert pictures.shape == floats.shape == (5, 32, 40)
    step = float(floats.nan_to_num(0).max()) / 65535
    torch.testing.assert_close(pictures, floats, rtol=0, atol=step, equal_nan=True)
    assert len(load_cameras(tmp_path / "d.npz").intrinsics) == 5
    one = tmp_path / "one.png"
    assert main(["export", str(scene), "--to", "depth-png", "-o", str(one), "--time", "0.5", *shared]) == 0
    with Image.open(one) as picture:
        unit, values = float(picture.text["depth_unit"]), np.asarray(picture)
    np.testing.assert_allclose(values * unit, floats[2].nan_to_num(0), atol=2 * unit)


def test_a_metric_scene_has_depth_in_millimetres(scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "metric.safetensors"
    cameras = trajectory.forward(2, height=32, width=32)
    save_field(load_field(scene), path, cameras=cameras, provenance={"depth": "metric"})
    assert main(["export", str(path), "--to", "depth-png", "-o", str(tmp_path / "maps")]) == 0
    with Image.open(tmp_path / "maps" / "depth_00001.png") as picture:
        assert picture.text["depth_unit"] == "0.001"


def test_a_rate_that_a_gif_cannot_have_is_refused_before_the_work(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(media, "render_path", None)
    words = ["--seconds", "0.1", "--frames", "9"]
    assert main(["export", str(scene), "-o", str(tmp_path / "a.gif"), *words]) == 2
    assert "fps must be from" in capsys.readouterr().err and not (tmp_path / "a.gif").exists()


def test_a_folder_for_depth_may_have_a_dot_in_its_name(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "depth.v2").mkdir()
    words = ["--to", "depth-png", "--frames", "3", "--size", "16"]
    assert main(["export", str(scene), "-o", str(tmp_path / "depth.v2"), *words]) == 0
    assert len(list((tmp_path / "depth.v2").glob("*.png"))) == 3


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
def test_mesh(kind: str, scene: Path, tmp_path: Path) -> None:
    output = tmp_path / f"mesh.{kind}"
    words = ["--to", "mesh", "--resolution", "48", "--time", "0.5"]
    assert main(["export", str(scene), "-o", str(output), *words]) == 0
    mesh = trimesh.load(output, process=False, force="mesh")
    assert len(mesh.faces) > 20
    assert (mesh.vertices[:, 2] > 0).all(), "before the camera in all axes"


def test_tracks(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "tracks.npz"
    assert main(["export", str(scene), "--to", "tracks", "-o", str(output), "--frames", "3"]) == 0
    tracks = load_tracks(output)
    assert tracks.positions.shape[0] == 3 and tracks.visible[0].all()


def test_cameras(scene: Path, tmp_path: Path) -> None:
    expected = trajectory.forward(5, height=32, width=40)
    for name, words in {
        "transforms.json": [],
        "path.json": [],
        "colmap": ["--to", "cameras"],
        "path.npz": ["--to", "cameras"],
        "path.txt": [],
    }.items():
        assert main(["export", str(scene), "-o", str(tmp_path / name), *words]) == 0
        size = {"height": 32, "width": 40} if name == "path.txt" else {}
        back = load_cameras(tmp_path / name, **size)
        torch.testing.assert_close(back.camera_to_world, expected.camera_to_world, rtol=0, atol=1e-5)
        torch.testing.assert_close(back.intrinsics, expected.intrinsics, rtol=0, atol=1e-3)
    assert len(json.loads((tmp_path / "transforms.json").read_text())["frames"]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a.npz"], "--to must be given for the output a.npz, one of depth-npz, tracks, cameras"),
        (["-o", "a.mp4", "--time", "0.5"], "--time is for --to"),
        (["-o", "a.ply", "--to", "mesh", "--resolution", "9"], "--resolution must be from 16 to 2048, got 9"),
        (["-o", "a.gif", "--seconds", "0.1", "--frames", "9"], "fps must be from"),
        (["-o", "maps", "--to", "depth-png", "--time", "0.5"], "--output must end in .png for one map"),
        (["-o", "a.png", "--to", "depth-png", "--frames", "3"], "--frames is for depth of the whole clip"),
    ],
)
def test_refuses_and_leaves_nothing(
    words: list[str],
    message: str,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(scene), *words]) == 2
    assert message in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_scene_without_a_path(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_field(load_field(scene), tmp_path / "bare.safetensors")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.txt").write_text("mine")
    for kind, output in (("video", "a.mp4"), ("mesh", "a.ply"), ("tracks", "a.npz"), ("cameras", "a.json")):
        assert main(["export", "bare.safetensors", "--to", kind, "-o", output]) == 2
        assert f"SCENE must hold the camera path it was made with for --to {kind}" in error_of(capsys)
    assert main(["export", str(scene), "--to", "depth-png", "-o", "maps"]) == 2
    assert "--output must be a new or an empty folder, got maps" in error_of(capsys)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bare.safetensors", "maps", "mine.txt"]
