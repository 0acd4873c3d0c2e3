"""A pipeline on its device, with the speed switches of its backbone, and a smaller decoder if wanted."""

from typing import Protocol, runtime_checkable

import torch

from diff4splat.backbones.speed import AppliedSpeed, SpeedOptions
from diff4splat.backbones.tiny_vae import TinyVideoVAE
from diff4splat.pipelines.decoded import DecodedReconstructor
from diff4splat.pipelines.image_to_4d import Diff4SplatPipeline

__all__ = ["decode_by", "speed_up"]


@runtime_checkable
class _Switchable(Protocol):
    def use(self, options: SpeedOptions, *, device: str | torch.device | None = None) -> AppliedSpeed: ...


def speed_up(
    pipeline: Diff4SplatPipeline, options: SpeedOptions, *, device: str | torch.device
) -> dict[str, str]:
    """Turn switches of the backbone of a pipeline on and move the pipeline to a device.

    The switches come first: with `options.offload` the weights of the backbone stay in main memory.

    Args:
        pipeline: As it was loaded, on the CPU.
        options: What to switch on.
        device: Where to compute.

    Returns:
        What each switch was found to have changed, in words.

    Raises:
        ValueError: If the backbone has no switches and one is asked for, or a switch does nothing for it.
    """
    backbone = pipeline.backbone
    if options == SpeedOptions():
        pipeline.to(device)
        return {}
    if not isinstance(backbone, _Switchable):
        raise ValueError(
            f"{type(backbone).__name__} has no speed switches, got {options}; take fewer num_steps instead."
        )
    found = backbone.use(options, device=device).found
    pipeline.to(device)
    return found


def decode_by(pipeline: Diff4SplatPipeline, tiny_vae: TinyVideoVAE) -> None:
    """Let a tiny autoencoder decode for a reconstructor that reads frames: far less time and memory.

    Args:
        pipeline: One whose reconstructor reads frames; it is changed.
        tiny_vae: Autoencoder for the latents of the pipeline's backbone.

    Raises:
        ValueError: If the reconstructor reads latents, or `tiny_vae` has latents of another kind.
    """
    if not isinstance(pipeline.ldrm, DecodedReconstructor):
        raise ValueError(
            f"tiny_vae decodes for a reconstructor that reads frames, got {type(pipeline.ldrm).__name__}, "
            "which reads latents: nothing has to be decoded."
        )
    tiny_vae.check_fits(pipeline.backbone.spec)
    pipeline.ldrm = DecodedReconstructor(tiny_vae, pipeline.ldrm.reconstructor)
