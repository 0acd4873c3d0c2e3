"""The clips of a variant on procedural scenes that training never saw, and their scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat import Diff4SplatPipeline
from diff4splat.assets import save_video
from diff4splat.cameras import Cameras, trajectory
from diff4splat.data import HELD_OUT_SEEDS, sample_scenes
from diff4splat.evaluation import psnr
from diff4splat.evaluation.protocol import Evaluation, Score
from diff4splat.pipelines import fit_cameras, prepare_image, render_path

PATHS = ("spiral", "forward", "backward", "upward", "downward")

Shown = Literal["scene", "two-stage"]
"""The scene that a pipeline makes of generated latents, or of the video that these decode to."""


@dataclass(frozen=True)
class Asked:
    """What clips are made and how large they are."""

    scenes: int = 16
    paths: tuple[str, ...] = PATHS
    size: int = 128
    """Image side, pixels; the models themselves work at their own size."""
    num_frames: int = 9
    num_steps: int = 30
    """Sampling steps of the video model."""


@torch.no_grad()
def score_variant(
    pipe: Diff4SplatPipeline, output: Path, asked: Asked, *, shown: Shown = "scene", method: str = ""
) -> Evaluation:
    """Make the clips of a variant, and score them against the true ones.

    Args:
        pipe: The variant.
        output: Where the clips are written as videos, to look at; made if needed.
        asked: The clips.
        shown: What of the pipeline is scored.
        method: Name of the variant.

    Returns:
        Rows for every clip.
    """
    scores: list[Score] = []
    for name, scene, path, image, cameras, prompt, seed, truth in _clips(asked):
        prepared = prepare_image(image, height=pipe.height, width=pipe.width, detail_size=asked.size)
        small = fit_cameras(cameras, height=pipe.height, width=pipe.width, num_frames=pipe.num_frames)
        start = perf_counter()
        latents = pipe.backbone.generate(
            prepared.image[None],
            small.batch(None),
            [prompt],
            num_steps=asked.num_steps,
            generator=torch.Generator().manual_seed(seed),
        )
        if shown == "two-stage":
            video = pipe.backbone.decode(latents).float().clamp(0, 1)
            video[:, 0] = prepared.image  # which a second stage has as well
            latents = pipe.backbone.encode(video)
        field = pipe.reconstruct(latents, small, image=prepared.detail)
        seconds = perf_counter() - start
        film = render_path(field, fit_cameras(cameras, height=asked.size, width=asked.size))
        value = float(psnr(film.color.clamp(0, 1), truth).mean())
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        save_video(film.color, output / f"{name}.mp4")
        scores.append(Score(name, scene, path, "psnr", value))
        scores.append(Score(name, scene, path, "reconstruction_seconds", seconds))
    names = tuple(dict.fromkeys(score.clip for score in scores))
    return Evaluation(method=method, manifest=repr(asked), clips=names, scores=tuple(scores))


def _clips(
    asked: Asked,
) -> Iterator[
    tuple[
        str,
        str,
        str,
        Float[Tensor, "rgb=3 height width"],
        Cameras,
        str,
        int,
        Float[Tensor, "frame rgb=3 height width"],
    ]
]:
    """Name, scene, path, input image, cameras, prompt, seed and true frames of each clip."""
    times = torch.linspace(0, 1, asked.num_frames)
    for index, seed in enumerate(_seeds(asked.scenes)):
        scenes = sample_scenes([seed])
        for path in asked.paths:
            cameras = trajectory.by_name(path, asked.num_frames, height=asked.size, width=asked.size)
            truth = scenes.render(cameras.batch(None), times, supersample=2).color[0]
            scene = f"scene{index:03d}"
            yield f"{scene}/{path}", scene, path, truth[0], cameras, scenes.captions[0], seed, truth


def _seeds(count: int) -> Sequence[int]:
    return HELD_OUT_SEEDS[:count]
