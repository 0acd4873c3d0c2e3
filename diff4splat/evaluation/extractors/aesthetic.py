"""How beautiful frames are, as heads on embeddings of CLIP ViT-L/14 say it."""

import os
import re
from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.evaluation.extractors.clip import ClipEmbeddings
from diff4splat.evaluation.extractors.loading import file_hash, find_file, read_state
from diff4splat.evaluation.extractors.protocols import FrameFeatures
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.metrics.quality import AestheticHead, aesthetic_scores

__all__ = ["AestheticRatings", "load_aesthetic_head", "load_aesthetic_ratings"]

# Numbers of the layers, which say that nothing but dropout is in between: the files with ReLUs have others.
_NAMES = {(0, 2, 4, 6, 7): "improved aesthetic predictor", (0,): "LAION aesthetic predictor"}


class AestheticRatings:
    """One rating per frame, about 1 to 10: an affine map of its normalised embedding.

    Args:
        embeddings: Of CLIP ViT-L/14, OpenAI's weights. Other networks with as many features give numbers,
            too, which mean nothing.
        head: Learned on normalised embeddings.
        head_spec: What the head is; that of the embeddings is put beside it.
    """

    def __init__(self, embeddings: FrameFeatures, head: AestheticHead, head_spec: ExtractorSpec) -> None:
        self._embeddings, self._head = embeddings, head
        below, above = embeddings.spec, head_spec
        self._spec = ExtractorSpec(
            f"{above.name} on {below.name}",
            f"{below.layer}, {above.layer}",
            below.preprocessing,
            f"{below.weights} and {above.weights}",
            " and ".join(dict.fromkeys(part for part in (below.licence, above.licence) if part)),
            below.trained and above.trained,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, " frame"]:
        """Rate frames.

        Args:
            frames: RGB.

        Returns:
            One number per frame, float64 on the CPU.

        Raises:
            ValueError: If there is no frame, the embeddings have another width than the head, or one of them
                is zero or not finite.
        """
        features = self._embeddings(frames)
        if features.shape[1:] != self._head.weight.shape:
            raise ValueError(
                f"embeddings must have the {len(self._head.weight)} features that the head takes, got "
                f"{features.shape[1]}: it takes those of CLIP ViT-L/14."
            )
        return aesthetic_scores(features, self._head)


def load_aesthetic_ratings(
    source: str | os.PathLike[str] | None = None,
    *,
    clip: str | os.PathLike[str] = "openai/clip-vit-large-patch14",
    local_files_only: bool = False,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
) -> AestheticRatings:
    """Load CLIP ViT-L/14 and a head.

    Args:
        source: The head, see `load_aesthetic_head`.
        clip: Folder or Hub id of CLIP ViT-L/14, see `ClipEmbeddings`.
        local_files_only: Use what the Hub cache holds, without network.
        batch_size: Frames that pass through CLIP at once.
        device: Where CLIP runs.

    Returns:
        The extractor.

    Raises:
        ModuleNotFoundError: If transformers is missing.
        FileNotFoundError: If files are missing; says where to get them.
        ValueError: If a file holds something else.
    """
    head, spec = load_aesthetic_head(source, local_files_only=local_files_only)
    embeddings = ClipEmbeddings(clip, local_files_only=local_files_only, batch_size=batch_size, device=device)
    return AestheticRatings(embeddings, head, spec)


def load_aesthetic_head(
    source: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
) -> tuple[AestheticHead, ExtractorSpec]:
    """Read one of the two heads on embeddings of CLIP ViT-L/14; which one it is, its layers say.

    Their numbers differ, about 1 to 10. The improved aesthetic predictor (`sac+logos+ava1-l14-linearMSE.pth`)
    has layers of 768, 1024, 128, 64, 16 and 1 numbers without activations in between, so it is one affine
    map. That of LAION (`sa_0_4_vit_l_14_linear.pth`) is one layer from the start; VBench divides its score by
    10. Source: Schuhmann et al. 2022, LAION-5B. The Diff4Splat paper does not say which it took.

    The file is a pickle, read by `torch.load(weights_only=True)`, which runs no code.

    Args:
        source: The file; or a folder or Hub id that holds `aesthetic-model.pth`, the improved predictor,
            "trl-lib/ddpo-aesthetic-predictor" when omitted.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.

    Returns:
        The head, in float64, and what it is.

    Raises:
        FileNotFoundError: If the file is not there; says where to get it.
        ValueError: If it holds something else.
    """
    card = EXTRACTORS["aesthetic"]
    path = find_file(card, source, revision=revision, local_files_only=local_files_only)
    layers = _layers(read_state(path), path)
    head = AestheticHead.from_linear_layers(*zip(*layers, strict=True))
    single = len(layers) == 1
    layout = " to ".join(str(width) for width in (len(head.weight), *(len(bias) for _, bias in layers)))
    spec = ExtractorSpec(
        _NAMES[(0,)] if single else _NAMES[(0, 2, 4, 6, 7)],
        f"linear layers {layout}",
        "normalised embedding of CLIP ViT-L/14",
        file_hash(path),
        "MIT" if single else card.licence,
    )
    return head, spec


def _layers(state: Mapping[str, Tensor], path: os.PathLike[str]) -> list[tuple[Tensor, Tensor]]:
    """Matrices and biases in the order of the numbers in their names, checked."""
    names = [re.fullmatch(r"(?:layers\.(\d+)\.)?(weight|bias)", name) for name in state]
    found = {(int(match[1] or 0), match[2]): state[match[0]] for match in names if match}
    numbers = tuple(sorted({number for number, _ in found}))
    if not all(names) or len(found) != 2 * len(numbers) or numbers not in _NAMES:
        raise ValueError(
            f"{path} must hold the layers {' or '.join(map(str, _NAMES))} of an aesthetic head, "
            f"got {', '.join(list(state)[:4]) or 'nothing'}. Heads whose layers have other numbers have "
            "activations in between, which cannot be folded."
        )
    pairs = [(found[number, "weight"], found[number, "bias"]) for number in numbers]
    widths = [pairs[0][0].shape[-1], *(len(bias) for _, bias in pairs)]
    if widths[-1] != 1 or any(
        weight.shape != (after, before) or not bool(weight.isfinite().all() and bias.isfinite().all())
        for (weight, bias), before, after in zip(pairs, widths[:-1], widths[1:], strict=True)
    ):
        shapes = ", ".join(str(tuple(weight.shape)) for weight, _ in pairs)
        raise ValueError(f"{path} must hold finite layers that end in one number, got {shapes}.")
    return pairs
