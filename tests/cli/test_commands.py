"""The commands beside `generate`: render, export, inspect, trajectory, models."""

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from cli.shown import error_of
from pipelines.fake_parts import fake_pipeline

from diff4splat.assets import load_field, load_ply, load_video, read_field_header, save_field
from diff4splat.cameras import load_cameras, save_cameras, trajectory
from diff4splat.cli import COMMANDS, Command, main
from diff4splat.cli.options import recorded_fps


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.safetensors"
    image = torch.rand(3, 31, 31, generator=torch.Generator().manual_seed(0))
    field = fake_pipeline()(image, generator=torch.Generator().manual_seed(0))
    cameras = trajectory.forward(5, height=32, width=32)
    save_field(field, path, cameras=cameras, provenance={"image": "my photo.jpg", "fps": 10})
    return path


def test_render(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = {}
    for name, words in {
        "recorded": [],
        "spiral": ["--trajectory", "spiral"],
        "frozen": ["--time", "0.5"],
        "depth": ["--show", "depth"],
    }.items():
        output = tmp_path / f"{name}.mp4"
        assert main(["render", str(scene), "-o", str(output), "--frames", "3", "--size", "22", *words]) == 0
        videos[name] = load_video(output)
        assert videos[name].shape == (3, 3, 22, 22)
        assert str(output) in capsys.readouterr().out
    for name in ("spiral", "frozen", "depth"):
        assert (videos[name] - videos["recorded"]).abs().mean() > 0.005


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a.avi"], "--output must end in .mp4 or .webp or .gif, got a.avi"),
        (["-o", "none/a.mp4"], "--output must lie in an existing folder, got none/a.mp4"),
        (["-o", "a.mp4", "--time", "1.5"], "--time must be from 0 to 1, got 1.5"),
        (["-o", "a.mp4", "--trajectory", "nowhere"], "--trajectory must be one of"),
        (
            ["-o", "a.mp4", "--amplitude", "2"],
            "--amplitude is for a path that is given by its name, got",
        ),
        (["-o", "a.mp4", "-t", "orbit", "--amplitude", "2"], "--amplitude is for the paths spiral, forward"),
        (
            ["-o", "a.mp4", "--image-size", "8x8"],
            "--image-size is for a file of cameras, got the path",
        ),
        (["-o", "a.mp4", "--frames", "1"], "--frames must be from 2 to 10000, got 1"),
    ],
)
def test_render_refuses(
    words: list[str],
    message: str,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(scene), *words]) == 2
    assert message in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


def test_render_plays_as_the_scene_was_made(scene: Path, tmp_path: Path) -> None:
    def facts(*words: str) -> tuple[int, float]:
        assert main(["render", str(scene), "-o", str(tmp_path / "a.mp4"), "--size", "22", *words]) == 0
        with av.open(str(tmp_path / "a.mp4")) as container:
            stream = container.streams.video[0]
            return stream.frames, float(stream.average_rate or 0)

    assert facts() == (5, 10.0)
    assert facts("--trajectory", "spiral") == (5, 10.0)
    assert facts("--frames", "3", "--fps", "24") == (3, 24.0)


@pytest.mark.parametrize("fps", [None, "fast", 0, 1e9, float("inf")])
def test_a_scene_that_tells_no_sound_speed_plays_at_the_default(fps: object) -> None:
    assert recorded_fps({"fps": fps}) == recorded_fps({}) == 12.0


def test_export(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = load_field(scene)
    for name, words, expected in (("a", [], field.canonical), ("b", ["--time", "0.75"], field.at(0.75))):
        output = tmp_path / f"{name}.ply"
        assert main(["export", str(scene), "--to", "ply", "-o", str(output), *words]) == 0
        torch.testing.assert_close(load_ply(output).means, expected.means)
    assert main(["export", str(scene), "--to", "player", "-o", str(tmp_path / "a.html")]) == 0
    page = (tmp_path / "a.html").read_text()
    assert "<title>my photo</title>" in page and '"seconds": 0.5,' in page, "five frames at ten per second"
    words = ["export", str(scene), "--to", "player", "-o", str(tmp_path / "a.html"), "--seconds", "7"]
    assert main(words) == 0
    assert '"seconds": 7.0,' in (tmp_path / "a.html").read_text()
    capsys.readouterr()
    for option, value, message in (
        ("--seconds", "7", "--seconds is for --to usd, video, player, got --to ply"),
        ("--seconds", "0", "--seconds must be from 0.1 to 3600, got 0"),
        ("--time", "7", "--time must be from 0 to 1, got 7"),
    ):
        assert main(["export", str(scene), "--to", "ply", "-o", str(tmp_path / "c.ply"), option, value]) == 2
        assert message in error_of(capsys)
    assert main(["export", str(scene), "--to", "ply", "-o", str(tmp_path / "a.html")]) == 2
    assert "--output must end in .ply, got" in error_of(capsys)
    words = ["export", str(scene), "--to", "player", "-o", str(tmp_path / "b.html"), "--time", "0.5"]
    assert main(words) == 2
    assert "--time is for --to ply" in error_of(capsys)


def test_inspect(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = load_field(scene)
    assert main(["inspect", str(scene)]) == 0
    shown = capsys.readouterr().out
    assert f"count             {field.num_gaussians}\n" in shown
    for word in ("3: 0.000 0.500 1.000", "5 of 32x32 pixels", "FakeBackbone", "wxyz", "z 3.00 to 3.00"):
        assert word in shown
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "scene.safetensors").write_bytes(scene.read_bytes())
    assert main(["inspect", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == shown.splitlines()[1:], "of its scene"
    assert main(["export", str(scene), "--to", "ply", "-o", str(tmp_path / "a.ply")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "a.ply")]) == 0
    assert str(field.num_gaussians) in capsys.readouterr().out


def test_inspect_says_how_far_a_compact_scene_is_off(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(scene)]) == 0
    assert "compact" not in capsys.readouterr().out
    small = tmp_path / "small.safetensors"
    save_field(load_field(scene), small, compact=True)
    bound = read_field_header(small)["error_bound"]
    assert main(["inspect", str(small)]) == 0
    shown = capsys.readouterr().out
    assert "compact, errors at most" in shown and "encodings" not in shown
    assert f"rotation          {bound['rotation']} radians" in shown


@pytest.mark.parametrize("name", ["scene.safetensors", "scene.ply"])
@pytest.mark.parametrize("content", [None, b"", b"\x80\x04pickle", b"garbage" * 9])
def test_inspect_refuses(
    name: str, content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["inspect", str(tmp_path / name)]) == 2
    assert name in error_of(capsys)


def test_trajectory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "trajectory",
        "backward",
        "--frames",
        "3",
        "--size",
        "40",
        "--amplitude",
        "2",
        "--field-of-view",
        "90",
    ]
    assert main([*words, "--output", str(tmp_path / "path.json")]) == 0
    assert "3 cameras of 40x40 pixels" in capsys.readouterr().out
    cameras = load_cameras(tmp_path / "path.json")
    torch.testing.assert_close(cameras.positions[:, 2], torch.tensor([0.0, -1.0, -2.0]))
    assert float(cameras.intrinsics[0, 0, 0]) == pytest.approx(20.0)

    assert main([*words, "--output", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads((tmp_path / "path.json").read_text())
    assert "length       2 units" in shown.err
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("cameras      3 of 40x40 pixels, first at the identity\n")

    assert main(["trajectory", str(tmp_path / "path.json"), "-o", str(tmp_path / "path.npz")]) == 0
    copied = load_cameras(tmp_path / "path.npz", height=40, width=40)
    torch.testing.assert_close(copied.camera_to_world, cameras.camera_to_world)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "NAME must be one of spiral, forward"),
        ("spiral -o a.txt2", "--output must end in .json or .npz or .npy or .txt or .tum, got a.txt2"),
        ("spiral --focus-depth 0", "--focus-depth must be from 0.001 to 1000000, got 0"),
        ("spiral --field-of-view 0", "--field-of-view must be from 1 to 179, got 0"),
        ("spiral --frames 0", "--frames must be from 1 to 10000, got 0"),
        ("forward --focus-depth 2", "--focus-depth is for the paths spiral, orbit, got forward"),
        ("orbit --amplitude 2", "--amplitude is for the paths spiral, forward"),
        ("path.txt --size 3", "--size is for a path that is given by its name, got path.txt"),
        ("path.txt --field-of-view 60", "field_of_view_deg must be left out, for RealEstate10K files state"),
        ("path.txt --axes ned", "axes must be left out, for RealEstate10K files state it, got ned"),
        ("spiral --axes ned", "--axes is for a file of cameras, got the path spiral"),
        ("spiral --direction world-to-camera", "--direction is for a file of cameras"),
        ("spiral --distortion drop", "--distortion is for a file of cameras"),
        ("spiral --format lyra", "--format is for a path that is written, got no --output"),
        ("spiral --format lyra -o -", "--format must be json where --output is -, got lyra"),
        ("spiral --format maya -o a.json", "--format must be one of json, transforms,"),
        ("spiral --plot a.jpg", "--plot must end in .png or .svg or .pdf, got a.jpg"),
        ("spiral --plot no/a.png", "--plot must lie in an existing folder, got no/a.png"),
        (".", "holds no COLMAP model"),
        ("spiral --image-size 8x8", "--image-size is for a file of cameras, got the path spiral"),
    ],
)
def test_trajectory_refuses(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_cameras(trajectory.spiral(3, height=24, width=40), "path.txt")
    assert main(["trajectory", *words.split()]) == 2
    assert message in error_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["path.txt"]


def test_trajectory_from_a_file_without_a_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cameras = trajectory.spiral(3, height=24, width=40)
    save_cameras(cameras, tmp_path / "path.txt")
    words = ["trajectory", str(tmp_path / "path.txt"), "--output", str(tmp_path / "path.json")]
    assert main(words) == 0
    assert "path.txt does not say how large its images are; 512x512 pixels" in capsys.readouterr().err
    assert main([*words, "--image-size", "40x24"]) == 0
    assert "assumed" not in capsys.readouterr().err
    loaded = load_cameras(tmp_path / "path.json")
    assert (loaded.height, loaded.width, loaded.num_frames) == (24, 40, 3)
    torch.testing.assert_close(loaded.intrinsics, cameras.intrinsics)


def test_trajectory_through_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {
        "a.json": "json",
        "transforms.json": "transforms",
        "a.txt": "realestate10k",
        "a.npz": "npz",
        "lyra.npz": "lyra",
        "neoverse.json": "neoverse",
        "a.npy": "npy",
        "a.tum": "tum",
        "model": "colmap",
    }
    words = ["trajectory", "spiral", "--frames", "5", "--size", "32"]
    assert main([*words, "-o", str(tmp_path / "start.json")]) == 0
    expected = load_cameras(tmp_path / "start.json")
    before = "start.json"
    for name, format in names.items():  # each from the one before, so that every reader has its turn
        words = ["trajectory", str(tmp_path / before), "-o", str(tmp_path / name), "--format", format]
        sizes = (
            [] if before in ("start.json", "a.json", "transforms.json", "a.npz", "lyra.npz") else ["32x32"]
        )
        assert main([*words, *(word for size in sizes for word in ("--image-size", size))]) == 0
        before = name
    found = load_cameras(tmp_path / before)
    torch.testing.assert_close(found.camera_to_world, expected.camera_to_world, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.intrinsics, expected.intrinsics, atol=1e-4, rtol=0)
    assert "a.tum holds no lens: a field of view of 60 degrees" in capsys.readouterr().err


def test_trajectory_of_a_file_that_says_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pose_left.txt").write_text("0 0 0 0 0 0 1\n3 0 0 0 0 0 1\n4 0 0 0 0 0 1\n")
    words = ["trajectory", str(tmp_path / "pose_left.txt"), "--output", str(tmp_path / "path.json")]
    given = ["--axes", "ned", "--direction", "camera-to-world", "--field-of-view", "90"]
    assert main([*words, *given, "--image-size", "64x48", "--frames", "5", "--speed", "constant"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "length       4 units" in shown.out
    cameras = load_cameras(tmp_path / "path.json")
    torch.testing.assert_close(cameras.positions[:, 0], torch.linspace(0, 4, 5))
    assert cameras.camera_to_world[0, :3, 2].tolist() == [1, 0, 0]
    assert float(cameras.intrinsics[0, 0, 0]) == pytest.approx(32)
    assert main([*words, *given, "--image-size", "64x48", "--relative-to-first"]) == 0
    cameras = load_cameras(tmp_path / "path.json")
    torch.testing.assert_close(cameras.positions[:, 2], torch.tensor([0.0, 3, 4]))
    assert main(words) == 0
    shown = capsys.readouterr()
    for note in ("OpenCV axes", "camera-to-world matrices are assumed", "--axes ned", "field of view of 60"):
        assert note in shown.err


def test_trajectory_as_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trajectory", "orbit", "--frames", "5", "--plot", str(tmp_path / "path.png")]
    assert main(words) == 0
    assert f"picture      {tmp_path / 'path.png'}" in capsys.readouterr().out
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("diff4splat.cli.trajectory.find_spec", lambda name: None)
    assert main(words) == 2
    assert "--plot needs matplotlib: pip install 'diff4splat[plot]'" in error_of(capsys)


def test_trajectory_into_a_closed_pipe() -> None:
    words = f"{sys.executable} -m diff4splat trajectory spiral --frames 400 -o - --quiet"
    command = f"{words} | head -c 5; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_models_of_a_copy_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "compact"]) == 0
    assert "missing       nothing" in capsys.readouterr().out
    monkeypatch.setattr("diff4splat.hub.resolve._BUNDLED", tmp_path)
    assert main(["models", "compact"]) == 0
    assert "weights, which this copy of the package lacks" in capsys.readouterr().out


def test_a_new_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "list-models", Command("diff4splat.cli.models:Models", "another name"))
    assert main(["--help"]) == 0
    assert "list-models" in capsys.readouterr().out
    assert main(["list-models", "--help"]) == 0
