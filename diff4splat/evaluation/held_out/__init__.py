"""A model on held-out procedural scenes, where the truth is known."""

from diff4splat.evaluation.held_out.baselines import flat_depth_warp
from diff4splat.evaluation.held_out.protocol import HeldOutProtocol, evaluate_held_out
from diff4splat.evaluation.held_out.report import Report
from diff4splat.evaluation.held_out.scenes import HeldOutScenes, held_out_scenes

__all__ = [
    "HeldOutProtocol",
    "HeldOutScenes",
    "Report",
    "evaluate_held_out",
    "flat_depth_warp",
    "held_out_scenes",
]
