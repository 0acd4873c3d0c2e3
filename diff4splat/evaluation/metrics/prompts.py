"""How well frames show what a prompt says, by features of both in one space."""

from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.metrics.vectors import unit_vectors

__all__ = ["clip_score", "clip_scores"]


def clip_scores(
    frame_features: Float[Tensor, "frame feature"], text_features: Float[Tensor, " text_feature"]
) -> Float[Tensor, " frame"]:
    r"""CLIP-Score of each frame: a hundred times the cosine of frame and prompt.

    $$s_t = 100 \, \frac{f_t \cdot p}{\lVert f_t \rVert \, \lVert p \rVert}$$

    with $f_t$ = `frame_features`, $p$ = `text_features`. Source: Hessel et al. 2021, which has a factor of
    2.5 on the cosine; the field's tables have 100.

    Differs: Hessel et al. set negative cosines to 0, torchmetrics the mean of a whole set. Here nothing is
    set to 0, neither of frames nor of clips, so that a mean does not depend on what it is taken over.

    Args:
        frame_features: One vector per frame, of any length but 0.
        text_features: The vector of the prompt.

    Returns:
        One number in [-100, 100] per frame, in float64, detached.

    Raises:
        ValueError: If there is no frame or not one vector for each, the widths differ, or a vector is zero or
            not finite.
    """
    if frame_features.ndim != 2:
        raise ValueError(
            f"frame_features must be one vector per frame, got shape {tuple(frame_features.shape)}."
        )
    if text_features.shape != frame_features.shape[1:]:
        raise ValueError(
            f"text_features must have the {frame_features.shape[1]} features of a frame, "
            f"got shape {tuple(text_features.shape)}."
        )
    if not len(frame_features):
        raise ValueError("frame_features must be of at least 1 frame, got none.")
    named = (("frame_features", frame_features), ("text_features", text_features))
    frames, text = (unit_vectors(vectors, name=name, kind="a vector that") for name, vectors in named)
    return 100 * (frames @ text).clamp(-1, 1)


def clip_score(
    frame_features: Float[Tensor, "frame feature"], text_features: Float[Tensor, " text_feature"]
) -> float:
    """CLIP-Score of a clip: the mean of `clip_scores` over its frames, not clamped.

    Args:
        frame_features: One vector per frame.
        text_features: The vector of the prompt.

    Returns:
        A number in [-100, 100].

    Raises:
        ValueError: As `clip_scores`.
    """
    return float(clip_scores(frame_features, text_features).mean())
