"""Tiny Wan-Fun repositories, in the layout of the real ones: Wan's own names, and the camera adapter."""

import json
import math
from pathlib import Path

import torch
from backbones.tiny_models import wan_parts
from safetensors.torch import save_file
from torch import Tensor

from diff4splat.backbones.diffusers_parts import save_parts

TINY = {"dim": 24, "ffn": 32, "layers": 2, "text": 16, "freq": 16}
PUBLISHED = {
    "1.3B": {"dim": 1536, "ffn": 8960, "layers": 30, "channels": 32, "out": 16, "stride": 8, "image": 1280},
    "14B": {"dim": 5120, "ffn": 13824, "layers": 40, "channels": 32, "out": 16, "stride": 8, "image": 1280},
    "5B": {"dim": 3072, "ffn": 14336, "layers": 30, "channels": 100, "out": 48, "stride": 16, "image": None},
}


def native_shapes(
    *,
    dim: int,
    ffn: int,
    layers: int,
    channels: int,
    out: int,
    stride: int,
    image: int | None,
    text: int = 4096,
    freq: int = 256,
) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a checkpoint, as VideoX-Fun's classes have them."""

    def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (dim, channels, 1, 2, 2),
        "patch_embedding.bias": (dim,),
        **linear("text_embedding.0", text, dim),
        **linear("text_embedding.2", dim, dim),
        **linear("time_embedding.0", freq, dim),
        **linear("time_embedding.2", dim, dim),
        **linear("time_projection.1", dim, 6 * dim),
        **linear("head.head", dim, 4 * out),
        "head.modulation": (1, 2, dim),
        "control_adapter.conv.weight": (dim, 24 * stride**2, 2, 2),
        "control_adapter.conv.bias": (dim,),
    }
    for index in (1, 2):
        name = f"control_adapter.residual_blocks.0.conv{index}"
        shapes |= {f"{name}.weight": (dim, dim, 3, 3), f"{name}.bias": (dim,)}
    for layer in range(layers):
        block = f"blocks.{layer}."
        shapes |= {
            f"{block}modulation": (1, 6, dim),
            f"{block}norm3.weight": (dim,),
            f"{block}norm3.bias": (dim,),
        }
        shapes |= {**linear(f"{block}ffn.0", dim, ffn), **linear(f"{block}ffn.2", ffn, dim)}
        for attention in ("self_attn", "cross_attn"):
            for name in ("q", "k", "v", "o"):
                shapes |= linear(f"{block}{attention}.{name}", dim, dim)
            for name in ("norm_q", "norm_k"):
                shapes[f"{block}{attention}.{name}.weight"] = (dim,)
        if image:
            for name in ("k_img", "v_img"):
                shapes |= linear(f"{block}cross_attn.{name}", dim, dim)
            shapes[f"{block}cross_attn.norm_k_img.weight"] = (dim,)
    if image:
        shapes |= {f"img_emb.proj.0.{kind}": (image,) for kind in ("weight", "bias")}
        shapes |= {**linear("img_emb.proj.1", image, image), **linear("img_emb.proj.3", image, dim)}
        shapes |= {f"img_emb.proj.4.{kind}": (dim,) for kind in ("weight", "bias")}
    return shapes


def tiny_shapes(form: str) -> dict[str, tuple[int, ...]]:
    """The 32-channel form ("2.1") or the one with a mask ("2.2"), for the tiny autoencoders."""
    if form == "2.1":
        return native_shapes(**TINY, channels=32, out=16, stride=8, image=20)
    return native_shapes(**TINY, channels=14, out=5, stride=16, image=None)


def native_state(form: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in tiny_shapes(form).items():
        fan_in = max(math.prod(shape[1:]), 1)
        state[name] = torch.randn(shape, generator=generator) / fan_in**0.5
    return state


def write_fun_repository(folder: Path, form: str, *, num_files: int = 1) -> Path:
    """What alibaba-pai's repositories hold: safetensors, config.json, and pickles that nobody opens."""
    folder.mkdir(parents=True)
    state, names = (
        native_state(form),
        [f"diffusion_pytorch_model-{k + 1:05}-of-{num_files:05}" for k in range(num_files)],
    )
    if num_files == 1:
        names = ["diffusion_pytorch_model"]
    for index, name in enumerate(names):
        part = {key: value for k, (key, value) in enumerate(state.items()) if k % num_files == index}
        save_file(part, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(json.dumps({"dim": 24, "num_heads": 2}))
    (folder / "Wan2.2_VAE.pth").write_bytes(b"\x80\x04 a pickle")
    return folder


def write_parts_repository(folder: Path, form: str) -> Path:
    """A repository for diffusers with the other parts, as Wan-AI publishes them."""
    parts = wan_parts("2.1" if form == "2.1" else "2.2")
    pipeline = "WanImageToVideoPipeline" if form == "2.1" else "WanPipeline"
    save_parts(folder, parts, pipeline=pipeline)
    return folder
