"""Classifier-free guidance: how strong it is at each step, and how two predictions become one."""

from diff4splat.diffusion.guidance.adaptive_projection import AdaptiveProjectedGuidance
from diff4splat.diffusion.guidance.constant import ConstantGuidance
from diff4splat.diffusion.guidance.cosine import CosineGuidance
from diff4splat.diffusion.guidance.guidance import Guidance, guide, network_passes
from diff4splat.diffusion.guidance.interval import IntervalGuidance
from diff4splat.diffusion.guidance.schedule import GuidanceSchedule
from diff4splat.diffusion.guidance.wrapper import GuidanceWrapper
from diff4splat.diffusion.guidance.zero_star import ZeroStarGuidance

__all__ = [
    "AdaptiveProjectedGuidance",
    "ConstantGuidance",
    "CosineGuidance",
    "Guidance",
    "GuidanceSchedule",
    "GuidanceWrapper",
    "IntervalGuidance",
    "ZeroStarGuidance",
    "guide",
    "network_passes",
]
