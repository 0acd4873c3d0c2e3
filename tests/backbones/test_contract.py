"""The contract: what keeps it, and that each rule is noticed when it is broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from backbones.tiny_models import seeded, tiny_cogvideox, tiny_wan
from torch import Tensor, nn

from diff4splat.backbones import (
    BackboneContractError,
    LatentSpec,
    PluckerAdapter,
    VideoBackbone,
    check_backbone,
)
from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.diffusion import euler_sample

pytestmark = pytest.mark.filterwarnings("ignore:.*has no camera adapter")


def compact() -> CompactBackbone:
    def dit() -> CompactDiT:
        return CompactDiT(
            latent_channels=5,
            dim=24,
            num_layers=2,
            num_heads=3,
            num_key_value_heads=1,
            text_dim=16,
            text_layers=1,
        )

    vae = seeded(lambda: CausalVideoVAE(latent_channels=5, width=7, num_blocks=1))
    return CompactBackbone(vae, seeded(dit)).eval()


def diffusers_model(make: Callable[..., Any], version: str) -> tuple[Any, dict[str, Any]]:
    """A backbone, and what the contract needs to know of it."""
    backbone = make(version)
    adapter = PluckerAdapter(
        backbone.embed_dim,
        spatial_stride=backbone.spec.spatial_stride,
        temporal_patch=backbone.temporal_patch,
        hidden_dim=5,
    )
    options = {
        "load": lambda folder: type(backbone).from_pretrained(folder, dtype=torch.float32),
        "adapted": make(version, camera_adapter=adapter),
    }
    return backbone, options


def test_compact_keeps_it() -> None:
    check_backbone(compact())


@pytest.mark.parametrize("version", ["1.0", "1.5"])
def test_cogvideox_keeps_it(version) -> None:
    backbone, options = diffusers_model(tiny_cogvideox, version)
    check_backbone(backbone, num_frames=9, height=32, width=48, **options)


@pytest.mark.parametrize("version", ["2.1", "2.2", "A14B"])
def test_wan_keeps_it(version) -> None:
    backbone, options = diffusers_model(tiny_wan, version)
    check_backbone(backbone, num_frames=5, **options)


class Flow:
    """A backbone that keeps the contract; each fault breaks one rule of it."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.spec = LatentSpec(channels=12, temporal_stride=4, spatial_stride=4, patch=2)
        self.weight = 0.1

    def encode(self, video: Tensor) -> Tensor:
        if self.fault != "any clip encodes":
            self.spec.check_frames(video.shape[1])
        kept = torch.cat((video[:, :1], video[:, 4::4]), dim=1)
        latents = nn.functional.pixel_unshuffle(nn.functional.avg_pool2d(2 * kept.flatten(0, 1) - 1, 2), 2)
        if self.fault == "encoder draws":
            latents = latents + torch.randn(latents.shape)
        return latents.unflatten(0, kept.shape[:2])

    def decode(self, latents: Tensor) -> Tensor:
        small = nn.functional.pixel_shuffle(latents.flatten(0, 1), 2)
        frames = nn.functional.interpolate(small, scale_factor=2).unflatten(0, latents.shape[:2])
        video = frames.repeat_interleave(4, dim=1)[:, 3:]
        return video if self.fault == "decodes to [-1, 1]" else (video + 1) / 2

    def generate(
        self, image, cameras, prompt=None, *, num_steps, guidance=None, generator=None, callback=None
    ):
        fault, frames = self.fault, cameras.num_frames
        batch, _, height, width = image.shape
        if fault == "rounds frames":
            frames -= (frames - 1) % 4
        if fault == "crops":
            height, width = (side - side % 8 for side in (height, width))
        try:
            shape = (batch, *self.spec.latent_shape(frames, height, width))
        except ValueError as error:
            raise ValueError("no") if fault == "refuses without a word" else error from None
        if fault != "any cameras" and cameras.batch_shape != (batch,):
            raise ValueError("cameras")
        if fault != "any prompts" and prompt is not None and len(prompt) != batch:
            raise ValueError("prompt")
        if fault == "one image" and batch != 1:
            raise NotImplementedError("one image at a time")
        if fault == "changes the image":
            image *= 2
        if fault == "changes the cameras":
            cameras.camera_to_world[..., 0, 3] += 1
        known = self.encode(image[:, None].expand(-1, frames, -1, -1, -1)[..., :height, :width])
        noise = torch.randn(shape, generator=generator)
        if fault == "draws globally":
            noise = noise + 0 * torch.rand(())
        if fault == "not determined":
            self.calls = getattr(self, "calls", 0) + 1
            noise = noise + self.calls
        if fault == "ignores the seed":
            noise = torch.zeros(shape)
        if fault == "skips a step" and callback is not None:
            callback, watched = None, callback
            callback = lambda state: watched(state) if state.step else None  # noqa: E731
        weight = torch.tensor(self.weight, requires_grad=fault == "keeps the graph")
        latents = euler_sample(
            lambda z, time, conditional: z - known + weight,
            noise,
            num_steps=num_steps,
            callback=None if fault == "no callback" else callback,
        )
        if fault == "infinite":
            latents = latents / 0
        if fault == "half precision":
            latents = latents.half()
        if fault == "channels first":
            latents = latents.transpose(1, 2)
        return latents if fault == "keeps the graph" else latents.detach()

    def save_pretrained(self, folder: Path) -> None:
        if self.fault != "saves nothing":
            weight = 2 * self.weight if self.fault == "saves 2x" else self.weight
            (Path(folder) / "weight.txt").write_text(f"{weight} {self.fault}")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Flow":
        weight, _, fault = (Path(folder) / "weight.txt").read_text().partition(" ")
        flow = cls(fault)
        flow.weight = float(weight)
        return flow


FAULTS = {
    "channels first": {"latents", "batch"},
    "half precision": {"latents", "batch"},
    "infinite": {"latents", "batch", "callback"},
    "keeps the graph": {"latents", "batch"},
    "one image": {"batch"},
    "rounds frames": {"frame rule"},
    "refuses without a word": {"frame rule", "size rule"},
    "crops": {"size rule"},
    "any cameras": {"batch axes"},
    "any prompts": {"prompts"},
    "not determined": {"seed", "save and load"},
    "ignores the seed": {"seed"},
    "draws globally": {"global randomness"},
    "changes the image": {"inputs"},
    "changes the cameras": {"inputs"},
    "no callback": {"callback"},
    "skips a step": {"callback"},
    "encoder draws": {"encode", "decode", "seed", "global randomness", "save and load"},
    "any clip encodes": {"encode"},
    "decodes to [-1, 1]": {"decode"},
    "saves nothing": {"save and load"},
    "saves 2x": {"save and load"},
}


def test_a_backbone_of_ones_own_keeps_it() -> None:
    assert isinstance(Flow(), VideoBackbone)
    check_backbone(Flow(), adapted=Flow())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_broken_rule_is_named(fault) -> None:
    with pytest.raises(BackboneContractError) as caught:
        check_backbone(Flow(fault))
    broken = caught.value.broken
    assert set(broken) == FAULTS[fault], broken
    assert all(f"- {rule}: {reason}" in str(caught.value) for rule, reason in broken.items())


def test_an_adapter_that_changes_the_start_is_noticed() -> None:
    other = Flow()
    other.weight = 0.2
    with pytest.raises(BackboneContractError, match="camera adapter: with a new camera adapter"):
        check_backbone(Flow(), adapted=other)


def test_what_is_no_backbone_is_said_first() -> None:
    with pytest.raises(BackboneContractError, match="spec: no encode, decode, generate"):
        check_backbone(object())
    flow = Flow()
    flow.spec = (12, 4, 8)
    with pytest.raises(BackboneContractError, match="spec is a tuple"):
        check_backbone(flow)
    with pytest.raises(ValueError, match="num_steps must be >= 2, got 1"):
        check_backbone(Flow(), num_steps=1)
