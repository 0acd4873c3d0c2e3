"""`diff4splat picture`: each kind, its size, and what it refuses."""

from pathlib import Path

import pytest
import torch
from cli.shown import error_of
from pictures.scenes import looking, wall_and_ball
from PIL import Image

from diff4splat.assets import load_video, save_field
from diff4splat.cli import main


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    provenance = {"image": "ball.jpg", "prompt": "it flies"}
    save_field(
        wall_and_ball(), folder / "scene.safetensors", cameras=looking(frames=5), provenance=provenance
    )
    save_field(wall_and_ball(), folder / "bare.safetensors")
    return folder / "scene.safetensors"


@pytest.mark.parametrize("kind", ["overview", "sheet", "depth", "trails", "flow", "path"])
def test_each_kind(scene: Path, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / f"{kind}.png"
    width = 400 if kind in ("overview", "sheet") else 122
    assert main(["picture", str(scene), "--kind", kind, "--width", str(width), "-o", str(output)]) == 0
    with Image.open(output) as image:
        assert image.width == width
        assert '"prompt": "it flies"' in image.text["provenance"]
        assert f"{image.width}x{image.height}" in capsys.readouterr().out


def test_time_changes_depth_and_trails(scene: Path, tmp_path: Path) -> None:
    for kind in ("depth", "trails"):
        pictures = []
        for time in ("0", "1"):
            output = tmp_path / f"{kind}{time}.png"
            words = ["--kind", kind, "--time", time, "--width", "122"]
            assert main(["picture", str(scene), *words, "-o", str(output)]) == 0
            pictures.append(output.read_bytes())
        assert pictures[0] != pictures[1]


def test_a_named_path_for_a_scene_without_cameras(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, output = str(scene.with_name("bare.safetensors")), str(tmp_path / "a.webp")
    assert main(["picture", bare, "-o", output, "--width", "400"]) == 2
    assert "--trajectory must be given" in error_of(capsys)
    assert main(["picture", bare, "-o", output, "--width", "400", "--trajectory", "spiral"]) == 0
    with Image.open(output) as image:
        assert image.format == "WEBP"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a.gif"], "--output must end in .png or .jpg or .jpeg or .webp, got a.gif"),
        (["-o", "none/a.png"], "--output must lie in an existing folder, got none/a.png"),
        (["-o", "a.png", "--width", "399"], "--width must be from 400 to 4096, got 399"),
        (["-o", "a.png", "--kind", "path", "--width", "63"], "--width must be from 64 to 4096, got 63"),
        (["-o", "a.png", "--time", "0.5"], "--time is for --kind depth and trails, got --kind overview"),
        (["-o", "a.png", "--kind", "depth", "--time", "2"], "--time must be from 0 to 1, got 2"),
        (["-o", "a.png", "--kind", "poster"], "poster"),
    ],
)
def test_refuses(
    words: list[str],
    message: str,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["picture", str(scene), *words]) == 2
    assert message in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


def test_render_shows_motion(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "motion.mp4"
    words = ["--show", "motion", "--frames", "3", "--size", "44"]
    assert main(["render", str(scene), "-o", str(output), *words]) == 0
    video = load_video(output)
    assert video.shape == (3, 3, 44, 44)
    white = (video > 0.9).all(dim=1).float().mean()
    assert 0.3 < white < 0.99  # the wall rests, the ball does not
    assert torch.isfinite(video).all()
