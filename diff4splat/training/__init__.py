"""Training of the compact model: clips on disk, what is minimised, the loop, the card of the result.

The stages as commands are in `diff4splat.training.commands`; run them with `diff4splat train`.
"""

from diff4splat.training.initial_field import random_field
from diff4splat.training.loop import LoopConfig, run_loop
from diff4splat.training.model_card import RunFacts, read_run, write_model_card
from diff4splat.training.objectives import (
    autoencoder_losses,
    balanced_motion_loss,
    batch_cameras,
    diffusion_losses,
    motion_targets,
    on_coarser_grid,
    reconstruction_losses,
)
from diff4splat.training.refinement import RefinementRates, refine
from diff4splat.training.shards import ClipShards, make_clips, object_motion, read_shard, write_shard

__all__ = [
    "ClipShards",
    "LoopConfig",
    "RefinementRates",
    "RunFacts",
    "autoencoder_losses",
    "balanced_motion_loss",
    "batch_cameras",
    "diffusion_losses",
    "make_clips",
    "motion_targets",
    "object_motion",
    "on_coarser_grid",
    "random_field",
    "read_run",
    "read_shard",
    "reconstruction_losses",
    "refine",
    "run_loop",
    "write_model_card",
    "write_shard",
]
