"""Tiny random models of the real classes of diffusers and transformers; nothing is downloaded."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from diff4splat.backbones.cogvideox import CogVideoXBackbone
from diff4splat.backbones.wan import WanBackbone
from diff4splat.cameras import Cameras, trajectory

LETTERS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -1.0) for letter in "▁abcdefghijklmnop")]


def seeded(make: Any, seed: int = 0) -> nn.Module:
    """A module whose weights are drawn from a seed, none of them zero by its start alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = make().eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
    return module


def text_parts(kind: str = "T5", width: int = 16) -> dict[str, Any]:
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=64, d_model=width, d_ff=23, d_kv=8, num_layers=1, num_heads=2
    )
    return {
        "text_encoder": seeded(lambda: getattr(transformers, f"{kind}EncoderModel")(config)),
        "tokenizer": transformers.T5Tokenizer(vocab=LETTERS, extra_ids=0),
    }


def cogvideox_parts(version: str = "1.5", scheduler: str = "DPM") -> dict[str, Any]:
    """Parts of CogVideoX image to video; 1.0 with learned positions for 9 frames of 32 x 48."""
    import diffusers

    vae = seeded(
        lambda: diffusers.AutoencoderKLCogVideoX(
            block_out_channels=(4, 4, 4, 4),
            latent_channels=3,
            layers_per_block=1,
            norm_num_groups=2,
            scaling_factor=0.7,
            invert_scale_latents=version == "1.5",
        )
    )
    options: dict[str, Any] = (
        {"patch_size_t": 2, "ofs_embed_dim": 8, "patch_bias": False, "sample_height": 20, "sample_width": 20}
        if version == "1.5"
        else {"use_learned_positional_embeddings": True, "sample_height": 4, "sample_width": 6}
    )
    dit = seeded(
        lambda: diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=6,
            out_channels=3,
            time_embed_dim=8,
            text_embed_dim=16,
            num_layers=2,
            sample_frames=9,
            max_text_seq_length=11,
            use_rotary_positional_embeddings=True,
            **options,
        )
    )
    cls = getattr(diffusers, f"CogVideoX{scheduler}Scheduler")
    return {
        "transformer": dit,
        "vae": vae,
        "scheduler": cls(
            prediction_type="v_prediction",
            timestep_spacing="trailing",
            rescale_betas_zero_snr=True,
            snr_shift_scale=1.0,
        ),
        **text_parts(),
    }


def wan_vae(version: str) -> nn.Module:
    from diffusers import AutoencoderKLWan

    options: dict[str, Any] = {"base_dim": 3, "z_dim": 16}
    if version == "2.2":
        options = {
            "base_dim": 3,
            "decoder_base_dim": 3,
            "z_dim": 5,
            "latents_mean": [0.1, -0.2, 0.3, 0.0, 0.05],
            "latents_std": [0.5, 1.5, 1.0, 2.0, 0.8],
            "in_channels": 12,
            "out_channels": 12,
            "patch_size": 2,
            "is_residual": True,
            "scale_factor_spatial": 16,
        }
    return seeded(
        lambda: AutoencoderKLWan(
            dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True], **options
        )
    )


def wan_transformer(
    in_channels: int, out_channels: int, *, image_dim: int | None, seed: int = 0
) -> nn.Module:
    from diffusers import WanTransformer3DModel

    return seeded(
        lambda: WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=16,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
            rope_max_seq_len=32,
            image_dim=image_dim,
            added_kv_proj_dim=None if image_dim is None else 24,
        ),
        seed,
    )


def wan_parts(version: str = "2.2", scheduler: str = "UniPC") -> dict[str, Any]:
    """Parts of Wan 2.1 image to video ("2.1"), 2.2 with two experts ("A14B") or TI2V-5B ("2.2")."""
    import diffusers

    vae = wan_vae("2.2" if version == "2.2" else "2.1")
    latents = vae.config.z_dim
    channels = latents if version == "2.2" else 2 * latents + 4
    image_dim = 20 if version == "2.1" else None
    parts: dict[str, Any] = {
        "transformer": wan_transformer(channels, latents, image_dim=image_dim),
        "vae": vae,
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        )
        if scheduler == "UniPC"
        else diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        **text_parts("UMT5"),
    }
    if version == "2.1":
        from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

        config = CLIPVisionConfig(
            hidden_size=20,
            intermediate_size=23,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        )
        parts["image_encoder"] = seeded(lambda: CLIPVisionModel(config))
        parts["image_processor"] = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=28)
    if version == "A14B":
        parts["transformer_2"] = wan_transformer(channels, latents, image_dim=None, seed=1)
    return parts


def tiny_cogvideox(version: str = "1.5", scheduler: str = "DPM", **options: Any) -> CogVideoXBackbone:
    return CogVideoXBackbone(**cogvideox_parts(version, scheduler), **options).eval()


def tiny_wan(version: str = "2.2", scheduler: str = "UniPC", **options: Any) -> WanBackbone:
    settings = {
        "2.2": {"expand_timesteps": True},
        "A14B": {"boundary_ratio": 0.9},
        "2.1": {},
    }[version]
    return WanBackbone(
        **wan_parts(version, scheduler),
        **settings,
        **{"max_prompt_tokens": 512 if version == "2.1" else 11, **options},
    ).eval()


def clip(
    backbone: Any, *, batch: int = 1, frames: int = 9, height: int = 32, width: int = 48, seed: int = 0
) -> tuple[torch.Tensor, Cameras]:
    """Images of whole 8-bit values, and a path for them."""
    if getattr(backbone.spec, "pixel_multiple", 16) == 32:
        height, width = 32, 64
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (batch, 3, height, width), generator=generator) / 255
    path = trajectory.by_name("orbit", frames, height=height, width=width).batch(None)
    repeated = {
        name: getattr(path, name).expand(batch, -1, -1, -1) for name in ("camera_to_world", "intrinsics")
    }
    return image, replace(path, **repeated)


def pictures(image: torch.Tensor) -> list[Any]:
    """PIL images of a batch in [0, 1]; whole 8-bit values come through unchanged."""
    from PIL import Image

    return [Image.fromarray((255 * one).round().byte().movedim(0, 2).numpy()) for one in image]


def seed(number: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(number)
