"""Training: recipes as data, objectives, a trainer on Accelerate, clips made ahead, pictures and a report.

`train` runs a recipe from nothing to a model in a folder, and `diff4splat train` is the command for it. The
parts stand alone: `train_stage` trains any module that gives `StepValues`, `Batches` puts batches together
from any datasets with the keys of `diff4splat.data.clips`, `refine` fits one field to one video, and
`align_latents` trains a tiny video autoencoder on the latents of a large one.
"""

from diff4splat.training.batches import Batches
from diff4splat.training.checkpoints import Checkpoint, Checkpoints
from diff4splat.training.clip_factory import ClipFactory
from diff4splat.training.draws import Draws
from diff4splat.training.initial_field import random_field
from diff4splat.training.latent_alignment import (
    ALIGNMENT_WEIGHTS,
    LatentAlignment,
    align_latents,
    alignment_errors,
)
from diff4splat.training.map_terms import (
    balanced_error,
    error_beside_movers,
    log_depth_error,
    log_depth_slope_error,
)
from diff4splat.training.model_card import RunFacts, read_run, write_model_card
from diff4splat.training.objective import Objective, StepValues
from diff4splat.training.pictures import stage_picture
from diff4splat.training.recipe import LOSSES, PARTS, Recipe, Source, Stage
from diff4splat.training.recipes import RECIPES
from diff4splat.training.refinement import RefinementRates, refine
from diff4splat.training.report import write_report
from diff4splat.training.run import train
from diff4splat.training.targets import (
    MotionTargets,
    batch_cameras,
    motion_targets,
    on_coarser_grid,
    track_targets,
)
from diff4splat.training.trainer import BatchSource, make_accelerator, train_stage
from diff4splat.training.watch import Watch

__all__ = [
    "ALIGNMENT_WEIGHTS",
    "LOSSES",
    "PARTS",
    "RECIPES",
    "BatchSource",
    "Batches",
    "Checkpoint",
    "Checkpoints",
    "ClipFactory",
    "Draws",
    "LatentAlignment",
    "MotionTargets",
    "Objective",
    "Recipe",
    "RefinementRates",
    "RunFacts",
    "Source",
    "Stage",
    "StepValues",
    "Watch",
    "align_latents",
    "alignment_errors",
    "balanced_error",
    "batch_cameras",
    "error_beside_movers",
    "log_depth_error",
    "log_depth_slope_error",
    "make_accelerator",
    "motion_targets",
    "on_coarser_grid",
    "random_field",
    "read_run",
    "refine",
    "stage_picture",
    "track_targets",
    "train",
    "train_stage",
    "write_model_card",
    "write_report",
]
