"""What a run is foreseen to need."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from diff4splat.catalog.registry import KNOWN_MODELS
from diff4splat.diffusion import CosineGuidance
from diff4splat.models import LDRM
from diff4splat.pipelines import machine
from diff4splat.pipelines.machine import available_memory, matrix_rate
from diff4splat.pipelines.preflight import RunEstimate, preflight
from diff4splat.pipelines.run_plan import plan_run

FUN = "wan2.2-fun-camera-5b"
CLIP = {"num_frames": 49, "height": 480, "width": 832}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def estimate(model: Any = FUN, **options: Any) -> RunEstimate:
    return preflight(model, **{"rate": 1e14, "device": "meta", **options})


def write_pipeline(folder: Path, **changes: Any) -> Path:
    config = {
        "format_version": 1,
        "backbone": "compact",
        **{"num_frames": 9, "height": 64, "width": 96, "num_steps": 7, **changes},
    }
    folder.mkdir(exist_ok=True)
    (folder / "pipeline_config.json").write_text(json.dumps(config))
    return folder


def test_a_known_video_model() -> None:
    run = estimate(**CLIP)
    assert run.clip == (49, 480, 832) and run.num_passes == 100
    assert [stage.name for stage in run.stages] == [
        "read the prompt",
        "encode the image",
        "denoise",
        "decode the video",
    ]
    parameters = KNOWN_MODELS[FUN].parameters
    assert run.weights["transformer"] == 2 * parameters["transformer"]
    assert run.weights["vae"] == 4 * parameters["vae"], "Wan decodes in float32"
    assert 30e9 < run.memory < 40e9 and run.download == 23_000_000_000
    assert run.fits is None and run.available is None, "no one knows what is free there"
    # 100 passes of 5.5e13 operations each, at 65 % of 1e14
    assert run.seconds == pytest.approx(100 * 5.5e13 / 0.65e14, rel=0.2)
    assert (
        preflight("alibaba-pai/Wan2.2-Fun-5B-Control-Camera", rate=1e14, device="meta", **CLIP).memory
        == run.memory
    )


def test_what_saves_memory() -> None:
    full = estimate(**CLIP)
    apart = estimate(**CLIP, offload="model")
    blocks = estimate(**CLIP, offload="group")
    stored = estimate(**CLIP, storage="float8")
    tiny = estimate(**CLIP, tiny_vae=True)
    assert blocks.memory < apart.memory < stored.memory < full.memory and tiny.memory < full.memory
    assert full.memory - stored.memory == pytest.approx(1.03 * 0.97 * 5.2458e9, rel=0.01)
    smaller = estimate(num_frames=49, height=224, width=416)
    longer = estimate(num_frames=97, height=480, width=832)
    assert smaller.memory < full.memory < longer.memory and smaller.seconds < full.seconds < longer.seconds


def test_passes_follow_the_guidance() -> None:
    assert estimate(num_steps=30, guidance=CosineGuidance(), **CLIP).num_passes == 46
    assert estimate(num_steps=30, guidance=1, **CLIP).num_passes == 30
    assert estimate(num_steps=30, guidance=5.0, **CLIP).num_passes == 60


def test_remedies_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cuda": 24_000_000_000, "cpu": 64_000_000_000}
    home = sys.modules[preflight.__module__]  # the function of the same name hides it
    monkeypatch.setattr(home, "available_memory", lambda device: free[torch.device(device).type])
    run = estimate(device="cuda", **CLIP)
    assert run.fits is False and 1 <= len(run.remedies) <= 3
    for remedy in run.remedies:
        again = estimate(device="cuda", **{**CLIP, **remedy.options})
        assert again.fits and again.memory == remedy.memory <= free["cuda"]
    free["cuda"] = 100_000_000_000
    run = estimate(device="cuda", **CLIP)
    assert run.fits and run.remedies == ()
    free["cpu"] = 10_000_000_000
    assert estimate(device="cuda", **CLIP).fits is False, "weights pass through main memory"
    free["cuda"] = 1_000_000
    assert estimate(device="cuda", **CLIP).remedies == ()


def test_a_pipeline_with_its_own_reconstruction_model(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "own")
    ldrm = LDRM(dim=32, num_layers=1, num_heads=2, num_key_value_heads=1, embed_dim=16, head_width=16)
    ldrm.save_pretrained(folder / "ldrm")
    run = preflight(folder, rate=1e11)
    assert run.clip == (9, 64, 96) and run.num_passes == 14 and run.download == 0 and run.fits
    assert run.weights["ldrm"] == pytest.approx(4 * sum(p.numel() for p in ldrm.parameters()), rel=0.01)
    assert [stage.name for stage in run.stages][-2:] == ["reconstruct", "render"]
    assert run.stages[-2].flops > 0 and run.memory > sum(run.weights.values())
    assert sum(plan_run("compact").parameters.values()) == pytest.approx(17_410_506, rel=1e-3)


def test_a_route_of_references(tmp_path: Path) -> None:
    folder = write_pipeline(
        tmp_path / "route",
        format_version=2,
        backbone={"kind": "wan-fun-camera", "repository": "alibaba-pai/Wan2.2-Fun-5B-Control-Camera"},
        reconstructor={"kind": "movies", "repository": "chenguolin/MoVieS"},
    )
    run = estimate(folder, **CLIP)
    assert run.weights["reconstructor"] == 4 * 1_041_147_254 and run.num_steps == 7
    assert [stage.name for stage in run.stages][-3:] == ["decode the video", "reconstruct", "render"]
    assert run.download == 23_000_000_000 + KNOWN_MODELS["movies"].download_bytes and run.unknown == ()


def test_a_folder_of_diffusers(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    dit = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=16,
        freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLWan(base_dim=12, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    dit.save_pretrained(tmp_path / "transformer")
    vae.save_pretrained(tmp_path / "vae")
    run = estimate(tmp_path, num_frames=9, height=64, width=96)
    assert run.weights == {"transformer": 2 * dit.num_parameters(), "vae": 4 * vae.num_parameters()}
    assert run.memory > 600_000_000 and run.download == 0


def test_what_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model 'nothing': known are compact, wan2.2"):
        preflight("nothing", rate=1e12)
    with pytest.raises(ValueError, match="what some/model needs is not known before it is downloaded"):
        preflight("some/model", rate=1e12)
    run = preflight(write_pipeline(tmp_path / "own", backbone="mine"), rate=1e12)
    assert run.unknown == ("the video model 'mine'",)
    for name in ("num_frames", "height", "width", "num_steps"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            preflight(FUN, rate=1e12, **{name: 0})


def test_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr("diff4splat.hub.modules.read_safetensors", None)
    assert estimate(**CLIP).memory > 0


def test_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = available_memory("cpu")
    assert free is None or 10_000_000 < free < 2**50
    assert available_memory("meta") is None
    assert 1e7 < matrix_rate("cpu", torch.float32) < 1e14
    monkeypatch.setattr(machine, "_system_memory", lambda: 7)
    monkeypatch.setattr(machine, "_container_memory", lambda: 5)
    assert available_memory("cpu") == 5
    monkeypatch.setattr(machine, "_container_memory", lambda: None)
    assert available_memory("cpu") == 7
