"""A pipeline on its device, with the speed switches of its backbone."""

from typing import Protocol, runtime_checkable

import torch

from diff4splat.backbones.speed import AppliedSpeed, SpeedOptions
from diff4splat.pipelines.image_to_4d import Diff4SplatPipeline

__all__ = ["speed_up"]


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
