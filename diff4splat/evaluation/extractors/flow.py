"""Optical flow without learned weights, and how much a clip moves by it."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.opencv import opencv
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.metrics.flow import flow_magnitude

__all__ = ["ClipMotion", "DisFlow", "FlowPreset", "OpticalFlow", "clip_motion"]

FlowPreset = Literal["ultrafast", "fast", "medium"]
"""How carefully `DisFlow` searches."""

_LEAST_SIDE = 16  # below, the search has no pyramid


@runtime_checkable
class OpticalFlow(Protocol):
    """Finds where each pixel of an image went."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(
        self, first: UInt8[Tensor, "rgb=3 height width"], second: UInt8[Tensor, "rgb=3 height width"]
    ) -> Float[Tensor, "height width xy=2"]:
        """Flow from one image to another.

        Args:
            first: RGB.
            second: RGB, as large.

        Returns:
            x and y displacement of each pixel of the first image, pixels, on the CPU.
        """
        ...


class DisFlow:
    """Optical flow by dense inverse search, OpenCV's implementation.

    Deterministic, on grey images of their own size. Where there is no texture it says little motion. Source:
    Kroeger et al. 2016.

    Args:
        preset: How carefully it searches.

    Raises:
        ValueError: If `preset` is none.
        ModuleNotFoundError: If OpenCV is missing.
    """

    def __init__(self, preset: FlowPreset = "medium") -> None:
        if preset not in get_args(FlowPreset):
            raise ValueError(f"preset must be one of {', '.join(get_args(FlowPreset))}, got {preset!r}.")
        self._preset = preset
        self._spec = ExtractorSpec(
            name=f"DIS flow, OpenCV {opencv('optical flow').__version__}",
            layer=f"preset {preset}",
            preprocessing="grey, own size",
            weights="none",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(
        self, first: UInt8[Tensor, "rgb=3 height width"], second: UInt8[Tensor, "rgb=3 height width"]
    ) -> Float[Tensor, "height width xy=2"]:
        """Flow from one image to another.

        Args:
            first: RGB.
            second: RGB, as large.

        Returns:
            x and y displacement of each pixel of the first image, pixels.

        Raises:
            ValueError: If the sizes differ or a side is below 16 pixels.
        """
        if first.shape != second.shape:
            raise ValueError(
                f"second must have the size of first, {tuple(first.shape[1:])}, "
                f"got {tuple(second.shape[1:])}."
            )
        if min(first.shape[1:]) < _LEAST_SIDE:
            raise ValueError(
                f"images must have at least {_LEAST_SIDE} pixels a side, got {tuple(first.shape[1:])}."
            )
        cv2: Any = opencv("optical flow")
        grey = [
            cv2.cvtColor(image.cpu().permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
            for image in (first, second)
        ]
        search = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{self._preset.upper()}"))
        return torch.from_numpy(search.calc(*grey, None))


@dataclass(frozen=True, eq=False)
class ClipMotion:
    """How much the pictures of a clip move.

    Args:
        pixels: Mean length of the flow from each frame to the next, pixels; float64.
        diagonals: The same by the diagonal of the image.
    """

    pixels: Float[Tensor, " pair"]
    diagonals: Float[Tensor, " pair"]

    @property
    def mean_px(self) -> float:
        """Mean over the pairs, pixels."""
        return float(self.pixels.mean())

    @property
    def mean_diagonals(self) -> float:
        """Mean over the pairs, diagonals of the image."""
        return float(self.diagonals.mean())


def clip_motion(
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    flow: OpticalFlow | None = None,
    *,
    mask: Bool[Tensor, "frame height width"] | None = None,
) -> ClipMotion:
    """Motion between neighbouring frames, of camera and things together.

    Consistency of frames is worth nothing without it: a frozen clip has all of it, and a motion of 0.

    Args:
        frames: RGB of one clip.
        flow: What finds the flow; `DisFlow()` when omitted.
        mask: Pixels of each frame that count, but for the last; all when omitted.

    Returns:
        One number per pair of neighbours.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError(f"frames must be at least 2, got {len(frames)}.")
    flow = DisFlow() if flow is None else flow
    flows = [flow(*pair) for pair in zip(frames[:-1], frames[1:], strict=True)]
    masks = [None] * len(flows) if mask is None else list(mask[:-1].cpu())
    pixels = torch.stack([flow_magnitude(way, mask=use) for way, use in zip(flows, masks, strict=True)])
    shares = [
        flow_magnitude(way, mask=use, share_of_diagonal=True) for way, use in zip(flows, masks, strict=True)
    ]
    return ClipMotion(pixels, torch.stack(shares))
