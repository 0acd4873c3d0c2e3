"""What is said about memory: before a run, and after one that ended for want of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.shown import error_of
from safetensors.torch import save_file

from diff4splat.cli import main
from diff4splat.cli.errors import is_out_of_memory, missing_memory
from diff4splat.cli.forecast import check_forecast, memory_advice
from diff4splat.hub import resolve_pretrained
from diff4splat.pipelines.preflight import preflight

FUN = "wan2.2-fun-camera-5b"


@dataclass
class Saving:
    """A command with all options."""

    force: bool = False
    offload: str | None = None
    storage_8bit: bool = False
    tiny_vae: bool = False
    clip: str | None = None


@dataclass
class Plain:
    """A command with none of them."""

    force: bool = False


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    home = sys.modules[preflight.__module__]
    monkeypatch.setattr(home, "available_memory", lambda device: 32_000_000_000)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_what_cannot_fit_is_refused_with_what_helps(little: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    device = torch.device("cpu")
    sizes = {"num_frames": 49, "height": 480, "width": 832, "rate": 1e12}
    with pytest.raises(
        ValueError, match="--model needs about 3[0-9.]+ GB of memory on cpu, where 32.00 GB"
    ) as caught:
        check_forecast(Saving(), FUN, device, **sizes)
    assert "it fits with --tiny-vae (" in str(caught.value) and "--force" in str(caught.value)
    assert "49 frames of 832x480: about" in caplog.text and "100 passes in 50 steps" in caplog.text
    assert "23.00 GB to download first" in caplog.text
    check_forecast(Saving(force=True), FUN, device, **sizes)
    check_forecast(Saving(tiny_vae=True), FUN, device, **sizes)
    with pytest.raises(ValueError) as caught:
        check_forecast(Plain(), FUN, device, **sizes)
    assert "--tiny-vae" not in str(caught.value), "an option that the command does not have"


def test_a_given_video_is_not_generated(little: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    route = "wan2.2-fun-5b-movies"
    estimate = preflight(route, given_frames=17, rate=1e12)
    assert [stage.name for stage in estimate.stages] == ["reconstruct", "render"]
    assert (estimate.clip[0], estimate.num_passes, estimate.num_steps) == (17, 0, 0)
    assert estimate.weights == preflight(route, rate=1e12).weights, "everything is loaded all the same"
    sizes = {"given_frames": 17, "size": 4096, "frames": 400, "rate": 1e12}
    with pytest.raises(ValueError, match="--force tries it all the same"):
        check_forecast(Saving(), route, torch.device("cpu"), **sizes)
    assert "passes" not in caplog.text and "GB to download first" in caplog.text
    check_forecast(Saving(force=True), route, torch.device("cpu"), **sizes)
    with pytest.raises(ValueError, match="given_frames must be at least 1, got 0"):
        preflight(route, given_frames=0, rate=1e12)
    small = preflight("compact", given_frames=5, rate=1e12)
    assert [stage.name for stage in small.stages] == ["encode the video", "reconstruct", "render"]


def test_the_videos_that_are_written_count(little: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    check_forecast(Saving(force=True), "wan2.2-fun-5b-movies", torch.device("cpu"), rate=1e12)
    assert "'render'" not in caplog.text
    large = {"frames": 400, "size": 4096}
    check_forecast(Saving(force=True), "wan2.2-fun-5b-movies", torch.device("cpu"), **large, rate=1e12)
    assert "'render' 15" in caplog.text, "400 x 2363 x 4096 pixels, ten values of four bytes"


def test_what_comes_with_the_package_needs_no_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    check_forecast(Saving(), "compact", torch.device("cpu"))
    assert caplog.text == ""
    check_forecast(Saving(), "some/model", torch.device("cpu"), rate=1e12)
    assert "no estimate of memory and time: what some/model needs is not known" in caplog.text


def test_a_route_of_unknown_parts_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    config = {"format_version": 2, "backbone": {"kind": "video", "repository": "./encoder"}}
    config |= {"num_frames": 5, "height": 16, "width": 16}
    (tmp_path / "pipeline_config.json").write_text(json.dumps(config))
    check_forecast(Saving(), str(tmp_path), torch.device("cpu"), rate=1e12)
    assert "no estimate of memory and time: nothing is known about what" in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"),
            " on the GPU, 2.00 GiB",
        ),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), " on the GPU"),
        (MemoryError(), ""),
        (OSError(12, "Cannot allocate memory"), ""),
    ],
)
def test_errors_of_memory(error: Exception, words: str) -> None:
    assert is_out_of_memory(error)
    assert missing_memory(error).startswith(f"out of memory{words}")


def test_advice_names_options_that_exist() -> None:
    assert memory_advice(Saving()) == "try --offload, --storage-8bit, --tiny-vae or a smaller --clip"
    assert memory_advice(None) == "try a smaller input"


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    for word in ("compact", "nothing", FUN, "Apache-2.0", "cogvideox-5b-i2v", "movies", "taew2_2"):
        assert word in shown
    assert max(len(line) for line in shown.splitlines() if "newer" not in line and "--" not in line) <= 100
    assert main(["models", FUN]) == 0
    shown = capsys.readouterr().out
    assert "https://huggingface.co/alibaba-pai/Wan2.2-Fun-5B-Control-Camera" in shown and "23.00 GB" in shown
    assert main(["models", "nothing"]) == 2
    assert "NAME must be one of compact, " in error_of(capsys)


def test_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "movies", "--json"]) == 0
    facts: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert facts[0]["name"] == "movies" and facts[0]["num_parameters"] == 1_041_147_254
    assert "non-commercial" in facts[0]["licence"] and facts[0]["missing"]


def test_inspect_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(resolve_pretrained("compact"))]) == 0
    shown = capsys.readouterr().out
    assert "pipeline of diff4splat, backbone compact" in shown and "LDRM of diff4splat" in shown
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2, 3)}, path)
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "unknown weights" in shown and "6 in 1 tensors" in shown and "F32 100 %" in shown
    (tmp_path / "pickle.pth").write_bytes(b"PK\x03\x04" + bytes(40))
    assert main(["inspect", str(tmp_path / "pickle.pth")]) == 2
    assert "is a pickle (torch.save), which can run code" in error_of(capsys)
