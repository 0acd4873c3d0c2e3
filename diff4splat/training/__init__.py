"""Training of the compact model: clips and batches, what is minimised, the loop, the card of the result.

The stages as commands are in `diff4splat.training.commands`; run them with `diff4splat train`.
"""

from diff4splat.training.batches import Batches
from diff4splat.training.clip_factory import ClipFactory
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

__all__ = [
    "Batches",
    "ClipFactory",
    "LoopConfig",
    "RunFacts",
    "autoencoder_losses",
    "balanced_motion_loss",
    "batch_cameras",
    "diffusion_losses",
    "motion_targets",
    "on_coarser_grid",
    "read_run",
    "reconstruction_losses",
    "run_loop",
    "write_model_card",
]
