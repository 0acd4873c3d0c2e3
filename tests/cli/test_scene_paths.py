"""Where a camera path stands in a scene: recorded, named, or of a file; also once the scene was moved."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli.shown import error_of
from pictures.scenes import looking, wall_and_ball
from PIL import Image

from diff4splat.assets import load_field, load_field_cameras, load_video, save_field
from diff4splat.cameras import Cameras, load_cameras, save_cameras, trajectory
from diff4splat.cli import main
from diff4splat.pipelines import fit_cameras, focus_depth

MOVE = ["--rotate", "0,90,0", "--move", "3,-2,5"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.safetensors"
    field = wall_and_ball()
    grey = torch.rand(field.num_gaussians, 1, 1, generator=torch.Generator().manual_seed(0))
    field = replace(field, canonical=replace(field.canonical, harmonics=(3 * grey - 1.5).repeat(1, 1, 3)))
    save_field(field, path, cameras=looking(frames=5))
    return path


@pytest.fixture(scope="module")
def moved(scene: Path) -> Path:
    """The scene, turned and moved, with its recorded cameras."""
    path = scene.with_name("moved.safetensors")
    assert main(["edit", str(scene), "-o", str(path), *MOVE]) == 0
    cameras = load_field_cameras(path)
    assert cameras is not None and not torch.allclose(cameras.camera_to_world[0], torch.eye(4), atol=1)
    return path


def rendered(scene: Path, *words: str) -> torch.Tensor:
    """A clip as WebP: the threads of an mp4's encoder make another file each time."""
    output = scene.with_name("video.webp")
    assert main(["render", str(scene), "-o", str(output), "--size", "32", "--no-watermark", *words]) == 0
    return load_video(output)


def drawn(scene: Path, *words: str) -> bytes:
    output = scene.with_name("picture.png")
    assert main(["picture", str(scene), "-o", str(output), "--width", "122", *words]) == 0
    return Image.open(output).tobytes()


def file_along(scene: Path) -> Path:
    """A file of cameras in the coordinates of a scene, which starts away from its first camera."""
    cameras = load_field_cameras(scene)
    assert cameras is not None
    beside = torch.eye(4)
    beside[0, 3] = 0.5
    poses = cameras.camera_to_world.float() @ beside
    path = scene.with_name(f"{scene.stem}-path.json")
    save_cameras(replace(cameras, camera_to_world=poses, intrinsics=cameras.intrinsics.float()), path)
    return path


@pytest.mark.parametrize("words", [[], ["--trajectory", "orbit"]], ids=["recorded", "named"])
def test_a_moved_scene_looks_as_before(scene: Path, moved: Path, words: list[str]) -> None:
    before = rendered(scene, *words)
    assert before.mean() > 0.3, "the wall is seen"
    torch.testing.assert_close(rendered(moved, *words), before, atol=0.05, rtol=0)


def test_a_part_of_a_clip_is_seen_from_where_it_was(scene: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.safetensors"
    assert main(["edit", str(scene), "-o", str(part), "--trim", "0.5,1"]) == 0
    field, cameras = load_field(part), load_field_cameras(part)
    assert cameras is not None
    last = cameras.select([-1]).to(dtype=field.dtype)
    video = rendered(part, "--frames", "2")
    fitted = fit_cameras(cameras, height=32, width=32, coordinates="kept").select([-1])
    expected = field.render(fitted.to(dtype=field.dtype), torch.ones(1)).color[0].clamp(0, 1)
    assert (video[-1] - expected).square().mean() < 1e-3
    assert torch.allclose(fitted.positions, last.positions.to(fitted.positions))


def test_exports_of_a_moved_scene_look_as_before(scene: Path, moved: Path, tmp_path: Path) -> None:
    videos = []
    for file in (scene, moved):
        output = tmp_path / f"{file.stem}.webp"
        assert main(["export", str(file), "-o", str(output), "--size", "40", "--no-watermark"]) == 0
        videos.append(load_video(output))
    torch.testing.assert_close(videos[1], videos[0], atol=0.05, rtol=0)


def test_a_file_in_coordinates_of_the_scene_stays_where_it_is(
    scene: Path, moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rendered(scene, "--trajectory", str(file_along(scene)), "--coordinates", "scene")
    after = rendered(moved, "--trajectory", str(file_along(moved)), "--coordinates", "scene")
    torch.testing.assert_close(after, before, atol=0.05, rtol=0)
    assert "does not start at the origin" not in capsys.readouterr().err
    shifted = rendered(scene, "--trajectory", str(file_along(scene)))
    assert "does not start at the origin" in capsys.readouterr().err
    assert (shifted - before).abs().mean() > 0.01
    torch.testing.assert_close(shifted, rendered(scene), atol=0.05, rtol=0)  # moved to the first camera


def test_pictures_take_such_files_too(scene: Path) -> None:
    file = str(file_along(scene))
    there = drawn(scene, "--kind", "depth", "--trajectory", file, "--coordinates", "scene")
    assert there != drawn(scene, "--kind", "depth")
    assert drawn(scene, "--kind", "depth", "--trajectory", file) == drawn(scene, "--kind", "depth")


def test_the_overview_of_a_moved_scene_sees_it(scene: Path, moved: Path) -> None:
    one, other = (
        torch.tensor(list(drawn(file, "--kind", "sheet", "--width", "400"))).double() / 255
        for file in (scene, moved)
    )
    assert (one - other).square().mean() < 1e-4


@pytest.mark.parametrize("name", ["recorded", "orbit"])
def test_coordinates_are_for_files(name: str, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-o", str(scene.with_name("a.mp4")), "--trajectory", name, "--coordinates", "scene"]
    assert main(["render", str(scene), *words]) == 2
    assert f"--coordinates is for a file of cameras, got --trajectory {name}" in error_of(capsys)


def test_keys_of_the_live_viewer_are_rendered_where_they_were_set(scene: Path, tmp_path: Path) -> None:
    from diff4splat.viewer.live.keyframes import keyframes_json, keyframes_path

    keys = [load_field_cameras(scene).select([0]).to(dtype=torch.float32)]
    pose = keys[0].camera_to_world.clone()
    pose[0, 0, 3] += 0.4
    keys = [replace(keys[0], camera_to_world=pose), keys[0]]
    file = tmp_path / "keyframes.json"
    file.write_text(keyframes_json(keys, 3))
    path = keyframes_path(keys, 3)
    torch.testing.assert_close(load_cameras(file).camera_to_world.float(), path.camera_to_world)
    video = rendered(scene, "--trajectory", str(file), "--coordinates", "scene", "--frames", "3")
    field = load_field(scene)
    fitted = fit_cameras(path, height=32, width=32, coordinates="kept").to(dtype=field.dtype)
    film = field.render(fitted, torch.linspace(0, 1, 3)).color.clamp(0, 1)
    assert (video - film).square().mean() < 1e-3


def test_fit_keeps_the_world_on_request() -> None:
    cameras = trajectory.spiral(5, height=32, width=32)
    there = torch.eye(4)
    there[:3, 3] = torch.tensor([5.0, -3.0, 11.0])
    elsewhere = Cameras(there @ cameras.camera_to_world, cameras.intrinsics, 32, 32)
    kept = fit_cameras(elsewhere, height=16, width=16, coordinates="kept")
    assert torch.equal(kept.camera_to_world, elsewhere.camera_to_world)


def test_focus_depth_is_seen_from_a_camera() -> None:
    field, pose = wall_and_ball(), torch.eye(4)
    pose[2, 3] = -1.5
    lens = looking(frames=1).intrinsics
    camera = Cameras(pose[None], lens, 32, 32)
    assert focus_depth(field, camera) == pytest.approx(focus_depth(field) + 1.5, rel=1e-5)
