"""Weights of the heads that say how beautiful a picture is, from an embedding of CLIP ViT-L/14."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.evaluation.extractors.loading import file_hash, find_file, read_state
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["AestheticWeights", "load_aesthetic_weights"]

# Numbers of the layers, which say that nothing but dropout is in between: the files with ReLUs have others.
_NAMES = {(0, 2, 4, 6, 7): "improved aesthetic predictor", (0,): "LAION aesthetic predictor"}


@dataclass(frozen=True, eq=False)
class AestheticWeights:
    """A head that was learned on normalised embeddings of CLIP ViT-L/14, as one affine map.

    Two heads are in use, with different numbers, about 1 to 10. The improved aesthetic predictor
    (`sac+logos+ava1-l14-linearMSE.pth`) has layers of 768, 1024, 128, 64, 16 and 1 numbers without
    activations in between, so it is one affine map. That of LAION (`sa_0_4_vit_l_14_linear.pth`) is one layer
    from the start; VBench divides its score by 10. Source: Schuhmann et al. 2022, LAION-5B. The Diff4Splat
    paper does not say which it took.

    Args:
        weight: A factor for each feature.
        bias: Score of the zero vector.
        spec: What it is; the spec of the embeddings belongs beside it.
    """

    weight: Float[Tensor, " feature"]
    bias: float
    spec: ExtractorSpec


def load_aesthetic_weights(
    source: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
) -> AestheticWeights:
    """Read one of the two heads; which one it is, its layers say.

    The file is a pickle, read by `torch.load(weights_only=True)`, which runs no code.

    Args:
        source: The file; or a folder or Hub id that holds `aesthetic-model.pth`, the improved predictor,
            "trl-lib/ddpo-aesthetic-predictor" when omitted.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.

    Returns:
        The head, in float64.

    Raises:
        FileNotFoundError: If the file is not there; says where to get it.
        ValueError: If it holds something else.
    """
    card = EXTRACTORS["aesthetic-head"]
    path = find_file(card, source, revision=revision, local_files_only=local_files_only)
    layers = _layers(read_state(path), path)
    weight, bias = _fold(layers)
    single = len(layers) == 1
    layout = " to ".join(str(width) for width in (len(weight), *(len(bias) for _, bias in layers)))
    spec = ExtractorSpec(
        _NAMES[(0,)] if single else _NAMES[(0, 2, 4, 6, 7)],
        f"linear layers {layout}",
        "normalised embedding of CLIP ViT-L/14",
        file_hash(path),
        "MIT" if single else card.licence,
    )
    return AestheticWeights(weight, bias, spec)


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


def _fold(layers: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, float]:
    """The affine map that linear layers without activations are together."""
    matrix, shift = layers[0][0].double(), layers[0][1].double()
    for weight, bias in layers[1:]:
        matrix, shift = weight.double() @ matrix, weight.double() @ shift + bias.double()
    return matrix[0], float(shift[0])
