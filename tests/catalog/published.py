"""The classes of diffusers and transformers at their published sizes, without values."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

WAN_VAE: dict[str, Any] = {}
WAN_VAE_2_2 = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "is_residual": True,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
COGVIDEOX_VAE = {
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
    "block_out_channels": (128, 256, 256, 512),
    "latent_channels": 16,
    "layers_per_block": 3,
}
_COGVIDEOX = {
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "in_channels": 32,
    "out_channels": 16,
    "num_layers": 42,
    "max_text_seq_length": 226,
    "use_rotary_positional_embeddings": True,
}


def wan(dim: int, heads: int, ffn: int, layers: int, channels: int, out: int, **options: Any) -> nn.Module:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=dim // heads,
        ffn_dim=ffn,
        num_layers=layers,
        in_channels=channels,
        out_channels=out,
        **options,
    )


def cogvideox(version: str) -> nn.Module:
    from diffusers import CogVideoXTransformer3DModel

    if version == "1.0":
        sizes: dict[str, Any] = {"sample_width": 90, "sample_height": 60, "sample_frames": 49}
        return CogVideoXTransformer3DModel(**_COGVIDEOX, **sizes, use_learned_positional_embeddings=True)
    sizes = {"sample_width": 170, "sample_height": 96, "sample_frames": 81}
    return CogVideoXTransformer3DModel(
        **_COGVIDEOX, **sizes, patch_size_t=2, patch_bias=False, ofs_embed_dim=512
    )


def autoencoder(name: str, **config: Any) -> nn.Module:
    import diffusers

    return getattr(diffusers, name)(**config)


def text_encoder(cls: str, vocabulary: int) -> nn.Module:
    import transformers

    config = getattr(transformers, cls.replace("EncoderModel", "Config"))(
        vocab_size=vocabulary, d_model=4096, d_ff=10240, d_kv=64, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return getattr(transformers, cls)(config)


def clip_vision() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
            patch_size=14, image_size=224,
        )
    )  # fmt: skip


IMAGE = {"image_dim": 1280}

PUBLISHED: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "Wan2.1-T2V-1.3B": ("Wan2.1-T2V-1.3B", lambda: wan(1536, 12, 8960, 30, 16, 16)),
    "Wan2.1-I2V-14B": (
        "Wan2.1-I2V-14B (480P or 720P)",
        lambda: wan(5120, 40, 13824, 40, 36, 16, added_kv_proj_dim=5120, **IMAGE),
    ),
    "Wan2.2-I2V-A14B": ("an expert of Wan2.2-I2V-A14B", lambda: wan(5120, 40, 13824, 40, 36, 16)),
    "Wan2.2-TI2V-5B": ("Wan2.2-TI2V-5B", lambda: wan(3072, 24, 14336, 30, 48, 48)),
    "CogVideoX-5b-I2V": ("CogVideoX-5b-I2V", lambda: cogvideox("1.0")),
    "CogVideoX1.5-5B-I2V": ("CogVideoX1.5-5B-I2V", lambda: cogvideox("1.5")),
    "Wan2.1 VAE": ("video autoencoder of Wan2.1", lambda: autoencoder("AutoencoderKLWan", **WAN_VAE)),
    "Wan2.2 VAE": (
        "video autoencoder of Wan2.2-TI2V-5B",
        lambda: autoencoder("AutoencoderKLWan", **WAN_VAE_2_2),
    ),
    "CogVideoX VAE": (
        "video autoencoder of CogVideoX",
        lambda: autoencoder("AutoencoderKLCogVideoX", **COGVIDEOX_VAE),
    ),
    "UMT5": ("UMT5-XXL, the text encoder of Wan", lambda: text_encoder("UMT5EncoderModel", 256384)),
    "T5": ("T5-v1.1-XXL, the text encoder of CogVideoX", lambda: text_encoder("T5EncoderModel", 32128)),
    "CLIP": ("CLIP ViT-H/14, the image encoder of Wan2.1", clip_vision),
}
"""The title under which weights are known, and the class that has them, by name."""


def without_values(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build().eval()
