"""Recipes that come with the package."""

from collections.abc import Mapping
from types import MappingProxyType

from diff4splat.training.recipe import Recipe, Source, Stage

__all__ = ["RECIPES"]

_STILL = (Source(static=True, still_camera=0.0),)
_MAP_LOSSES = {"depth": 1.0, "depth_slope": 0.5, "color": 0.5}
_PAPER_LOSSES = {"photometric": 1.0, "perceptual": 0.5, "pearson": 1.0, "total_variation": 1.0}

_COMPACT = Recipe(
    name="compact",
    stages=(
        Stage(
            name="autoencoder",
            train=("vae",),
            losses={"pixel": 1.0, "edges": 0.3, "kl": 1e-4},
            steps=1400,
            crop=64,
            batch=8,
            learning_rate=2e-3,
            optimizer="muon",
            schedule="trapezoid",
        ),
        Stage(
            name="static-low",
            train=("ldrm",),
            freeze=("ldrm.deformation_head",),
            losses=_MAP_LOSSES,
            steps=1500,
            data=_STILL,
            size=64,
            learning_rate=1.5e-3,
            optimizer="muon",
            schedule="trapezoid",
        ),
        Stage(
            name="static-high",
            train=("ldrm",),
            freeze=("ldrm.deformation_head",),
            losses=_MAP_LOSSES,
            steps=800,
            data=_STILL,
            learning_rate=1.5e-3,
            optimizer="muon",
            schedule="trapezoid",
        ),
        Stage(
            name="dynamic",
            train=("ldrm",),
            losses={**_MAP_LOSSES, "motion": 8.0, "motion_beside": 4.0},
            steps=6000,
            learning_rate=1.5e-3,
            optimizer="muon",
            schedule="trapezoid",
        ),
        Stage(
            name="diffusion",
            train=("dit",),
            losses={"flow_matching": 1.0},
            steps=4000,
            learning_rate=1.5e-3,
            optimizer="muon",
            schedule="trapezoid",
        ),
    ),
)

_PAPER = Recipe(
    name="paper",
    stages=tuple(
        Stage(
            name=name,
            train=("dit", "ldrm"),
            freeze=("ldrm.deformation_head",) if still else (),
            losses={"flow_matching": 1.0, **_PAPER_LOSSES, **({} if still else {"point_motion": 1.0})},
            steps=steps,
            data=(Source(folder="data/static" if still else "data/dynamic"),),
            size=size,
            batch=32,
            rendered=1,
            latents="denoised",
            learning_rate=1e-5,
            weight_decay=1e-4,
            schedule="cosine",
            checkpoint_gradients=True,
        )
        for name, still, steps, size in (
            ("static-low", True, 40_000, 256),
            ("static-high", True, 40_000, 512),
            ("dynamic", False, 20_000, 512),
        )
    ),
    initial="path/to/pipeline",
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({"compact": _COMPACT, "paper": _PAPER})
"""Recipes by name.

- "compact": the bundled model in the paper's order (static and small, static and larger, all of it in motion)
  between its autoencoder and its diffusion transformer, with direct supervision of depth and motion on maps,
  which two processor cores can afford.
- "paper": the numbers of Diff4Splat, Sec. 3.4 and 4.1: 40,000 + 40,000 + 20,000 steps at 256, 512 and 512
  pixels, AdamW at 1e-5 with a decay of 1e-4 and a cosine, the deformation head at rest until the last stage,
  weights 0.5 (LPIPS) and 2 (motion, inside Eq. 5). It does not state the batch, the frames, nor the weights
  between terms: 32 clips (one for each of its GPUs), 9 frames and 1 stand in. `initial` and the folders of
  shards are the user's own.
"""
