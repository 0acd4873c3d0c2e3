"""Marks on the command line: the videos of scenes carry one, and `detect-watermark` finds it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from assets.certificates import write_chain
from cli.shown import error_of
from PIL import Image
from pipelines.fake_parts import fake_pipeline

from diff4splat.assets import load_field, read_credentials, save_field, scene_payload
from diff4splat.cameras import trajectory
from diff4splat.cli import main
from diff4splat.pipelines import Diff4SplatPipeline


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFF4SPLAT_WATERMARK_KEY", raising=False)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.safetensors"
    image = torch.rand(3, 31, 31, generator=torch.Generator().manual_seed(0))
    field = fake_pipeline()(image, generator=torch.Generator().manual_seed(0))
    save_field(field, path, cameras=trajectory.forward(5, height=32, width=32), provenance={"fps": 10})
    return path


@pytest.fixture
def render(scene: Path, tmp_path: Path) -> Any:
    def run(*words: str, name: str = "video.mp4") -> Path:
        output = tmp_path / name
        assert main(["render", str(scene), "-o", str(output), "--frames", "2", "--size", "320", *words]) == 0
        return output

    return run


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `detect-watermark --json` prints."""
    capsys.readouterr()
    assert main(["detect-watermark", *words, "--fast", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_rendered_videos_are_marked_and_say_so(render, scene, capsys):
    video = render()
    assert "video.mp4 is marked as generated, by an invisible watermark with the public key" in (
        capsys.readouterr().out
    )
    found = answer(capsys, str(video), "--scene", str(scene))
    assert (found["verdict"], found["key"], found["frames"]) == ("marked", "public", 2)
    assert found["payload"] == scene_payload(load_field(scene)) and found["of_scene"] is True
    assert found["p_value"] <= found["false_positive_rate"] == 1e-6


def test_words_and_the_rate_are_printed(render, scene, capsys):
    video = render()
    capsys.readouterr()
    assert main(["detect-watermark", str(video), "--scene", str(scene)]) == 0
    shown = capsys.readouterr().out
    assert f"{video}: marked as generated" in shown and "false positive rate  1e-06 at most" in shown
    assert f"number of the scene  {scene_payload(load_field(scene)):08x}" in shown
    assert "made from the scene  yes" in shown and "since it was marked" not in shown
    assert main(["detect-watermark", str(video), "--key", "another", "--fast"]) == 0
    assert "not marked with this key, or no longer" in capsys.readouterr().out


def test_no_watermark_and_depth(render, capsys):
    plain = render("--no-watermark", name="plain.mp4")
    assert "plain.mp4 is not marked as generated, as --no-watermark asks." in capsys.readouterr().out
    depth = render("--show", "depth", name="depth.mp4")
    assert "Depth carries no watermark." in capsys.readouterr().out
    for video in (plain, depth):
        assert answer(capsys, str(video))["verdict"] != "marked"


def test_a_key_of_ones_own(render, capsys, monkeypatch):
    video = render("--watermark-key", "sesame")
    assert "with your key" in capsys.readouterr().out
    assert answer(capsys, str(video))["verdict"] != "marked"
    assert answer(capsys, str(video), "--key", "sesame")["verdict"] == "marked"
    monkeypatch.setenv("DIFF4SPLAT_WATERMARK_KEY", "sesame")
    assert answer(capsys, str(video))["key"] == "yours"
    assert answer(capsys, str(render(name="other.mp4")), "--key", "sesame")["verdict"] == "marked"


def test_pictures_and_folders(render, tmp_path, capsys):
    from diff4splat.assets import load_video

    frames = load_video(render())
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(frames):
        pixels = (255 * frame).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{index}.png")
    Image.fromarray(pixels).save(tmp_path / "last.webp", quality=90)
    Image.fromarray(pixels).save(tmp_path / "last.jpg", quality=90)
    for name, count in (("frames", 2), ("frames/0.png", 1), ("last.webp", 1), ("last.jpg", 1)):
        found = answer(capsys, str(tmp_path / name))
        assert (found["verdict"], found["frames"]) == ("marked", count)


def test_too_little_to_tell(tmp_path, capsys):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "small.png")
    assert answer(capsys, str(tmp_path / "small.png"))["verdict"] == "cannot tell"
    assert main(["detect-watermark", str(tmp_path / "small.png"), "--fast"]) == 0
    assert "cannot tell: too small or too flat" in capsys.readouterr().out


def test_both_videos_of_generate_are_marked_and_signed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", lambda name: fake_pipeline())
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 43, 3), dtype=np.uint8)).save(photo)
    signer = write_chain(tmp_path)
    words = ["--frames", "2", "--size", "320", "--certificate", str(signer["certificate"])]
    words += ["--private-key", str(signer["private_key"])]
    assert main(["generate", str(photo), "--output", str(out), *words]) == 0
    shown = capsys.readouterr().out
    assert "video.mp4 and novel_view.mp4 are marked as generated" in shown
    assert "Content credentials are signed into the videos." in shown
    for name in ("video.mp4", "novel_view.mp4", "depth.mp4"):
        assert read_credentials(out / name)["validation_state"] == "Valid"
    for name in ("video.mp4", "novel_view.mp4"):
        found = answer(capsys, str(out / name), "--scene", str(out / "scene.safetensors"))
        assert found["verdict"] == "marked" and found["of_scene"] in (True, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--no-watermark", "--watermark-key", "k"],
            "--watermark-key is for a watermark, got --no-watermark",
        ),
        (["--certificate", "a.pem"], "--certificate and --private-key go together, got --certificate alone"),
        (
            ["--certificate", "a.pem", "--private-key", "b.pem"],
            "--certificate and --private-key cannot be used: No such file or directory: a.pem",
        ),
    ],
)
def test_flags_that_do_not_work(scene, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(scene), "-o", "a.mp4", *words]) == 2
    assert message in error_of(capsys)
    assert not (tmp_path / "a.mp4").exists()


def test_files_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "note.mp4").write_text("no video")
    for name, message in (("note.mp4", "note.mp4 is not a readable video"), ("none.mp4", "none.mp4")):
        assert main(["detect-watermark", str(tmp_path / name)]) == 2
        assert message in error_of(capsys)
    assert main(["detect-watermark", str(tmp_path / "note.mp4"), "--false-positive-rate", "0.5"]) == 2
    assert "--false-positive-rate must be from" in error_of(capsys)
