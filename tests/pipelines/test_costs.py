"""Costs of video models against counts on the real classes, with tensors that have no values."""

from typing import Any

import pytest
import torch
from catalog.published import COGVIDEOX_VAE, WAN_VAE, WAN_VAE_2_2, autoencoder, wan
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from diff4splat.models.cost import LiveBytes
from diff4splat.pipelines.costs import (
    AUTOENCODERS,
    denoiser_activations,
    denoiser_flops,
    movies_flops,
    num_tokens,
    tiny_decoder_values,
)

pytest.importorskip("diffusers")


def count(build: Any, inputs: Any, call: Any, dtype: torch.dtype = torch.float32) -> tuple[int, int]:
    """Bytes beside the weights, and operations, of a call."""
    before = torch.get_default_dtype()
    counter = FlopCounterMode(display=False)
    try:
        torch.set_default_dtype(dtype)
        with torch.inference_mode(False), FakeTensorMode(), torch.no_grad(), LiveBytes() as live, counter:
            module = build().eval()
            given = inputs()
            torch.set_default_dtype(before)
            live.peak = held = live.now
            call(module, given)
            return live.peak - held, counter.get_total_flops()
    finally:
        torch.set_default_dtype(before)


def cogvideox(layers: int, version: str = "1.0") -> Any:
    from diffusers import CogVideoXTransformer3DModel

    options = {} if version == "1.0" else {"patch_size_t": 2, "patch_bias": False, "ofs_embed_dim": 512}
    return CogVideoXTransformer3DModel(
        num_attention_heads=48, attention_head_dim=64, in_channels=32, out_channels=16, num_layers=layers,
        sample_width=44, sample_height=28, sample_frames=17, max_text_seq_length=226,
        use_rotary_positional_embeddings=True, use_learned_positional_embeddings=version == "1.0", **options,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize(
    ("dim", "ffn", "channels", "out"), [(1536, 8960, 36, 16), (3072, 14336, 48, 48), (5120, 13824, 16, 16)]
)
def test_wan(dim: int, ffn: int, channels: int, out: int, per_token: bool, dtype: torch.dtype) -> None:
    frames, rows, columns = 5, 28, 44
    tokens = frames * rows * columns // 4
    held, flops = count(
        lambda: wan(dim, dim // 128, ffn, 2, channels, out),
        lambda: {
            "hidden_states": torch.empty(1, channels, frames, rows, columns),
            "timestep": torch.zeros(1, tokens) if per_token else torch.zeros(1),
            "encoder_hidden_states": torch.empty(1, 512, 4096),
        },
        lambda module, given: module(**given, return_dict=False),
        dtype,
    )
    sizes = {"family": "wan", "dim": dim, "ffn_dim": ffn, "num_layers": 2, "in_channels": channels}
    sizes |= {"latent_channels": out, "per_token_times": per_token}
    assert denoiser_flops(sizes, tokens) == pytest.approx(flops, rel=0.02)
    assert denoiser_activations(sizes, tokens, dtype.itemsize) == pytest.approx(held, rel=0.12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("version", ["1.0", "1.5"])
def test_cogvideox(version: str, dtype: torch.dtype) -> None:
    frames, rows, columns = 6, 28, 44
    patch = 1 if version == "1.0" else 2
    tokens = frames // patch * rows * columns // 4
    held, flops = count(
        lambda: cogvideox(2, version),
        lambda: {
            "hidden_states": torch.empty(1, frames, 32, rows, columns),
            "timestep": torch.zeros(1),
            "encoder_hidden_states": torch.empty(1, 226, 4096),
            "image_rotary_emb": (torch.empty(tokens, 64), torch.empty(tokens, 64)),
            **({} if version == "1.0" else {"ofs": torch.zeros(1)}),
        },
        lambda module, given: module(**given, return_dict=False),
        dtype,
    )
    sizes = {"family": "cogvideox", "dim": 3072, "ffn_dim": 12288, "num_layers": 2, "in_channels": 32}
    sizes |= {"latent_channels": 16, "text_tokens": 226, "temporal_patch": patch}
    assert denoiser_flops(sizes, tokens) == pytest.approx(flops, rel=0.02)
    assert denoiser_activations(sizes, tokens, dtype.itemsize) == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize(
    ("key", "name", "config", "task", "frames"),
    [
        (*kind, task, frames)
        for kind in (
            (("wan", 16), "AutoencoderKLWan", WAN_VAE),
            (("wan", 48), "AutoencoderKLWan", WAN_VAE_2_2),
            (("cogvideox", 16), "AutoencoderKLCogVideoX", COGVIDEOX_VAE),
        )
        for task in ("encode", "decode")
        for frames in (1, 9, 17)
        if (kind[0][0], task, frames) != ("cogvideox", "decode", 1)  # never decoded: the frame is at hand
    ],
)
def test_autoencoders(key: tuple[str, int], name: str, config: Any, task: str, frames: int) -> None:
    cost = AUTOENCODERS[key]
    side = 96
    shapes = {
        "encode": (1, 3, frames, side, side),
        "decode": (
            1,
            key[1],
            (frames - 1) // 4 + 1,
            side // cost.spatial_stride,
            side // cost.spatial_stride,
        ),
    }
    calls = {
        "encode": lambda module, given: module.encode(given).latent_dist.mode(),
        "decode": lambda module, given: module.decode(given, return_dict=False),
    }
    held, flops = count(lambda: autoencoder(name, **config), lambda: torch.empty(shapes[task]), calls[task])
    assert 4 * cost.held(task, frames, side, side) == pytest.approx(held, rel=0.12)
    assert cost.flops(task, frames, side, side) == pytest.approx(flops, rel=0.05)


def test_autoencoders_of_other_widths() -> None:
    held, flops = count(
        lambda: autoencoder("AutoencoderKLWan", base_dim=48),
        lambda: torch.empty(1, 16, 3, 12, 12),
        lambda module, given: module.decode(given, return_dict=False),
    )
    cost = AUTOENCODERS["wan", 16]
    assert 4 * cost.held("decode", 9, 96, 96, scale=0.5) == pytest.approx(held, rel=0.12)
    assert cost.flops("decode", 9, 96, 96, scale=0.5) == pytest.approx(flops, rel=0.05)


def test_published_numbers() -> None:
    """Tokens and operations of Wan2.2-TI2V-5B at sizes whose counts are known."""
    sizes = {"family": "wan", "dim": 3072, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48}
    sizes |= {"latent_channels": 48}
    cost = AUTOENCODERS["wan", 48]
    assert num_tokens(sizes, cost, 121, 704, 1280) == 27_280
    assert num_tokens(sizes, cost, 49, 480, 832) == 5_070
    assert denoiser_flops(sizes, 5_070) == pytest.approx(5.4e13, rel=0.05)
    assert num_tokens({"temporal_patch": 2}, AUTOENCODERS["cogvideox", 16], 81, 768, 1360) == 11 * 48 * 85


def test_what_is_cheap_is_cheaper() -> None:
    cost = AUTOENCODERS["wan", 16]
    assert 3 * tiny_decoder_values(16, 49, 480, 832) < cost.held("decode", 49, 480, 832)
    assert movies_flops(13, 224, 224, 13) == pytest.approx(7.5e12 + 14 * 1.45e12, rel=0.03)
