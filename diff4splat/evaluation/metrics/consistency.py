"""How much the frames of a clip stay alike."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.evaluation.metrics.vectors import unit_vectors

__all__ = ["MaskFill", "masked_frames", "temporal_consistency"]

MaskFill = Literal["grey", "mean"]
"""What takes the place of pixels that do not count: middle grey, or the mean colour of those that do."""


def temporal_consistency(features: Float[Tensor, "frame feature"]) -> float:
    r"""Mean cosine of each frame with the one before it and with the first one.

    $$\frac{1}{T - 1} \sum_{t=2}^T \frac{\max(0, \cos(f_t, f_{t-1})) + \max(0, \cos(f_t, f_1))}{2}$$

    with $f_t$ = `features`. With features of DINO it is the subject consistency of VBench, with those of CLIP
    its background consistency, both of whole frames; for a part of them see `masked_frames`. Source: Huang et
    al. 2024, VBench.

    A frozen clip scores 1, so a number that says how much moves belongs beside it.

    Differs: The number that VBench gives for a set weighs clips by their frames. This is one number per clip,
    so that the mean of a set weighs clips alike and scenes can be told apart.

    Args:
        features: One vector per frame, in order, at least 2, of any length but 0.

    Returns:
        A number in [0, 1], in float64; the paper prints it times 100.

    Raises:
        ValueError: If there are fewer than 2 frames or not one vector for each, or a vector is zero or not
            finite.
    """
    if features.ndim != 2:
        raise ValueError(f"features must be one vector per frame, got shape {tuple(features.shape)}.")
    if len(features) < 2:
        raise ValueError(f"features must be of at least 2 frames, got {len(features)}.")
    unit = unit_vectors(features, name="features", kind="a frame whose vector")
    before = (unit[1:] * unit[:-1]).sum(-1).clamp(0, 1)
    first = (unit[1:] * unit[0]).sum(-1).clamp(0, 1)
    return float(((before + first) / 2).mean())


def masked_frames(
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    mask: Bool[Tensor, "frame height width"],
    *,
    fill: MaskFill = "grey",
) -> UInt8[Tensor, "frame rgb=3 height width"]:
    """Frames of which only a part is left, for the consistency of a subject or of what is behind it.

    The Diff4Splat paper measures "after performing segmentation", VBench on whole frames, so what was done
    belongs beside the number. The fill is one colour for the whole clip: it makes frames more alike.

    Args:
        frames: RGB.
        mask: Pixels that stay.
        fill: What the others become.

    Returns:
        New frames.

    Raises:
        TypeError: If frames are not uint8 or the mask is not boolean.
        ValueError: If the sizes differ, `fill` is none of the two, or the mean of no pixel is asked for.
    """
    if fill not in get_args(MaskFill):
        raise ValueError(f"fill must be one of {', '.join(get_args(MaskFill))}, got {fill!r}.")
    if (frames.dtype, mask.dtype) != (torch.uint8, torch.bool):
        raise TypeError(f"frames must be uint8 and mask boolean, got {frames.dtype} and {mask.dtype}.")
    if mask.shape != (len(frames), *frames.shape[-2:]):
        raise ValueError(
            f"mask must be one for each pixel of frames, {(len(frames), *frames.shape[-2:])}, "
            f"got shape {tuple(mask.shape)}."
        )
    if fill == "mean" and not mask.any():
        raise ValueError("mask must hold somewhere to take the mean colour from, got none.")
    colour = torch.full((3,), 128, dtype=torch.uint8, device=frames.device)
    if fill == "mean":
        kept = frames.movedim(1, -1)[mask]
        colour = kept.double().mean(0).round().to(torch.uint8)
    return torch.where(mask[:, None], frames, colour[:, None, None])
