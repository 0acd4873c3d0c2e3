"""Low-rank updates in the layouts that are published, against sums written out in numpy."""

import numpy as np
import pytest
import torch
from backbones.speed_parts import backbone, transformer
from safetensors.torch import save_file

from diff4splat.backbones.lora import merge_lora
from diff4splat.backbones.speed import SpeedOptions, apply_speed

pytest.importorskip("diffusers")
RANK = 3
NATIVE = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
    "blocks.1.self_attn.o": "blocks.1.attn1.to_out.0",
    "blocks.1.cross_attn.k": "blocks.1.attn2.to_k",
    "blocks.4.ffn.0": "blocks.4.ffn.net.0.proj",
    "blocks.4.ffn.2": "blocks.4.ffn.net.2",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
}


def matrices(model, layer: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = model.get_submodule(layer).weight.shape
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(RANK, columns, generator=generator),
        torch.randn(rows, RANK, generator=generator),
    )


def product(down: torch.Tensor, up: torch.Tensor) -> np.ndarray:
    return up.double().numpy() @ down.double().numpy()


def test_names_of_the_original_code_with_alpha_and_differences(tmp_path) -> None:
    model, untouched = transformer(), transformer().state_dict()
    file: dict[str, torch.Tensor] = {}
    for seed, (native, own) in enumerate(NATIVE.items()):
        down, up = matrices(model, own, seed)
        file[f"diffusion_model.{native}.lora_down.weight"] = down
        file[f"diffusion_model.{native}.lora_up.weight"] = up
        file[f"diffusion_model.{native}.alpha"] = torch.tensor(1.5)
    bias = torch.randn(24, generator=torch.Generator().manual_seed(99))
    file["diffusion_model.blocks.0.self_attn.q.diff_b"] = bias
    file["diffusion_model.blocks.2.self_attn.norm_q.diff"] = bias + 1
    save_file(file, tmp_path / "lora.safetensors")
    assert merge_lora(model, tmp_path / "lora.safetensors", scale=0.7) == len(NATIVE) + 2
    expected = {name: tensor.double().numpy() for name, tensor in untouched.items()}
    for seed, own in enumerate(NATIVE.values()):
        down, up = matrices(model, own, seed)
        expected[f"{own}.weight"] = expected[f"{own}.weight"] + 0.7 * 1.5 / RANK * product(down, up)
    expected["blocks.0.attn1.to_q.bias"] = expected["blocks.0.attn1.to_q.bias"] + 0.7 * bias.numpy()
    expected["blocks.2.attn1.norm_q.weight"] = expected["blocks.2.attn1.norm_q.weight"] + 0.7 * (
        bias.numpy() + 1
    )
    for name, tensor in model.state_dict().items():
        np.testing.assert_allclose(tensor.double().numpy(), expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["wan", "cogvideox"])
def test_names_of_diffusers_and_back(kind: str, tmp_path) -> None:
    model = transformer(kind)
    layer = "blocks.3.attn1.to_v" if kind == "wan" else "transformer_blocks.3.attn1.to_v"
    before = model.get_submodule(layer).weight.clone()
    down, up = matrices(model, layer, 0)
    file = {f"transformer.{layer}.lora_A.weight": down, f"transformer.{layer}.lora_B.weight": up}
    save_file(file, tmp_path / "lora.safetensors")
    assert merge_lora(model, tmp_path / "lora.safetensors") == 1
    after = model.get_submodule(layer).weight
    np.testing.assert_allclose((after - before).numpy(), product(down, up), rtol=1e-4, atol=1e-5)
    merge_lora(model, tmp_path / "lora.safetensors", scale=-1.0)
    torch.testing.assert_close(model.get_submodule(layer).weight, before, rtol=1e-4, atol=1e-5)


def write(path, **tensors: torch.Tensor) -> str:
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path)
    return str(path)


def test_files_that_do_not_fit_change_nothing(tmp_path) -> None:
    model, before = transformer(), transformer().state_dict()
    good = {
        "blocks__0__attn1__to_q__lora_A__weight": torch.ones(2, 24),
        "blocks__0__attn1__to_q__lora_B__weight": torch.ones(24, 2),
    }
    wide = {
        "blocks__1__attn1__to_q__lora_A__weight": torch.ones(2, 29),
        "blocks__1__attn1__to_q__lora_B__weight": torch.ones(29, 2),
    }
    deep = {
        "blocks__37__attn1__to_q__lora_A__weight": torch.ones(2, 24),
        "blocks__37__attn1__to_q__lora_B__weight": torch.ones(24, 2),
    }
    half = {"blocks__1__attn1__to_q__lora_A__weight": torch.ones(2, 24)}
    for name, added, match in (
        ("wide", wide, r"blocks.1.attn1.to_q.weight is \[29, 29\] there and \[24, 24\] in this Wan"),
        ("deep", deep, r"this WanTransformer3DModel has no blocks.37.attn1.to_q.weight; take the LoRA"),
        ("half", half, r"is damaged: of blocks.1.attn1.to_q it holds down only"),
        ("model", {"proj_out__weight": torch.ones(2)}, r"is no LoRA file: it holds proj_out.weight"),
    ):
        with pytest.raises(ValueError, match=match):
            merge_lora(model, write(tmp_path / f"{name}.safetensors", **good, **added))
    with pytest.raises(FileNotFoundError):
        merge_lora(model, tmp_path / "none.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_comes_before_the_switches(tmp_path) -> None:
    parts = backbone()
    apply_speed(parts, SpeedOptions(storage="float8"))
    with pytest.raises(ValueError, match="merge_lora comes before apply_speed"):
        merge_lora(parts.transformer, write(tmp_path / "a.safetensors", a__diff=torch.ones(1)))
