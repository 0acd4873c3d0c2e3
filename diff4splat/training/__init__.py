"""Training of the compact model."""

from diff4splat.training.loop import LoopConfig, run_loop
from diff4splat.training.objectives import (
    autoencoder_losses,
    balanced_motion_loss,
    batch_cameras,
    diffusion_losses,
    motion_targets,
    reconstruction_losses,
)
from diff4splat.training.shards import ClipShards, make_clips, object_motion, read_shard, write_shard

__all__ = [
    "ClipShards",
    "LoopConfig",
    "autoencoder_losses",
    "balanced_motion_loss",
    "batch_cameras",
    "diffusion_losses",
    "make_clips",
    "motion_targets",
    "object_motion",
    "read_shard",
    "reconstruction_losses",
    "run_loop",
    "write_shard",
]
