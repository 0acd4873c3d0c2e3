"""The commands beside `generate`: render, export, inspect, trajectory, models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli.shown import error_of
from pipelines.fake_parts import fake_pipeline

from diff4splat.assets import load_field, load_ply, load_video
from diff4splat.cameras import load_cameras, trajectory
from diff4splat.cli import COMMANDS, Command, main


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diff4splat.assets import save_field

    path = tmp_path_factory.mktemp("scene") / "scene.safetensors"
    image = torch.rand(3, 31, 31, generator=torch.Generator().manual_seed(0))
    field = fake_pipeline()(image, generator=torch.Generator().manual_seed(0))
    save_field(field, path, cameras=trajectory.forward(5, height=32, width=32))
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
        (["-o", "a.avi"], "--output must end in .mp4, got a.avi"),
        (["-o", "none/a.mp4"], "--output must lie in an existing folder, got none/a.mp4"),
        (["-o", "a.mp4", "--time", "1.5"], "--time must be from 0 to 1, got 1.5"),
        (["-o", "a.mp4", "--trajectory", "nowhere"], "--trajectory must be one of"),
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


def test_export(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = load_field(scene)
    for name, words, expected in (("a", [], field.canonical), ("b", ["--time", "0.75"], field.at(0.75))):
        output = tmp_path / f"{name}.ply"
        assert main(["export", str(scene), "--to", "ply", "-o", str(output), *words]) == 0
        torch.testing.assert_close(load_ply(output).means, expected.means)
    assert main(["export", str(scene), "--to", "player", "-o", str(tmp_path / "a.html")]) == 0
    assert "<html" in (tmp_path / "a.html").read_text()
    capsys.readouterr()
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
    assert main(["export", str(scene), "--to", "ply", "-o", str(tmp_path / "a.ply")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "a.ply")]) == 0
    assert str(field.num_gaussians) in capsys.readouterr().out


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

    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "path.json").read_text())

    assert main(["trajectory", str(tmp_path / "path.json"), "-o", str(tmp_path / "path.npz")]) == 0
    copied = load_cameras(tmp_path / "path.npz", height=40, width=40)
    torch.testing.assert_close(copied.camera_to_world, cameras.camera_to_world)


def test_trajectory_into_a_closed_pipe() -> None:
    command = (
        f"{sys.executable} -m diff4splat trajectory spiral --frames 3000 | head -c 5; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "compact"
    folder.mkdir()
    (folder / "pipeline_config.json").write_text(json.dumps({"num_frames": 9, "height": 128, "width": 128}))
    monkeypatch.setattr("diff4splat.hub._BUNDLED", tmp_path)
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "compact" in shown and "9 x 128 x 128" in shown and str(folder) in shown
    monkeypatch.setattr("diff4splat.hub._BUNDLED", tmp_path / "none")
    assert main(["models"]) == 0
    assert "has no model" in capsys.readouterr().out


def test_a_new_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "list-models", Command("diff4splat.cli.models:Models", "another name"))
    assert main(["--help"]) == 0
    assert "list-models" in capsys.readouterr().out
    assert main(["list-models", "--help"]) == 0
