"""Wan-Fun with cameras: real key layouts loaded strictly, and run from image and path to a rendered field."""

from pathlib import Path

import numpy as np
import pytest
import torch
from backbones.tiny_models import clip
from backbones.wan_fun_files import (
    PUBLISHED,
    native_shapes,
    native_state,
    tiny_shapes,
    write_fun_repository,
    write_parts_repository,
)
from hub.server import HubServer, run_client
from models.parts import path, weights_of
from reference import backbones_camera_adapter as reference
from safetensors.torch import load_file, save_file
from slopes import check_slope

from diff4splat import LDRM
from diff4splat.backbones import check_backbone, get_backbone, load_camera_adapter
from diff4splat.backbones.wan_fun_camera import WanFunCameraBackbone
from diff4splat.backbones.wan_fun_checkpoint import (
    FunControlAdapter,
    load_wan_fun,
    wan_fun_adapter_config,
    wan_fun_config,
)
from diff4splat.cameras import plucker_rays
from diff4splat.diffusion import ConstantGuidance

pytest.importorskip("diffusers")
FORMS = ("2.1", "2.2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("wan_fun")
    return {
        form: (
            write_fun_repository(folder / f"fun-{form}", form),
            write_parts_repository(folder / f"parts-{form}", form),
        )
        for form in FORMS
    }


@pytest.fixture(scope="module")
def backbones(folders: dict[str, tuple[Path, Path]]) -> dict[str, WanFunCameraBackbone]:
    return {
        form: WanFunCameraBackbone.from_pretrained(fun, parts_from=parts, dtype="float32")
        for form, (fun, parts) in folders.items()
    }


def generate(backbone: WanFunCameraBackbone, *, seed: int = 0, rest: bool = False, **options) -> torch.Tensor:
    image, cameras = clip(backbone, frames=5)
    generator = torch.Generator().manual_seed(seed)
    cameras = cameras.at_rest() if rest else cameras
    return backbone.generate(image, cameras, ["a cab"], num_steps=2, generator=generator, **options)


def test_adapter_matches_the_loop_with_its_gradient() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapter = FunControlAdapter(5, temporal_stride=2, spatial_stride=2).double()
    rays = plucker_rays(path(1, 5, 4, 8)).requires_grad_()

    def by_loop(rays, weight):
        weights = {**weights_of(adapter), "conv.weight": weight}
        return [reference.fun_control_adapter(rays[0], weights, 2, 2, 2)]

    check_slope([adapter.from_rays(rays)], by_loop, [rays, adapter.conv.weight], atol=1e-12, rel=1e-6)


@pytest.mark.parametrize("size", sorted(PUBLISHED))
def test_published_sizes_have_a_place_for_every_tensor(size: str) -> None:
    """At full size, without memory: each tensor of the checkpoint has one parameter, of its shape."""
    from diffusers import WanTransformer3DModel
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    shapes = native_shapes(**PUBLISHED[size])
    with torch.device("meta"):
        model = WanTransformer3DModel.from_config(wan_fun_config(shapes))
        adapter = FunControlAdapter(**wan_fun_adapter_config(shapes))
        tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    held = {name: tensors.pop(f"control_adapter.{name}").shape for name in adapter.state_dict()}
    assert held == {name: value.shape for name, value in adapter.state_dict().items()}
    converted = convert_wan_transformer_to_diffusers(tensors)
    assert {name: value.shape for name, value in converted.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    heads = {"1.3B": 12, "14B": 40, "5B": 24}[size]
    assert model.config.num_attention_heads == heads
    assert model.config.attention_head_dim == 128
    count = sum(value.numel() for value in model.parameters())
    assert count / 1e9 == pytest.approx({"1.3B": 1.565, "14B": 16.4, "5B": 5.0}[size], rel=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_one_file_and_of_several_are_the_same_and_all_arrive(form: str, tmp_path: Path) -> None:
    one = write_fun_repository(tmp_path / "one", form)
    three = write_fun_repository(tmp_path / "three", form, num_files=3)
    models = [load_wan_fun(sorted(folder.glob("*.safetensors")), num_heads=2) for folder in (one, three)]
    state = native_state(form)
    for transformer, adapter in models:
        assert transformer.dtype == next(adapter.parameters()).dtype == torch.bfloat16
        assert transformer.scale_shift_table.dtype == torch.float32  # as diffusers' from_pretrained keeps it
        assert not transformer.training and not adapter.training
        assert torch.equal(transformer.patch_embedding.weight, state["patch_embedding.weight"].bfloat16())
        query = state["blocks.1.cross_attn.q.weight"].bfloat16()
        assert torch.equal(transformer.blocks[1].attn2.to_q.weight, query)
        for name, value in adapter.state_dict().items():
            assert torch.equal(value, state[f"control_adapter.{name}"].bfloat16())
    first, second = (transformer.state_dict() for transformer, _ in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("form", FORMS)
def test_image_and_path_become_latents_a_field_and_pictures(form: str, backbones) -> None:
    backbone = backbones[form]
    image, cameras = clip(backbone, frames=5)
    latents = generate(backbone)
    assert latents.shape == (1, *backbone.spec.latent_shape(5, *image.shape[-2:]))
    assert latents.dtype == torch.float32
    ldrm = LDRM.from_spec(backbone.spec, dim=24, num_layers=1, num_heads=2, num_key_value_heads=1)
    field = ldrm(latents, cameras, image=image)
    color = field.render(cameras, field.times).color
    assert color.shape == (1, 5, *image.shape[1:])
    assert color.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_contract(form: str, backbones) -> None:
    load = lambda folder: WanFunCameraBackbone.from_pretrained(folder, dtype="float32")  # noqa: E731
    check_backbone(backbones[form], load=load)


@pytest.mark.parametrize("form", FORMS)
def test_the_seed_and_the_path_decide_and_nothing_else(form: str, backbones) -> None:
    latents = generate(backbones[form])
    assert torch.equal(generate(backbones[form]), latents)
    assert not torch.allclose(generate(backbones[form], seed=1), latents, atol=1e-3)
    assert not torch.allclose(generate(backbones[form], rest=True), latents, atol=1e-3)


def test_the_larger_form_holds_the_first_frame_exactly(backbones) -> None:
    backbone = backbones["2.2"]
    image, _ = clip(backbone, frames=5)
    seen = []
    latents = generate(backbone, callback=lambda state: seen.append(state.latents[:, 0].clone()))
    known = backbone.encode(image[:, None])
    assert torch.equal(latents[:, 0], known[:, 0])
    assert all(torch.equal(first, known[:, 0]) for first in seen)


def test_the_transformer_is_told_what_the_published_pipeline_tells_it(backbones) -> None:
    image, _ = clip(backbones["2.1"], frames=9)
    channels = backbones["2.1"].image_channels(image, 9)
    assert channels.shape[1:3] == (3, 16)
    assert torch.equal(channels[:, :1], backbones["2.1"].encode(image[:, None]))
    assert not channels[:, 1:].any()
    backbone = backbones["2.2"]
    image, cameras = clip(backbone, frames=9)
    channels = backbone.image_channels(image, 9)
    assert channels.shape[1:3] == (3, 4 + 5)
    assert (channels[:, 0, :4] == 1).all() and not channels[:, 1:, :4].any()
    grey = torch.cat((image[:, None], torch.full_like(image[:, None], 0.5).repeat(1, 8, 1, 1, 1)), dim=1)
    torch.testing.assert_close(channels[:, :, 4:], backbone.encode(grey), rtol=0, atol=1e-5)
    steps = []
    hook = backbone.transformer.register_forward_pre_hook(
        lambda module, inputs, options: steps.append(options["timestep"]), with_kwargs=True
    )
    condition = backbone.condition(image, cameras)
    backbone.predict(torch.zeros(condition.shape), torch.tensor([637.0]), condition)
    hook.remove()
    per_frame = steps[0].reshape(3, -1)  # tokens of each latent frame
    assert (per_frame[0] == 0).all() and (per_frame[1:] == 637).all()


def test_clip_sees_the_whole_image(backbones) -> None:
    """A bright right border beyond the central square changes the features."""
    image = torch.zeros(1, 3, 32, 64)
    bright = image.clone()
    bright[..., 56:] = 1
    tokens = [backbones["2.1"]._image_tokens(picture) for picture in (image, bright)]
    assert not torch.allclose(*tokens, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_zero_camera_adapter_gives_the_model_without_cameras(form: str, folders) -> None:
    fun, parts = folders[form]
    backbone = WanFunCameraBackbone.from_pretrained(fun, parts_from=parts, dtype="float32")
    with torch.no_grad():
        for parameter in backbone.camera_adapter.parameters():
            parameter.zero_()
    led = generate(backbone, guidance=ConstantGuidance(2.0))
    backbone.camera_adapter = None
    with pytest.warns(UserWarning, match="no camera adapter"):
        bare = generate(backbone, guidance=ConstantGuidance(2.0))
    assert torch.equal(led, bare)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_saved_comes_back_whole(form: str, backbones, tmp_path: Path) -> None:
    backbones[form].save_pretrained(tmp_path)
    loaded = get_backbone("wan-fun-camera", name_or_path=tmp_path, dtype="float32")
    # Weights lie elsewhere in memory now, and sums of float32 may be taken in another order.
    torch.testing.assert_close(generate(loaded), generate(backbones[form]), rtol=0, atol=1e-4)
    assert isinstance(load_camera_adapter(tmp_path / "camera_adapter"), FunControlAdapter)
    with pytest.raises(ValueError, match="must not be given for what was saved whole"):
        WanFunCameraBackbone.from_pretrained(tmp_path, translation_scale=2.0)


def test_two_repositories_on_the_hub(folders, tmp_path: Path) -> None:
    """Only safetensors and what describes them are fetched; the second time nothing is asked for."""
    hub = HubServer()
    fun, parts = folders["2.2"]
    hub.add("org/fun", fun)
    hub.add("org/parts", parts)
    code = """
from diff4splat.backbones import get_backbone

def load(**options):
    backbone = get_backbone("wan-fun-camera", name_or_path="org/fun", parts_from="org/parts", **options)
    return backbone.reference.repository, backbone.reference.revision, dict(backbone.reference.options)

attempt("first", load)
attempt("again", load, local_files_only=True)
"""
    with hub.running() as address:
        report = run_client(code, address, tmp_path / "home")
    commits = {name: hub.commit(f"org/{name}", "main") for name in ("fun", "parts")}
    options = {"parts_from": "org/parts", "parts_revision": commits["parts"]}
    assert report["first"] == {"value": str(("org/fun", commits["fun"], options))}
    assert report["again"] == report["first"]
    fetched = [request for request in hub.requests if request.startswith("GET") and "resolve" in request]
    assert not any(".pth" in request or "/transformer/" in request for request in fetched)
    assert len([request for request in hub.requests if "/revision/main" in request]) == 2


def test_reference_and_translation_scale(folders) -> None:
    fun, parts = folders["2.2"]
    options = {"parts_from": parts, "dtype": "float32"}
    backbone = WanFunCameraBackbone.from_pretrained(fun, translation_scale=2.5, **options)
    assert backbone.camera_adapter.translation_scale == 2.5
    reference = backbone.reference
    assert (reference.kind, reference.repository, reference.revision) == ("wan-fun-camera", str(fun), None)
    assert reference.options == {"parts_from": str(parts), "translation_scale": 2.5}
    backbone = WanFunCameraBackbone.from_pretrained(fun, negative_prompt="grey", **options)
    assert backbone.negative_prompt == "grey"
    assert backbone.reference.options == {"parts_from": str(parts), "negative_prompt": "grey"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("control_adapter.conv.weight"), "without camera control"),
        (lambda state: state.pop("blocks.1.ffn.0.bias"), r"missing \['blocks.1.ffn.0.bias'\]"),
        (lambda state: state.update({"ref_conv.bias": torch.zeros(1)}), r"unexpected \['ref_conv.bias'\]"),
        (lambda state: state.update({"condition_embedder.x": torch.zeros(1)}), "is a diffusers model"),
        (lambda state: state.pop("head.head.weight"), "is no Wan model"),
        (
            lambda state: state.update({"patch_embedding.weight": torch.zeros(24, 17, 1, 2, 2)}),
            "must read 32 channels, or 4 more, .*got 17",
        ),
        (
            lambda state: state.update({"patch_embedding.weight": torch.zeros(24, 36, 1, 2, 2)}),
            "two experts of Wan2.2-Fun-A14B",
        ),
        (
            lambda state: state.update({"control_adapter.conv.weight": torch.zeros(24, 25, 2, 2)}),
            "must read 24 s² channels, got 25",
        ),
    ],
)
def test_other_checkpoints_are_refused_in_a_sentence(change, words: str, tmp_path: Path) -> None:
    folder = write_fun_repository(tmp_path / "fun", "2.1")
    state = load_file(folder / "diffusion_pytorch_model.safetensors")
    change(state)
    save_file(state, folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ValueError, match=words):
        WanFunCameraBackbone.from_pretrained(folder, parts_from=folder)


def test_pickles_and_wrong_folders_are_refused_with_the_right_repository(folders, tmp_path: Path) -> None:
    fun, parts = folders["2.2"]
    with pytest.raises(ValueError, match="a pickle, .*Wan-AI/Wan2.2-TI2V-5B-Diffusers"):
        WanFunCameraBackbone.from_pretrained(fun, parts_from=fun)
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match="diffusion_pytorch_model.bin, a pickle"):
        WanFunCameraBackbone.from_pretrained(tmp_path, parts_from=parts)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"PK\x03\x04 a torch archive")
    with pytest.raises(ValueError, match="is a pickle or torch archive"):
        WanFunCameraBackbone.from_pretrained(tmp_path, parts_from=parts)
    with pytest.raises(ValueError, match="dtype must be a floating-point type"):
        WanFunCameraBackbone.from_pretrained(fun, parts_from=parts, dtype="int8")
    with pytest.raises(FileNotFoundError, match="alibaba-pai/Wan2.1-Fun-V1.1-1.3B-Control-Camera"):
        WanFunCameraBackbone.from_pretrained(parts / "tokenizer", parts_from=parts)
    with pytest.raises(ValueError, match="num_heads must divide"):
        wan_fun_config(tiny_shapes("2.1"), num_heads=5)
    # a whole repository of the other form, or of a model without CLIP: said before 20 GB are read
    with pytest.raises(FileNotFoundError, match="lists no image_encoder, which this video model needs"):
        WanFunCameraBackbone.from_pretrained(folders["2.1"][0], parts_from=parts)
    with pytest.raises(ValueError, match="autoencoder of 5 channels, as Wan-AI/Wan2.2.*got one of 16"):
        WanFunCameraBackbone.from_pretrained(fun, parts_from=folders["2.1"][1])


def test_prompt_length_beside_image_tokens_is_that_of_the_transformer(backbones) -> None:
    backbone = backbones["2.1"]
    parts = {name: getattr(backbone, name) for name in ("transformer", "vae", "text_encoder", "tokenizer")}
    parts |= {name: getattr(backbone, name) for name in ("scheduler", "camera_adapter", "image_encoder")}
    with pytest.raises(ValueError, match="max_prompt_tokens must be 512"):
        WanFunCameraBackbone(**parts, max_prompt_tokens=64)
    np.testing.assert_equal(backbone.embed_prompts(["a"]).shape[1], 512)
