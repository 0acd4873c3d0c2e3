"""Training losses that take tensors and return one value per leading axis, not reduced."""

from diff4splat.losses.depth import pearson_depth_loss
from diff4splat.losses.motion import motion_loss
from diff4splat.losses.photometric import LpipsDistance, PhotometricLoss, photometric_mse
from diff4splat.losses.smoothness import total_variation_loss
from diff4splat.losses.total import PAPER_WEIGHTS, weighted_sum

__all__ = [
    "PAPER_WEIGHTS",
    "LpipsDistance",
    "PhotometricLoss",
    "motion_loss",
    "pearson_depth_loss",
    "photometric_mse",
    "total_variation_loss",
    "weighted_sum",
]
