"""Weights are known by their names and shapes, as the real classes have them."""

import json
import time
from pathlib import Path

import pytest
import torch
from catalog.published import PUBLISHED, without_values
from safetensors.torch import save_file

from diff4splat.backbones import PluckerAdapter, PluckerConcatenation
from diff4splat.catalog.identify import identify
from diff4splat.catalog.layouts import LAYOUTS
from diff4splat.catalog.registry import KNOWN_MODELS
from diff4splat.catalog.variants import VARIANTS
from diff4splat.hub import TensorInfo, WeightsHeader, read_safetensors_header
from diff4splat.models import LDRM

Shapes = dict[str, tuple[int, ...]]
FUN_5B = {"dim": 3072, "ffn": 14336, "text": 4096, "in": 100, "out": 48, "adapter": 6144}


def header_of(shapes: Shapes, path: str = "folder/model.safetensors") -> WeightsHeader:
    tensors = {name: TensorInfo("BF16", tuple(shape)) for name, shape in shapes.items()}
    return WeightsHeader(Path(path), (Path(path),), tensors, {})


def fun_5b() -> Shapes:
    return LAYOUTS["wan-native"].expand(FUN_5B, 30, options=("control_adapter",))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_real_classes_are_known(name: str) -> None:
    pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    title, build = PUBLISHED[name]
    module = without_values(build)
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    if "T5" in name:
        shapes.pop("encoder.embed_tokens.weight", None)  # the same tensor as `shared`, stored once
    identity = identify(header_of(shapes))
    assert (identity.title, identity.problems) == (title, ())
    assert identity.loader.endswith(type(module).__name__) and identity.code
    if identity.model is not None:
        parameters = KNOWN_MODELS[identity.model].parameters["transformer"]
        assert sum(value.numel() for value in module.parameters()) == parameters
    names = list(shapes)
    missing = {key: shapes[key] for key in names if key not in names[40:43]}
    assert identify(header_of(missing)).title == title
    assert any("lacks" in text or "instead of" in text for text in identify(header_of(missing)).problems)


def test_native_names_are_those_that_diffusers_translates() -> None:
    """The names of Wan's authors, put through the translation of diffusers, give the names of its class."""
    pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    native = LAYOUTS["wan-native"].expand(
        {"dim": 5120, "ffn": 13824, "text": 4096, "in": 36, "out": 16}, 40, options=("image",)
    )
    translated = convert_wan_transformer_to_diffusers(
        {name: torch.empty(shape, device="meta") for name, shape in native.items()}
    )
    shapes = {name: tuple(value.shape) for name, value in translated.items()}
    module = without_values(PUBLISHED["Wan2.1-I2V-14B"][1])
    assert shapes == {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("wan2.2-fun-camera-5b", 831, 5_245_802_688),
        # the published files hold 3.23 and 33.8 GB in bfloat16
        ("wan2.1-fun-camera-1.3b", 989, 1_616_313_152),
        ("wan2.1-fun-camera-14b", 1309, 16_898_128_704),
        ("movies", 1478, 1_041_147_254),
        ("taew2_1", 128, 11_315_539),
        ("taew2_2", 128, 11_418_108),
    ],
)
def test_layouts_of_others_have_the_published_sizes(name: str, tensors: int, parameters: int) -> None:
    variant = next(variant for variant in VARIANTS if variant.model == name)
    layout = LAYOUTS[variant.layout]
    inner = {"first": 64, "second": 128, "third": 128, "coarse": 256, "middle": 256, "fine": 128}
    shapes = layout.expand({**inner, **variant.sizes}, max(variant.num_blocks, 1), options=variant.options)
    header = header_of(shapes)
    assert (len(shapes), header.num_parameters) == (tensors, parameters)
    assert sum(KNOWN_MODELS[name].parameters.values()) >= parameters
    identity = identify(header)
    assert (identity.model, identity.title, identity.problems) == (name, variant.title, ())
    assert not any("{" in line for line in identity.code)


def test_layouts_are_those_of_our_classes() -> None:
    from diff4splat.backbones.tiny_vae import TinyVideoVAE
    from diff4splat.models.movies import MoVieS

    movies = {f"backbone.{name}": shape for name, shape in shapes_of(without_values(MoVieS)).items()}
    assert movies == LAYOUTS["movies"].expand({}, 24)
    for name in ("taew2_1", "taew2_2", "taecvx"):
        module = without_values(lambda name=name: TinyVideoVAE.for_model(name))
        shapes = {key: shape for key, shape in shapes_of(module).items() if not key.startswith("latents_")}
        identity = identify(header_of(shapes, f"{name}.safetensors"))
        assert name in identity.title and identity.problems == ()


def shapes_of(module: torch.nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def test_near_misses_are_explained() -> None:
    shapes = fun_5b()
    removed = [name for name in shapes if name.startswith("control_adapter.res")][:3]
    identity = identify(header_of({name: shape for name, shape in shapes.items() if name not in removed}))
    assert identity.title == "Wan2.2-Fun-5B-Control-Camera"
    assert identity.problems == (f"lacks 3 of 831 tensors: {', '.join(removed)}",)
    identity = identify(header_of({**shapes, "ref_conv.weight": (3072, 16, 2, 2)}))
    assert identity.problems == ("has 1 more than belong there: ref_conv.weight",)
    identity = identify(header_of({**shapes, "patch_embedding.weight": (3072, 96, 1, 2, 2)}))
    assert "1 of 831 tensors have another shape" in identity.problems[0]
    assert "expected (3072, 100, 1, 2, 2), got (3072, 96, 1, 2, 2)" in identity.problems[0]
    half = {name: shape for name, shape in shapes.items() if not name.startswith("blocks.2")}
    assert identify(header_of(half)).problems[0].startswith("lacks 297 of 831 tensors: blocks.2.")


def test_prefixes_and_shards_are_said() -> None:
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in fun_5b().items()}
    identity = identify(header_of(shapes))
    assert identity.title == "Wan2.2-Fun-5B-Control-Camera"
    assert identity.problems == (
        "the names begin with 'model.diffusion_model.', which has to go before they are loaded",
    )
    shard = dict(list(fun_5b().items())[-400:])
    identity = identify(header_of(shard, "x/diffusion_pytorch_model-00001-of-00003.safetensors"))
    assert identity.title == "Wan2.2-Fun-5B-Control-Camera"
    assert identity.problems == ("this is shard 1 of 3: give the folder or its index.json instead",)


def test_other_sizes_of_a_layout_and_other_weights() -> None:
    shapes = LAYOUTS["wan-diffusers"].expand({"dim": 96, "ffn": 224, "text": 32, "in": 16, "out": 16}, 2)
    identity = identify(header_of(shapes))
    assert identity.title.startswith("weights of a size that is not known here (dim 96") and not identity.code
    assert identity.layout == LAYOUTS["wan-diffusers"].title and identity.problems == ()
    assert identify(header_of({"a": (2,), "b": (3, 5)})).title == "unknown weights"
    assert identify(header_of({})).title == "unknown weights"


def test_lora_files() -> None:
    shapes = {
        f"diffusion_model.blocks.{block}.self_attn.q.lora_{side}.weight": shape
        for block in range(40)
        for side, shape in (("A", (16, 5120)), ("B", (5120, 16)))
    }
    assert identify(header_of(shapes)).title == "LoRA of rank 16 for Wan 14B, 40 layers"
    shapes = {
        f"transformer.transformer_blocks.{block}.attn1.to_q.lora_{side}.weight": shape
        for block in range(42)
        for side, shape in (("A", (64, 3072)), ("B", (3072, 64)))
    }
    assert identify(header_of(shapes)).title == "LoRA of rank 64 for CogVideoX-5b, 42 layers"


def test_own_modules_by_their_config(tmp_path: Path) -> None:
    model = LDRM(dim=32, num_layers=1, num_heads=2, num_key_value_heads=1, embed_dim=16, head_width=16)
    model.save_pretrained(tmp_path)
    identity = identify(read_safetensors_header(tmp_path))
    assert (identity.title, identity.loader) == ("LDRM of diff4splat", "diff4splat.models:LDRM")
    assert identity.problems == ()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_layers": 2}))
    problem = identify(read_safetensors_header(tmp_path / "model.safetensors")).problems[0]
    assert problem.startswith("lacks ") and "blocks.1." in problem
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_layers": "two"}))
    assert "does not build a LDRM" in identify(read_safetensors_header(tmp_path)).problems[0]
    (tmp_path / "config.json").unlink()
    identity = identify(read_safetensors_header(tmp_path))
    assert identity.title == "LDRM of diff4splat" and "no config.json" in identity.problems[0]


@pytest.mark.parametrize("adapter", [PluckerAdapter(24, hidden_dim=7), PluckerConcatenation(24)])
def test_camera_adapters(tmp_path: Path, adapter: PluckerAdapter | PluckerConcatenation) -> None:
    name = type(adapter).__name__
    adapter.save_pretrained(tmp_path)
    identity = identify(read_safetensors_header(tmp_path))
    assert (identity.loader, identity.problems) == (f"diff4splat.backbones:{name}", ())
    found: dict[str, object] = {}
    exec("\n".join(identity.code), found)
    assert type(found["module"]) is type(adapter)
    (tmp_path / "config.json").unlink()
    identity = identify(read_safetensors_header(tmp_path))
    assert identity.title == f"{name} of diff4splat" and "no config.json" in identity.problems[0]


def test_scenes(tmp_path: Path) -> None:
    path = tmp_path / "scene.safetensors"
    save_file({"means": torch.zeros(2, 3)}, path, {"format": '"diff4splat-scene"'})
    identity = identify(read_safetensors_header(path))
    assert identity.title == "scene of diff4splat" and "DeformableGaussianField.load" in identity.code[1]
    folder = identify(read_safetensors_header(tmp_path))
    assert folder.code == identity.code, "the file in it: a folder is no scene"


def test_a_large_header_takes_little_time() -> None:
    header = header_of(fun_5b())
    start = time.perf_counter()
    identify(header)
    assert time.perf_counter() - start < 5
