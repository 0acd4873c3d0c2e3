"""`diff4splat reconstruct`: a video and its cameras to the seven files; and videos that are not square."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch
from cli.shown import error_of
from PIL import Image
from pipelines.fake_parts import FakeBackbone, FakeReconstructor, fake_pipeline

from diff4splat.assets import (
    load_field,
    load_field_cameras,
    load_video,
    read_field_header,
    save_field,
    save_video,
)
from diff4splat.cameras import save_cameras, trajectory
from diff4splat.cli import GENERATED_FILES, main
from diff4splat.pipelines import Diff4SplatPipeline


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Diff4SplatPipeline]:
    """Pipelines of fake parts in place of loaded ones; the wide one is called "wide"."""
    made: list[Diff4SplatPipeline] = []

    def load(name: str) -> Diff4SplatPipeline:
        wide = Diff4SplatPipeline(FakeBackbone(), FakeReconstructor(), num_frames=5, height=16, width=40)
        made.append(wide if name == "wide" else fake_pipeline())
        return made[-1]

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", load)
    return made


@pytest.fixture
def video(tmp_path: Path) -> Path:
    frames = torch.linspace(0.2, 0.8, 11)[:, None, None, None].repeat(1, 3, 34, 46)
    save_video(frames, tmp_path / "my clip.mp4", fps=10)
    return tmp_path / "my clip.mp4"


def test_seven_files_from_a_video_and_its_cameras(
    video: Path, loaded: list[Diff4SplatPipeline], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = trajectory.orbit(11, height=34, width=46)
    save_cameras(given, tmp_path / "path.json")
    words = ["--cameras", str(tmp_path / "path.json"), "-o", str(tmp_path / "out"), "--size", "22"]
    assert main(["reconstruct", str(video), *words]) == 0
    shown = capsys.readouterr()
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(GENERATED_FILES)
    assert all(str(tmp_path / "out" / name) in shown.out for name in GENERATED_FILES)
    assert "5 of the 11 frames are used, spread evenly" in shown.err
    (pipe,) = loaded
    taken = pipe.ldrm.calls[0]["cameras"].camera_to_world[0]
    kept = [0, 3, 5, 8, 10]
    torch.testing.assert_close(taken, given.camera_to_world[kept], rtol=0, atol=2e-6)
    greys = pipe.backbone.calls[0]["video"][0, :, 0, 0, 0]
    torch.testing.assert_close(greys, torch.linspace(0.2, 0.8, 11)[kept], rtol=0, atol=0.03)
    scene = tmp_path / "out" / "scene.safetensors"
    recorded = load_field_cameras(scene)
    assert recorded is not None
    torch.testing.assert_close(recorded.camera_to_world, given.camera_to_world, rtol=0, atol=2e-6)
    provenance = read_field_header(scene)["provenance"]
    assert datetime.fromisoformat(provenance["created"]).utcoffset() == timedelta(0)
    assert (provenance["video"], provenance["trajectory"], provenance["fps"]) == (
        "my clip.mp4",
        "path.json",
        10,
    )
    assert load_video(tmp_path / "out" / "video.mp4").shape == (11, 3, 22, 22)
    assert load_field(scene).metadata["num_frames"] == 5


def test_a_scene_lends_its_cameras(
    video: Path, loaded: list[Diff4SplatPipeline], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reconstruct", str(video), "--size", "22"]
    assert main([*words, "-c", "orbit", "-o", str(tmp_path / "out")]) == 0
    scene = tmp_path / "out" / "scene.safetensors"
    assert main([*words, "-c", str(scene), "-o", str(tmp_path / "again")]) == 0
    first, second = (pipe.ldrm.calls[0]["cameras"].camera_to_world for pipe in loaded)
    torch.testing.assert_close(second, first, rtol=0, atol=2e-6)
    bare = tmp_path / "bare.safetensors"
    save_field(load_field(scene), bare)
    assert main([*words, "-c", str(bare), "-o", str(tmp_path / "again")]) == 2
    assert "was saved without cameras" in capsys.readouterr().err


def test_a_named_path_a_folder_and_a_model_of_another_shape(
    loaded: list[Diff4SplatPipeline], tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(7):
        Image.new("RGB", (46, 34), (30 * index,) * 3).save(folder / f"{index}.png")
    words = ["reconstruct", str(folder), "-c", "forward", "--amplitude", "0.5", "-m", "wide", "--frames", "3"]
    for size, shape in (([], (16, 40)), (["--size", "20"], (8, 20))):
        assert main([*words, *size, "-o", str(tmp_path / "out")]) == 0
        assert load_video(tmp_path / "out" / "video.mp4").shape == (3, 3, *shape)
    taken = loaded[0].ldrm.calls[0]["cameras"]
    torch.testing.assert_close(
        taken.camera_to_world[0, :, 2, 3], 0.5 * torch.tensor([0, 2, 3, 5, 6]) / 6, rtol=0, atol=1e-6
    )
    expected = trajectory.forward(2, height=16, width=40).intrinsics[0]
    torch.testing.assert_close(taken.intrinsics[0, 0], expected, rtol=1e-3, atol=0)  # whole pixels are cut
    assert read_field_header(tmp_path / "out" / "scene.safetensors")["provenance"]["fps"] == 12


def test_generate_takes_the_shape_of_the_model(loaded: list[Diff4SplatPipeline], tmp_path: Path) -> None:
    Image.new("RGB", (46, 34)).save(tmp_path / "photo.png")
    words = ["generate", str(tmp_path / "photo.png"), "-m", "wide", "--frames", "3", "-t", "forward"]
    for size, shape in (([], (16, 40)), (["--size", "60"], (24, 60))):
        assert main([*words, *size, "-o", str(tmp_path / "out")]) == 0
        assert load_video(tmp_path / "out" / "video.mp4").shape == (3, 3, *shape)
    cameras = load_field_cameras(tmp_path / "out" / "scene.safetensors")
    assert cameras is not None and (cameras.height, cameras.width) == (24, 60)
    expected = trajectory.forward(3, height=24, width=60)
    torch.testing.assert_close(cameras.intrinsics, expected.intrinsics, rtol=1e-3, atol=0)
    assert loaded[1].ldrm.calls[0]["image"].shape[-2:] == (18, 45), "as fine as the photograph is"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.mp4", "-c", "forward"], "no such file or folder: none.mp4"),
        (["text.mp4", "-c", "forward"], "text.mp4 is not a readable video"),
        (["one", "-c", "forward"], "VIDEO must have at least 2 frames, got 1: one"),
        (["few", "-c", "forward"], "VIDEO must have at least 5 frames for this model, got 3"),
        (["few"], "--cameras must be given"),
        (["text.mp4", "-c", "forward"], "video: Invalid data found when processing input"),
        (["torn", "-c", "forward"], "VIDEO must be pictures that can all be read: image must be"),
        (["few", "-c", "sideways"], "--cameras must be one of spiral, forward"),
        (["few", "-c", "text.json"], "text.json"),
        (["few", "-c", "orbit", "--amplitude", "2"], "--amplitude is for the paths spiral, forward"),
        (["few", "-c", "orbit", "--image-size", "9x9"], "--image-size is for a file of cameras"),
        (["few", "-c", "orbit", "--frames", "1"], "--frames must be from 2 to 10000, got 1"),
    ],
)
def test_refused(
    words: list[str],
    message: str,
    loaded: list[Diff4SplatPipeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("text.mp4", "text.json"):
        Path(name).write_text("hello")
    for folder, count in (("one", 1), ("few", 3), ("torn", 5)):
        Path(folder).mkdir()
        for index in range(count):
            Image.new("RGB", (32, 32)).save(Path(folder) / f"{index}.png")
    Path("torn", "2.png").write_bytes(b"hello")
    assert main(["reconstruct", *words, "-o", "out"]) == 2
    assert message in error_of(capsys)
    assert not Path("out").exists()
