"""A whole pipeline put on a Hub, which is a server on this machine, and loaded from it."""

from pathlib import Path

from hub.server import HubServer, run_client
from pipelines.test_image_to_4d import tiny_pipeline

CODE = """
import torch
from pipelines.test_image_to_4d import tiny_pipeline
from diff4splat import LDRM, Diff4SplatPipeline
from diff4splat.backbones.compact import CompactBackbone

def largest_change(loaded, module):
    pairs = zip(loaded.state_dict().values(), module.state_dict().values(), strict=True)
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)

def pipeline(**options):
    loaded = Diff4SplatPipeline.from_pretrained("me/tiny", **options)
    kept = (loaded.num_frames, loaded.guidance) == (pipe.num_frames, pipe.guidance)
    parts = ((loaded.backbone, first.backbone), (loaded.ldrm, first.ldrm))
    return max(largest_change(*pair) for pair in parts) if kept else "settings differ"

first, pipe = tiny_pipeline(), tiny_pipeline()
attempt("first", pipe.push_to_hub, "me/tiny")
with torch.no_grad():
    next(pipe.ldrm.parameters()).add_(2)
attempt("second", pipe.push_to_hub, "me/tiny")
commit = report["first"].get("value")
attempt("offline miss", pipeline, revision=commit, local_files_only=True)
attempt("pinned", pipeline, revision=commit)
attempt("offline", pipeline, revision=commit, local_files_only=True)
attempt("newest", pipeline)
attempt("rounded", pipe.push_to_hub, "me/half", dtype=torch.float16, private=True)

pinned, ldrm, load = {"revision": commit}, LDRM.from_pretrained, CompactBackbone.from_pretrained
attempt("part", lambda: largest_change(ldrm("me/tiny", subfolder="ldrm", **pinned), first.ldrm))
attempt("folder", lambda: largest_change(load("me/tiny", subfolder="backbone", **pinned), first.backbone))
attempt("backbone", first.backbone.push_to_hub, "me/video")
attempt("whole", lambda: largest_change(load("me/video"), first.backbone))
"""


def test_a_pushed_pipeline_is_loaded_by_its_commit(tmp_path: Path) -> None:
    server = HubServer()
    with server.running() as address:
        report = run_client(CODE, address, tmp_path / "home")
    values = {name: result.get("value", result.get("message")) for name, result in report.items()}
    for name in ("pinned", "offline", "part", "folder", "whole"):
        assert values[name] == "0.0", name
    assert abs(float(values["newest"]) - 2) < 1e-6
    assert values["first"] != values["second"] == server.commit("me/tiny", "main")
    assert report["offline miss"]["error"] == "FileNotFoundError"
    pushed = server.repositories["me/tiny"]["main"]
    files = ("config.json", "model.safetensors")
    parts = {f"{part}/{file}" for part in ("backbone/vae", "backbone/dit", "ldrm") for file in files}
    assert set(pushed) == {"pipeline_config.json", "backbone/config.json"} | parts
    half = server.repositories["me/half"]["main"]
    assert sum(map(len, half.values())) < 0.7 * sum(map(len, pushed.values()))


def test_damaged_pipelines_on_the_hub_are_refused(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "model")
    server = HubServer()
    for name in ("cut", "torn", "swapped", "lacking"):
        server.add(f"me/{name}", tmp_path / "model")
    weights = "backbone/vae/model.safetensors"
    torn, swapped, lacking = (
        server.repositories[f"me/{name}"]["main"] for name in ("torn", "swapped", "lacking")
    )
    torn[weights] = torn[weights][:-1]
    swapped[weights] = swapped[weights][:-1] + bytes([swapped[weights][-1] ^ 1])
    del lacking[weights]
    server.add("me/video", tmp_path / "model")
    del server.repositories["me/video"]["main"]["pipeline_config.json"]
    server.cut.add(weights)
    code = """
from diff4splat import Diff4SplatPipeline
for name in ("video", "cut", "cut", "torn", "swapped", "lacking"):
    attempt(name + " again" * (name in report), Diff4SplatPipeline.from_pretrained, f"me/{name}")
"""
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home")
    assert "a pipeline must hold pipeline_config.json" in report["video"]["message"]
    assert not any("me/video/resolve" in request for request in server.requests), "nothing is downloaded"
    assert report["cut"].get("error", "FileNotFoundError") == "FileNotFoundError"
    assert "value" in report["cut again"], "a download that broke off is made good"
    for name in ("torn", "swapped"):
        assert report[name]["error"] == "ValueError" and "its SHA-256 differs" in report[name]["message"]
    assert report["lacking"]["error"] == "FileNotFoundError" and weights in report["lacking"]["message"]
