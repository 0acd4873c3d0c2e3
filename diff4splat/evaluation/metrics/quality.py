"""How good frames look, as heads on learned features and language models say it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.metrics.vectors import unit_vectors

__all__ = ["AestheticHead", "LevelScale", "aesthetic_scores", "fold_linear_layers", "level_score"]

LevelScale = Literal["zero_to_one", "one_to_five", "zero_to_five"]
"""Range of a quality score: of the code of Q-Align, of pyiqa, or of the Diff4Splat paper."""

_RANGES: dict[str, tuple[float, float]] = {
    "zero_to_one": (0.0, 1.0),
    "one_to_five": (1.0, 5.0),
    "zero_to_five": (0.0, 5.0),
}


def level_score(logits: Float[Tensor, "*batch level=5"], *, scale: LevelScale) -> Float[Tensor, " *batch"]:
    r"""Expected quality, when a language model chooses among excellent, good, fair, poor and bad.

    $$q = a + (b - a) \sum_{i=1}^5 \frac{5 - i}{4} \, p_i, \qquad p = \operatorname{softmax}(l)$$

    with $l$ = `logits`, excellent first, and $[a, b]$ the range that `scale` names. Source: Wu et al. 2023,
    Q-Align. Its code returns 0 to 1, pyiqa 1 to 5, and the Diff4Splat paper says "0 to 5", so the scale has
    to be said.

    Args:
        logits: Of the five words, from excellent to bad.
        scale: Range of the score.

    Returns:
        One score per row of logits, in float64, detached.

    Raises:
        ValueError: If `scale` is none of the three, there are not five logits, or one is not finite.

    Examples:
        >>> float(level_score(torch.zeros(5), scale="one_to_five"))
        3.0
    """
    if scale not in get_args(LevelScale):
        raise ValueError(f"scale must be one of {', '.join(get_args(LevelScale))}, got {scale!r}.")
    if logits.shape[-1:] != (5,):
        raise ValueError(f"logits must be of five words, got shape {tuple(logits.shape)}.")
    if not torch.isfinite(logits).all():
        raise ValueError("logits must be finite, got NaN or infinity.")
    low, high = _RANGES[scale]
    weights = torch.linspace(1, 0, 5, dtype=torch.float64)
    return low + (high - low) * (logits.detach().cpu().double().softmax(-1) @ weights)


@dataclass(frozen=True, eq=False)
class AestheticHead:
    """Affine map from a normalised image embedding to a score, about 1 to 10.

    Args:
        weight: Factor of each feature.
        bias: Score of the zero vector.
    """

    weight: Float[Tensor, " feature"]
    bias: float

    @classmethod
    def from_linear_layers(cls, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> "AestheticHead":
        """Head of layers without activations in between, such as those of the improved aesthetic predictor.

        Args:
            weights: Matrices of the layers, first to last, output by input.
            biases: As many vectors.

        Returns:
            The one affine map that they are together.

        Raises:
            ValueError: If they do not fit together, or come to more than one number.
        """
        weight, bias = fold_linear_layers(weights, biases)
        if len(bias) != 1:
            raise ValueError(f"weights must end in one number, got {len(bias)}.")
        return cls(weight[0], float(bias[0]))


def aesthetic_scores(
    features: Float[Tensor, "*batch feature"], head: AestheticHead
) -> Float[Tensor, " *batch"]:
    r"""Predicted beauty of images, $w \cdot f / \lVert f \rVert + b$.

    with $f$ = `features` and $w, b$ of `head`. Source: Schuhmann et al. 2022, LAION-5B, and its aesthetic
    predictors; there is more than one head, and their numbers differ.

    Args:
        features: Embeddings of images, of any length but 0.
        head: Affine map that was learned on normalised embeddings.

    Returns:
        One score per image, in float64, detached.

    Raises:
        ValueError: If the widths differ, or an embedding is zero or not finite.
    """
    if features.shape[-1:] != head.weight.shape:
        raise ValueError(
            f"features must have the {head.weight.numel()} numbers that head takes, got {features.shape[-1]}."
        )
    unit = unit_vectors(features, name="features", kind="an embedding that")
    return (unit * head.weight.detach().cpu().double()).sum(-1) + head.bias


def fold_linear_layers(
    weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> tuple[Float[Tensor, "output input"], Float[Tensor, " output"]]:
    r"""One affine map that does what several in a row do, $W = W_n \cdots W_1$, $b = W_n b_{n-1} + b_n$.

    Args:
        weights: Matrices $W_i$ of the layers, first to last, output by input.
        biases: As many vectors.

    Returns:
        Matrix and bias in float64, detached.

    Raises:
        ValueError: If there is no layer, or they do not fit together.
    """
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"weights and biases must be as many, at least 1, got {len(weights)} and {len(biases)}."
        )
    matrix, bias = weights[0].detach().cpu().double(), biases[0].detach().cpu().double()
    for index, (weight, summand) in enumerate(zip(weights, biases, strict=True)):
        expected = "two axes" if not index else f"{matrix.shape[0]} inputs"
        if weight.ndim != 2 or (index and weight.shape[1] != matrix.shape[0]):
            raise ValueError(f"weights[{index}] must have {expected}, got shape {tuple(weight.shape)}.")
        if summand.shape != weight.shape[:1]:
            raise ValueError(
                f"biases[{index}] must be of shape ({weight.shape[0]},), got {tuple(summand.shape)}."
            )
        if index:
            layer = weight.detach().cpu().double()
            matrix, bias = layer @ matrix, layer @ bias + summand.detach().cpu().double()
    return matrix, bias
