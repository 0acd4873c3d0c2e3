"""Tiny video transformers of diffusers, and a loop that samples with them as a backbone does."""

from types import SimpleNamespace

import torch
from torch import Tensor

from diff4splat.diffusion import CosineGuidance, Guidance, euler_sample

LAYERS, STEPS = 5, 11
KINDS = ("wan", "cogvideox")


def transformer(kind: str = "wan", layers: int = LAYERS):
    """A transformer of random weights whose blocks change their input little, as trained ones do."""
    torch.manual_seed(3)
    if kind == "wan":
        from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

        model = WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=3,
            out_channels=3,
            text_dim=7,
            freq_dim=16,
            ffn_dim=31,
            num_layers=layers,
            rope_max_seq_len=32,
        )
    else:
        from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel

        model = CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=3,
            out_channels=3,
            time_embed_dim=5,
            text_embed_dim=7,
            num_layers=layers,
            sample_width=6,
            sample_height=10,
            sample_frames=9,
            max_text_seq_length=5,
            use_rotary_positional_embeddings=True,
        )
    return model.eval().requires_grad_(False)


def backbone(kind: str = "wan", layers: int = LAYERS) -> SimpleNamespace:
    """The smallest object that the switches take."""
    return SimpleNamespace(transformer=transformer(kind, layers))


def predict(model, latents: Tensor, time: float, conditional: bool) -> Tensor:
    """One pass, as a backbone makes it. `latents` are batch, latent frame, channel, height, width."""
    generator = torch.Generator().manual_seed(17 if conditional else 19)
    text = torch.randn(1, 5, 7, generator=generator).to(model.dtype)
    wan = type(model).__name__.startswith("Wan")
    inputs = latents.transpose(1, 2) if wan else latents
    with model.cache_context("cond" if conditional else "uncond"):
        output = model(
            hidden_states=inputs.to(model.dtype),
            timestep=torch.full((1,), 1000 * time),
            encoder_hidden_states=text,
            return_dict=False,
        )[0]
    return output.transpose(1, 2).float() if wan else output.float()


def sample(
    model, speed=None, *, guidance: Guidance | None = None, steps: int = STEPS, seed: int = 5, frames: int = 3
) -> Tensor:
    """Latents after a guided generation."""
    noise = torch.randn(1, frames, 3, 10, 6, generator=torch.Generator().manual_seed(seed))

    def loop() -> Tensor:
        return euler_sample(
            lambda latents, time, conditional: predict(model, latents, float(time[0]), conditional),
            noise,
            num_steps=steps,
            guidance=CosineGuidance() if guidance is None else guidance,
        )

    if speed is None:
        return loop()
    with speed.generation(steps):
        return loop()


def error(result: Tensor, exact: Tensor) -> float:
    """Relative error of latents."""
    return float((result - exact).norm() / exact.norm())
