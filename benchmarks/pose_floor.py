"""What pose estimators reach on true renders, whose cameras are known: below that, an RPE says nothing.

Run `python benchmarks/pose_floor.py`, or `--estimator colmap` for COLMAP, `--size 256` for larger frames. The
clips are static procedural scenes that training never saw, along the five paths of the paper, nine frames
each.
"""

import statistics
import time
from pathlib import Path
from typing import Literal

import torch
import tyro
from measuring import Result, conclude, describe, machine, report

from diff4splat.cameras import trajectory
from diff4splat.data import HELD_OUT_SEEDS, sample_scenes
from diff4splat.evaluation import ColmapPoses, TwoViewPoses, path_scores

FRAMES = 9
FIRST_SCENE = 1000  # of the held-out seeds


def floor(estimator: Literal["two-view", "colmap"], size: int, scenes: int) -> list[Result]:
    """Errors of an estimator over clips: translation in steps of the camera, rotation in degrees."""
    poses = TwoViewPoses() if estimator == "two-view" else ColmapPoses()
    scores, steps, seconds = [], [], []
    for seed in HELD_OUT_SEEDS[FIRST_SCENE : FIRST_SCENE + scenes]:
        scene = sample_scenes([seed], static=True)
        for name in trajectory.NAMES[:5]:
            cameras = trajectory.by_name(name, FRAMES, height=size, width=size)
            color = scene.render(cameras.batch(None), torch.zeros(1, FRAMES), supersample=2).color[0]
            start = time.perf_counter()
            path = poses((color * 255).round().byte(), cameras.intrinsics[0])
            seconds.append(time.perf_counter() - start)
            scores.append(path_scores(path.cameras, cameras, scale="steps", registered=path.registered))
            steps.append((cameras.positions[1:] - cameras.positions[:-1]).norm(dim=-1).mean().item())
    lengths = [score.rpe_translation_mean / step for score, step in zip(scores, steps, strict=True)]
    part = f"{estimator} {size}"
    return [
        Result(part, "frames registered", statistics.mean(score.registered for score in scores), ""),
        Result(part, "translation by step, median", 100 * statistics.median(lengths), "%"),
        Result(part, "translation by step, worst clip", 100 * max(lengths), "%"),
        Result(
            part,
            "rotation, median",
            statistics.median(score.rpe_rotation_mean_deg for score in scores),
            "deg",
        ),
        Result(part, "time of a clip, median", statistics.median(seconds), "s"),
    ]


def main(
    estimator: Literal["two-view", "colmap"] = "two-view",
    size: int = 128,
    scenes: int = 5,
    json: Path | None = None,
) -> list[Result]:
    """Measure one estimator.

    Args:
        estimator: Which one.
        size: Side of the frames, pixels.
        scenes: Scenes, each along five paths.
        json: File that the numbers are written to as well.
    """
    facts = machine()
    print(describe(facts))
    results = report(floor(estimator, size, scenes))
    conclude(results, quick=False, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
