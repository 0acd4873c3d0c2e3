"""Flow matching and classifier-free guidance, for any latent and any network."""

from diff4splat.diffusion.flow_matching import (
    flow_matching_loss,
    flow_matching_weight,
    noise_interpolate,
    sample_times,
    shifted_times,
    velocity_target,
)
from diff4splat.diffusion.guidance import (
    AdaptiveProjectedGuidance,
    ConstantGuidance,
    CosineGuidance,
    Guidance,
    GuidanceSchedule,
    GuidanceWrapper,
    IntervalGuidance,
    ZeroStarGuidance,
    guide,
    network_passes,
)
from diff4splat.diffusion.sampling import SampleStep, euler_sample, euler_step

__all__ = [
    "AdaptiveProjectedGuidance",
    "ConstantGuidance",
    "CosineGuidance",
    "Guidance",
    "GuidanceSchedule",
    "GuidanceWrapper",
    "IntervalGuidance",
    "SampleStep",
    "ZeroStarGuidance",
    "euler_sample",
    "euler_step",
    "flow_matching_loss",
    "flow_matching_weight",
    "guide",
    "network_passes",
    "noise_interpolate",
    "sample_times",
    "shifted_times",
    "velocity_target",
]
