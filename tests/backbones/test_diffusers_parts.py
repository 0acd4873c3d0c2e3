"""Repositories of diffusers: in folders, on a Hub that is a server on this machine, mixed and damaged."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from backbones.tiny_models import clip, seed, tiny_cogvideox, tiny_wan
from hub.server import HubServer, run_client

from diff4splat.backbones import CogVideoXBackbone, PluckerAdapter, PretrainedReference, WanBackbone
from diff4splat.backbones.diffusers_parts import open_repository

pytestmark = pytest.mark.filterwarnings("ignore:.*has no camera adapter")
FLOAT32 = {"dtype": torch.float32}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders "wan" and "cogvideox"."""
    folder = tmp_path_factory.mktemp("saved")
    adapter = PluckerAdapter(24, spatial_stride=16, hidden_dim=5)
    tiny_wan(camera_adapter=adapter, negative_prompt="a dog").save_pretrained(folder / "wan")
    tiny_cogvideox().save_pretrained(folder / "cogvideox")
    return folder


@pytest.fixture
def wan(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved / "wan", tmp_path / "wan")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_saved_comes_back_and_is_read_by_diffusers_too(saved: Path) -> None:
    from diffusers import WanImageToVideoPipeline

    backbone = WanBackbone.from_pretrained(saved / "wan", **FLOAT32)
    assert backbone.reference == PretrainedReference("wan2.2-ti2v-5b", str(saved / "wan"), None)
    assert not backbone.training and not backbone.transformer.training
    assert (backbone.expand_timesteps, backbone.negative_prompt, backbone.max_prompt_tokens) == (
        True,
        "a dog",
        11,
    )
    assert isinstance(backbone.camera_adapter, PluckerAdapter)
    pipe = WanImageToVideoPipeline.from_pretrained(
        saved / "wan", image_encoder=None, image_processor=None, transformer_2=None
    )
    assert pipe.config.expand_timesteps
    for name, value in pipe.transformer.state_dict().items():
        assert torch.equal(value, backbone.transformer.state_dict()[name])


def test_types_of_the_weights(saved: Path) -> None:
    backbone = WanBackbone.from_pretrained(saved / "wan")
    # the published pipeline keeps the autoencoder in float32, and diffusers some layers of the transformer
    assert backbone.vae.dtype == torch.float32
    assert backbone.transformer.blocks[0].ffn.net[2].weight.dtype == torch.bfloat16
    assert backbone.text_encoder.dtype == torch.bfloat16
    assert backbone.generate(*clip(backbone), ["a cab"], num_steps=1).dtype == torch.float32
    half = CogVideoXBackbone.from_pretrained(saved / "cogvideox", dtype="float16")
    assert half.vae.dtype == half.transformer.dtype == torch.float16
    with pytest.raises(
        ValueError, match="dtype must be a floating-point type such as 'bfloat16', got 'int8'"
    ):
        WanBackbone.from_pretrained(saved / "wan", dtype="int8")


def test_a_smaller_storage_type_is_that_of_the_file_alone(tmp_path: Path) -> None:
    backbone = tiny_cogvideox()
    backbone.save_pretrained(tmp_path, dtype=torch.float16)
    assert backbone.transformer.dtype == torch.float32
    loaded = CogVideoXBackbone.from_pretrained(tmp_path, **FLOAT32)
    expected = backbone.transformer.proj_out.weight.half().float()
    assert torch.equal(loaded.transformer.proj_out.weight, expected)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def pickle_only(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )


def without_text(folder: Path) -> None:
    edit(folder / "model_index.json", text_encoder=[None, None])


def cut(folder: Path) -> None:
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def missing_shard(folder: Path) -> None:
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "transformer" / "part-1.safetensors")
    shards = {"metadata": {}, "weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(shards))


def other_vae(folder: Path) -> None:
    edit(folder / "vae" / "config.json", _class_name="AutoencoderKLCogVideoX")


def other_text(folder: Path) -> None:
    edit(folder / "text_encoder" / "config.json", model_type="t5")


def more_layers(folder: Path) -> None:
    edit(folder / "transformer" / "config.json", num_layers=3)


def fewer_layers(folder: Path) -> None:
    edit(folder / "transformer" / "config.json", num_layers=1)


def wider(folder: Path) -> None:
    edit(folder / "transformer" / "config.json", ffn_dim=64)


def no_json(folder: Path) -> None:
    (folder / "vae" / "config.json").write_text("{")


def text_to_video(folder: Path) -> None:
    edit(folder / "model_index.json", expand_timesteps=False)
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()  # not even asked for


def unknown_option(folder: Path) -> None:
    edit(folder / "model_index.json", _diff4splat={"colour": "red"})


def unknown_scheduler(folder: Path) -> None:
    edit(folder / "model_index.json", scheduler=["diffusers", "TomorrowsScheduler"])


FAULTS = {
    "no index": (remove("model_index.json"), FileNotFoundError, "has no model_index.json: give .* Hub id"),
    "no text encoder": (
        without_text,
        FileNotFoundError,
        "lists no text_encoder, .* fetch the whole pipeline",
    ),
    "no vae config": (
        remove("vae/config.json"),
        FileNotFoundError,
        r"config.json is missing, .* fetch it again",
    ),
    "no weights": (
        remove("vae/diffusion_pytorch_model.safetensors"),
        FileNotFoundError,
        "holds no safetensors file: fetch it again",
    ),
    "pickle": (pickle_only, ValueError, r"as pickle only \(diffusion_pytorch_model.bin\), .* convert it"),
    "cut file": (cut, ValueError, "does not load as WanTransformer3DModel, .*: fetch it again"),
    "cut download": (
        missing_shard,
        FileNotFoundError,
        "lacks 1 of 2 files .* part-2.safetensors: .* fetch it",
    ),
    "other vae": (
        other_vae,
        ValueError,
        "describes AutoencoderKLCogVideoX, expected AutoencoderKLWan: .* mixed",
    ),
    "other text": (
        other_text,
        ValueError,
        "describes t5, expected umt5: .* take each part from the same one",
    ),
    "more layers": (more_layers, ValueError, r"not those of its config.json \(missing blocks.2.* take both"),
    "fewer layers": (
        fewer_layers,
        ValueError,
        r"not those of its config.json \(unexpected blocks.1.*take both",
    ),
    "wider": (wider, ValueError, "does not load as WanTransformer3DModel, .*: fetch it again"),
    "no json": (no_json, ValueError, "config.json is not valid JSON .* fetch it again"),
    "text to video": (text_to_video, ValueError, "must take 14 channels .*, got 5: it is no image-to-video"),
    "unknown option": (unknown_option, ValueError, "model_index.json' do not build WanBackbone|do not build"),
    "unknown scheduler": (
        unknown_scheduler,
        ValueError,
        "has no TomorrowsScheduler, .* pip install --upgrade",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_or_mixed_repository_ends_in_one_sentence(wan: Path, fault: str) -> None:
    damage, kind, words = FAULTS[fault]
    damage(wan)
    with pytest.raises(kind, match=words) as caught:
        WanBackbone.from_pretrained(wan, **FLOAT32)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_a_repository_of_another_model_names_its_backbone(saved: Path, wan: Path) -> None:
    with pytest.raises(ValueError, match="holds CogVideoXImageToVideoPipeline, .* as backbone 'cogvideox'"):
        WanBackbone.from_pretrained(saved / "cogvideox")
    with pytest.raises(ValueError, match="holds WanImageToVideoPipeline, .* load it as backbone 'wan2.1'"):
        CogVideoXBackbone.from_pretrained(saved / "wan")
    edit(wan / "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(ValueError, match="holds FluxPipeline, .*, and no backbone here reads it"):
        WanBackbone.from_pretrained(wan)


def test_the_negative_prompt_is_given_saved_or_kept(saved: Path) -> None:
    as_saved = WanBackbone.from_pretrained(saved / "wan")
    assert (as_saved.negative_prompt, as_saved.reference.options) == ("a dog", {})
    given = WanBackbone.from_pretrained(saved / "wan", negative_prompt="a cat")
    assert (given.negative_prompt, given.reference.options) == ("a cat", {"negative_prompt": "a cat"})
    given.attach(None)
    assert given.negative_prompt == "a cat"


def test_an_adapter_for_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    PluckerAdapter(32, hidden_dim=5, base="CogVideoX").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"made for this video model .*, got one for .*\(CogVideoX\)"):
        WanBackbone.from_pretrained(saved / "wan", camera_adapter=tmp_path)


CLIENT = """
from diff4splat.backbones import WanBackbone
from diff4splat.backbones.diffusers_parts import open_repository

def find(name, **options):
    found = open_repository(name, WanBackbone.parts, pipelines=WanBackbone.pipelines, **options)
    return f"{found.commit} {len(found.present)}"
"""


@pytest.fixture
def server(wan: Path) -> HubServer:
    hub = HubServer()
    (wan / "transformer" / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (wan / "assets").mkdir()
    (wan / "assets" / "film.json").write_text("{}")
    hub.add("org/wan", wan)
    return hub


def test_a_repository_on_the_hub(server: HubServer, wan: Path, tmp_path: Path) -> None:
    commit = server.commit("org/wan", "main")
    code = (
        CLIENT
        + """
from diff4splat.backbones import PretrainedReference
attempt("folder", find, sys.argv[1])
attempt("main", find, "org/wan")
attempt("pinned", find, "org/wan", revision=sys.argv[2])
report["heavy"] = "diffusers" in sys.modules or "transformers" in sys.modules
import torch
backbone = WanBackbone.from_pretrained("org/wan", revision=sys.argv[2])
report["reference"] = [backbone.reference.kind, backbone.reference.repository, backbone.reference.revision]
report["adapter"] = type(backbone.camera_adapter).__name__
attempt("again", lambda: WanBackbone.from_pretrained(sys.argv[1]).reference.revision)
"""
    )
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home", str(wan), commit)
    assert report["folder"] == {"value": "None 5"}
    assert report["main"] == report["pinned"] == {"value": f"{commit} 5"}
    assert not report["heavy"], "finding and checking needs none of them"
    assert report["reference"] == ["wan2.2-ti2v-5b", "org/wan", commit]
    assert (report["adapter"], report["again"]) == ("PluckerAdapter", {"value": "None"})
    # the folder asked nothing, "main" came first; commit, model and the folder again asked nothing either
    assert server.requests[0] == "GET /api/models/org/wan/revision/main"
    assert sum("revision/main" in request for request in server.requests) == 1
    downloads = [request for request in server.requests if request.startswith("GET") and "resolve" in request]
    weights = [number for number, request in enumerate(downloads) if "safetensors" in request]
    assert min(weights) == len(downloads) - len(weights), "weights came last"
    assert len(downloads) == len(set(downloads)), "each file was fetched once"
    assert not any(".bin" in request or "film" in request for request in downloads)


def test_what_the_hub_refuses_ends_in_one_sentence_that_says_what_to_do(
    server: HubServer, tmp_path: Path
) -> None:
    server.repositories["org/gated"] = server.repositories["org/wan"]
    server.gated.add("org/gated")
    server.token = "hf_right"
    code = (
        CLIENT
        + """
import os
for name, options in json.loads(sys.argv[1]).items():
    os.environ["HF_TOKEN"] = options.pop("token", "hf_right")
    attempt(name, find, options.pop("name"), **options)
"""
    )
    commit = server.commit("org/wan", "main")
    asked = {
        "gated": {"name": "org/gated"},
        "unknown": {"name": "org/nothing"},
        "no revision": {"name": "org/wan", "revision": "v9"},
        "not cached": {"name": "org/wan", "local_files_only": True},
        "not cached commit": {"name": "org/wan", "local_files_only": True, "revision": commit},
        "no id": {"name": "wan"},
        "wrong token": {"name": "org/wan", "token": "hf_wrong"},
        "right token": {"name": "org/wan"},
    }
    alone = json.dumps({"reading": {"name": "org/wan"}})
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home", json.dumps(asked))
        offline = run_client(code, address, tmp_path / "empty", alone, HF_HUB_OFFLINE="1")
    unplugged = run_client(code, address, tmp_path / "empty", alone)  # the server is gone
    assert report["right token"]["value"].startswith(commit)
    expected = {
        "gated": "it is gated; accept its terms at http.*/org/gated and log in with `hf auth login`",
        "unknown": "there is no http.*/org/nothing, or it is private; check the name",
        "no revision": "it has no revision 'v9'; see http.*/org/wan/commits",
        "not cached": "the Hub cache did not give it: it is not in the cache.*fetch it once with network",
        "not cached commit": "the Hub cache did not give it: it is not in the cache",
        "no id": "it is not a Hub id of the form owner/name",
        "offline": "it is not in the cache, or not whole; fetch it once with network",
        "wrong token": "it refused the token; log in again with `hf auth login`, or correct or unset",
        "unplugged": "the connection failed or broke off; try again",
    }
    report |= {"offline": offline["reading"], "unplugged": unplugged["reading"]}
    for name, words in expected.items():
        assert report[name].get("error") == "FileNotFoundError", (name, report[name])
        message = report[name]["message"]
        assert re.search(words, message), (name, message)
        assert "\n" not in message


def test_a_download_that_breaks_off_is_said_and_goes_on_next_time(server: HubServer, tmp_path: Path) -> None:
    code = CLIENT + 'attempt("first", find, "org/wan")\nattempt("second", find, "org/wan")\n'
    weights = "transformer/diffusion_pytorch_model.safetensors"
    server.cut.add(weights)
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home")
    first = report["first"]
    # the client may try again by itself; if it gives up, the error says what to do
    assert "value" in first or "broke off; try again, what came so far is kept" in first["message"], first
    assert report["second"]["value"].endswith(" 5")


def test_a_folder_asks_nobody(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "socket", lambda *args, **options: pytest.fail("the network was touched"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    backbone = CogVideoXBackbone.from_pretrained(saved / "cogvideox", **FLOAT32)
    backbone.generate(*clip(backbone), ["a cab"], num_steps=1, generator=seed())
    assert open_repository(
        saved / "cogvideox", CogVideoXBackbone.parts, pipelines=CogVideoXBackbone.pipelines
    ).present == {part.name for part in CogVideoXBackbone.parts}
