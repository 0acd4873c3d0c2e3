"""Flags that make a large video model fit or run faster, the same for every command that loads one."""

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from diff4splat.cli.errors import naming

if TYPE_CHECKING:
    import torch

    from diff4splat.pipelines import Diff4SplatPipeline

__all__ = ["SpeedFlags"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SpeedFlags:
    """Flags for large video models, a base for commands; the bundled model takes none of them.

    Args:
        offload: Keep weights in main memory and bring to the GPU what is needed: "model", the text encoder,
            autoencoder or transformer at a time; "group", one block; "leaf", one layer. Less memory from left
            to right, and slower. The same result.
        storage_8bit: Keep the video model in 8 bits: half the memory, about the same time, a slightly other
            result.
        cache: Reuse what changes little between steps: first_block, taylor or pyramid. Faster, and a
            slightly other result.
        compile: Compile the video model: minutes at first, then faster. The same result.
        attention: Attention kernel of diffusers, such as native, _native_cudnn, sage or flash_hub.
        tiny_vae: Decode with a tiny autoencoder, a file of TAEHV such as taew2_2.safetensors, where a model
            such as MoVieS reads frames: less memory and time, and frames that are a little softer.
    """

    offload: Annotated[Literal["none", "model", "group", "leaf"], arg(metavar="HOW")] = "none"
    storage_8bit: Annotated[bool, FlagCreatePairsOff] = False
    cache: Annotated[Literal["none", "first_block", "taylor", "pyramid"], arg(metavar="NAME")] = "none"
    compile: Annotated[bool, FlagCreatePairsOff] = False
    attention: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    tiny_vae: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None

    def speed_up(self, pipeline: "Diff4SplatPipeline", device: "torch.device") -> None:
        """Move a pipeline to a device, with the switches that the flags ask for.

        Args:
            pipeline: As it was loaded, on the CPU.
            device: Where to compute.

        Raises:
            ValueError: If flags do not go together, do nothing for this model, or want a GPU that is not
                asked for.
        """
        from diff4splat.backbones.speed import SpeedOptions
        from diff4splat.pipelines import speed_up

        backbone = pipeline.backbone
        given = self._given()
        if given and not hasattr(backbone, "use"):
            raise ValueError(
                f"{given[0]} is for a large video model such as wan2.1, and this one "
                f"({type(backbone).__name__}) needs none: leave it out."
            )
        if self.offload != "none" and device.type == "cpu":
            raise ValueError(f"--offload {self.offload} brings weights to a GPU, got --device {device}.")
        options = SpeedOptions(
            cache=None if self.cache == "none" else self.cache,
            compile=self.compile,
            attention=self.attention,
            offload=None if self.offload == "none" else self.offload,
            storage="float8" if self.storage_8bit else None,
        )
        if self.tiny_vae is not None:
            from diff4splat.backbones import TinyVideoVAE
            from diff4splat.pipelines import decode_by

            with naming("--tiny-vae cannot be read", self.tiny_vae):
                tiny_vae = TinyVideoVAE.from_pretrained(self.tiny_vae)
            decode_by(pipeline, tiny_vae)
        for words in speed_up(pipeline, options, device=device).values():
            logger.info("%s", words)

    def _given(self) -> list[str]:
        """Flags that are not as they are by default."""
        return [
            "--" + field.name.replace("_", "-")
            for field in fields(SpeedFlags)
            if getattr(self, field.name) != field.default
        ]
