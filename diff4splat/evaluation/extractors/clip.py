"""Embeddings of frames and prompts by CLIP, for CLIP-Score, the aesthetic head and background consistency."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.evaluation.extractors.loading import load_transformers_model
from diff4splat.evaluation.extractors.preparing import CLIP_PREPARATION, FramePreparation, in_batches
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["ClipEmbeddings", "background_embeddings"]

_WORDS = ("vocab.json", "merges.txt")  # together they do what tokenizer.json does
_TOKENIZER = ("tokenizer.json", *_WORDS, "tokenizer_config.json", "special_tokens_map.json")


class ClipEmbeddings:
    """Vectors of frames and prompts in the space of a CLIP model of the transformers library.

    Frames are prepared as by CLIP's own code: short side to 224 by a bicubic kernel with antialiasing, values
    rounded to 8 bits, the middle 224 x 224 cut out. Of 480 x 720 pixels the crop drops a third of the width.
    Prompts have at most 77 tokens, the marks of begin and end included; what is longer is cut, counted and
    warned of.

    Differs: Pillow, which CLIP's code resizes by, rounds to 8 bits between the two directions, too, which
    moves about one value in six by a level. The number of a CLIP-Score depends on the model: name it.

    Args:
        source: Folder or Hub id of a `CLIPModel`; "openai/clip-vit-base-patch32" when omitted.
        antialias: Whether the kernel is widened where frames are made smaller; VBench has False.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        batch_size: Frames or prompts that pass through the network at once.
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
        antialias: bool = True,
        revision: str | None = None,
        local_files_only: bool = False,
        batch_size: int = 32,
        device: str | torch.device = "cpu",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        cards = (card for card in EXTRACTORS.values() if card.source == source)
        card = next(cards, EXTRACTORS["clip"])
        model, folder, weights = load_transformers_model(
            card,
            source,
            class_name="CLIPModel",
            model_type="clip",
            extra_files=_TOKENIZER,
            revision=revision,
            local_files_only=local_files_only,
        )
        from transformers import AutoTokenizer

        if not (folder / "tokenizer.json").is_file() and not all(
            (folder / name).is_file() for name in _WORDS
        ):
            raise FileNotFoundError(
                f"{folder} needs tokenizer.json, or {' and '.join(_WORDS)}, to read prompts."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        self._model: Any = model.to(device)
        self._batch_size, self._device = batch_size, torch.device(device)
        vision = self._model.config.vision_config
        self._limit: int = self._model.config.text_config.max_position_embeddings
        self._preparation: FramePreparation = replace(
            CLIP_PREPARATION, size=vision.image_size, antialias=antialias
        )
        self._num_cut = 0
        self._spec = ExtractorSpec(
            f"CLIP, patches of {vision.patch_size}, {vision.num_hidden_layers} layers of "
            f"{vision.hidden_size}, {vision.hidden_act}",
            "projected embedding",
            f"{self._preparation}; prompts cut to {self._limit} tokens",
            weights,
            card.licence,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    @property
    def num_cut_prompts(self) -> int:
        """Prompts that were too long and have been cut, since this object was made."""
        return self._num_cut

    @torch.no_grad()
    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "frame feature"]:
        """Embeddings of frames.

        Args:
            frames: RGB.

        Returns:
            One vector per frame, not normalised, float32 on the CPU.

        Raises:
            ValueError: If there is no frame.
        """

        def embeddings(pixels: Tensor) -> Tensor:
            seen = self._model.vision_model(pixel_values=pixels)
            return self._model.visual_projection(seen.pooler_output)

        return in_batches(frames, self._preparation, embeddings, self._batch_size, self._device)

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Float[Tensor, "prompt feature"]:
        """Embeddings of prompts.

        Args:
            prompts: Texts; what is too long is cut, with a warning that says how many.

        Returns:
            One vector per prompt, not normalised, float32 on the CPU.

        Raises:
            ValueError: If there is no prompt.
            TypeError: If `prompts` is one text instead of a sequence of them.
        """
        if isinstance(prompts, str):
            raise TypeError(f"prompts must be a sequence of texts, got the text {prompts!r}.")
        if not len(prompts):
            raise ValueError("prompts must be at least one, got none.")
        texts = list(prompts)
        lengths = [len(tokens) for tokens in self._tokenizer(texts, verbose=False)["input_ids"]]
        cut = sum(length > self._limit for length in lengths)
        self._num_cut += cut
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} prompts have more than {self._limit} tokens and are cut; the longest "
                f"has {max(lengths)}.",
                stacklevel=2,
            )
        parts = []
        for start in range(0, len(texts), self._batch_size):
            tokens = self._tokenizer(
                texts[start : start + self._batch_size],
                padding="max_length",
                truncation=True,
                max_length=self._limit,
                return_tensors="pt",
            ).to(self._device)
            read = self._model.text_model(**tokens)
            parts.append(self._model.text_projection(read.pooler_output).cpu())
        return torch.cat(parts)


def background_embeddings(source: str | os.PathLike[str] | None = None, **options: Any) -> ClipEmbeddings:
    """Embeddings for background consistency, as VBench takes them: CLIP without antialiasing.

    Differs: what VBench's loader of pictures reads through Pillow is antialiased; its loader of videos, which
    most results come from, is not.

    Args:
        source: Folder or Hub id; "openai/clip-vit-base-patch32" when omitted.
        **options: Others of `ClipEmbeddings`.

    Returns:
        The extractor.

    Raises:
        TypeError: If `antialias` is among the options.
    """
    if "antialias" in options:
        raise TypeError("antialias must not be given: without it is what background_embeddings is for.")
    return ClipEmbeddings(source, antialias=False, **options)
