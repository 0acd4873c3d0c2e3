"""Flow matching and classifier-free guidance, for any latent and any network."""

from diff4splat.diffusion.adapted_guidance import (
    AdaptiveProjectedGuidance,
    IntervalGuidance,
    ZeroStarGuidance,
)
from diff4splat.diffusion.flow_matching import (
    SampleStep,
    euler_sample,
    euler_step,
    flow_matching_loss,
    flow_matching_weight,
    noise_interpolate,
    sample_times,
    shifted_times,
    velocity_target,
)
from diff4splat.diffusion.guidance import ConstantGuidance, CosineGuidance, Guidance, guide

__all__ = [
    "AdaptiveProjectedGuidance",
    "ConstantGuidance",
    "CosineGuidance",
    "Guidance",
    "IntervalGuidance",
    "SampleStep",
    "ZeroStarGuidance",
    "euler_sample",
    "euler_step",
    "flow_matching_loss",
    "flow_matching_weight",
    "guide",
    "noise_interpolate",
    "sample_times",
    "shifted_times",
    "velocity_target",
]
