"""Models of the published sizes without memory for them: parameter counts, latents, one pass."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from backbones.tiny_models import text_parts
from torch import nn

from diff4splat.backbones import CogVideoXBackbone, WanBackbone
from diff4splat.cameras import trajectory

pytestmark = pytest.mark.filterwarnings("ignore:.*has no camera adapter")
META = torch.device("meta")
# Millions of parameters of transformer and autoencoder, as the published weights have them.
MODELS = {
    "cogvideox-5b-i2v": (5570, 216, (49, 480, 720), (13, 16, 60, 90)),
    "cogvideox1.5-5b-i2v": (5572, 216, (81, 768, 1360), (21, 16, 96, 170)),
    "wan2.1-i2v-14b": (16395, 127, (81, 480, 832), (21, 16, 60, 104)),
    "wan2.2-i2v-a14b": (14289, 127, (81, 480, 832), (21, 16, 60, 104)),
    "wan2.2-ti2v-5b": (5000, 705, (121, 704, 1280), (31, 48, 44, 80)),
}


def millions(module: nn.Module) -> int:
    return round(sum(parameter.numel() for parameter in module.parameters()) / 1e6)


def config_of(name: str) -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "configs" / f"{name}.json").read_text())


def build(name: str) -> Any:
    """A backbone of the published size on the meta device, with small text and image encoders."""
    import diffusers
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    config = config_of(name)
    if config["vae"].get("z_dim") == 48:  # the published numbers do not change any size
        config["vae"] |= {"latents_mean": [0.0] * 48, "latents_std": [1.0] * 48}
    is_wan = not name.startswith("cogvideox")
    with META:
        dit = diffusers.WanTransformer3DModel if is_wan else diffusers.CogVideoXTransformer3DModel
        transformer = dit(**config["transformer"])
        vae = (diffusers.AutoencoderKLWan if is_wan else diffusers.AutoencoderKLCogVideoX)(**config["vae"])
    if not is_wan:
        scheduler = diffusers.CogVideoXDPMScheduler(prediction_type="v_prediction")
        return CogVideoXBackbone(transformer, vae, scheduler=scheduler, **text_parts(width=4096))
    settings: dict[str, Any] = {"expand_timesteps": name == "wan2.2-ti2v-5b"}
    if config["transformer"].get("image_dim"):
        vision = CLIPVisionConfig(
            hidden_size=1280, num_hidden_layers=2, num_attention_heads=16, image_size=28, patch_size=14
        )
        settings["image_encoder"] = CLIPVisionModel(vision)
        settings["image_processor"] = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=28)
    if name == "wan2.2-i2v-a14b":
        settings |= {"boundary_ratio": 0.9, "transformer_2": transformer}
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    parts = text_parts("UMT5", width=4096)
    return WanBackbone(transformer, vae, scheduler=scheduler, **parts, **settings)


@pytest.mark.parametrize("name", MODELS)
def test_published_sizes(name) -> None:
    transformer, autoencoder, (frames, height, width), latent_shape = MODELS[name]
    backbone = build(name)
    assert (millions(backbone.transformer), millions(backbone.vae)) == (transformer, autoencoder)
    assert backbone.spec.latent_shape(frames, height, width) == latent_shape
    cameras = trajectory.by_name("orbit", frames, height=height, width=width).batch(None)
    image = torch.rand(1, 3, height, width)
    with torch.no_grad():
        condition = backbone.condition(image, cameras, ["a cab"])
        noise = backbone.draw_noise(condition, None)
        if name != "wan2.2-i2v-a14b":  # which expert is a question of values, and there are none
            prediction = backbone.predict(noise, torch.full((1,), 999, device=META), condition)
            assert backbone.visible(prediction, condition).shape == (1, *latent_shape)
    assert backbone.visible(noise, condition).shape == (1, *latent_shape)


@pytest.mark.parametrize("name", ["cogvideox-5b-i2v", "wan2.1-i2v-14b", "wan2.2-ti2v-5b"])
def test_published_autoencoders_give_the_latents_of_the_spec_and_the_clip_back(name) -> None:
    backbone = build(name)
    side = backbone.spec.pixel_multiple
    with torch.no_grad():
        for frames in (1, 9, 17):
            latents = backbone.encode(torch.empty(1, frames, 3, 2 * side, 3 * side, device=META))
            assert latents.shape == (1, *backbone.spec.latent_shape(frames, 2 * side, 3 * side))
            assert backbone.decode(latents).shape == (1, frames, 3, 2 * side, 3 * side)


def test_the_smallest_wan_has_its_size_and_starts_from_no_image() -> None:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    config = config_of("wan2.1-t2v-1.3b")
    with META:
        dit, vae = WanTransformer3DModel(**config["transformer"]), AutoencoderKLWan(**config["vae"])
    assert (millions(dit), millions(vae)) == (1419, 127)
    with pytest.raises(ValueError, match="transformer must take 36 channels .* got 16"):
        WanBackbone(dit, vae, None, None, None)
