"""What of a scene is shown: which moment, which quantity, and drawn by whom."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["GAUSSIANS", "MODES", "SHOWN", "Look", "Mode"]

Mode = Literal["rendered", "splats"]
"""Pictures by the renderer of the library, or Gaussians that the browser draws."""

MODES: tuple[Mode, ...] = get_args(Mode)
SHOWN = ("color", "depth", "motion")
GAUSSIANS = ("deformed", "canonical")


@dataclass(frozen=True)
class Look:
    """One way to look at a scene.

    Args:
        time: Moment of the clip, in [0, 1].
        show: "color", "depth" (near is bright) or "motion" (see `motion_to_color`).
        gaussians: "deformed", as they are at `time`, or "canonical", as they were before any deformation.
        mode: Drawn by the library's renderer ("rendered") or by the browser ("splats").
    """

    time: float = 0.0
    show: str = "color"
    gaussians: str = "deformed"
    mode: Mode = "rendered"
