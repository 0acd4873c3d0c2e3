"""Features of frames by DINO, for subject consistency."""

import os
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.evaluation.extractors.loading import load_transformers_model
from diff4splat.evaluation.extractors.preparing import DINO_PREPARATION, in_batches
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["DinoFeatures"]


class DinoFeatures:
    """The class token of a vision transformer that was trained without labels, after its last layer norm.

    Frames are prepared as by VBench: short side to 224 by a bilinear kernel without antialiasing, rounded to
    8 bits, no crop, mean and deviation of ImageNet. What is left of a long side that is no multiple of the
    patch is not seen.

    Differs: for frames that are not square the embeddings of positions are stretched to the grid of patches;
    the original code stretches them by a factor that is a little larger.

    Args:
        source: Folder or Hub id of a `ViTModel`; "facebook/dino-vitb16" when omitted.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        batch_size: Frames that pass through the network at once.
        device: Where it runs.

    Raises:
        ModuleNotFoundError: If transformers is missing.
        FileNotFoundError: If files are missing; says where to get them.
        ValueError: If the folder holds another kind of model, or the file lacks weights.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        batch_size: int = 16,
        device: str | torch.device = "cpu",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        card = EXTRACTORS["dino"]
        model, _, weights = load_transformers_model(
            card,
            source,
            class_name="ViTModel",
            model_type="vit",
            revision=revision,
            local_files_only=local_files_only,
            add_pooling_layer=False,
        )
        self._model: Any = model.to(device)
        self._batch_size, self._device = batch_size, torch.device(device)
        config = self._model.config
        self._spec = ExtractorSpec(
            f"DINO, patches of {config.patch_size}, {config.num_hidden_layers} layers of "
            f"{config.hidden_size}",
            "class token",
            str(DINO_PREPARATION),
            weights,
            card.licence,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    @torch.no_grad()
    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "frame feature"]:
        """Features of frames.

        Args:
            frames: RGB.

        Returns:
            One vector per frame, not normalised, float32 on the CPU.

        Raises:
            ValueError: If there is no frame.
        """

        def tokens(pixels: Tensor) -> Tensor:
            seen = self._model(pixel_values=pixels, interpolate_pos_encoding=True)
            return seen.last_hidden_state[:, 0]

        return in_batches(frames, DINO_PREPARATION, tokens, self._batch_size, self._device)
