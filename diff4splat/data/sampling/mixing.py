"""How much of each dataset a batch has."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from diff4splat.data.recording_source import RecordingSource
from diff4splat.data.sampling.sampled_clips import SampledClips
from diff4splat.data.sampling.selection import by_dataset
from diff4splat.data.sampling.settings import DATASET_SETTINGS
from diff4splat.data.sampling.windows import ClipSampling

__all__ = ["MixtureWeights", "mix"]

MixtureWeights = Literal["scenes", "paper"] | Mapping[str, float]
"""Where the shares of datasets come from: scenes that there are, those of the paper, or by hand."""


def mix(
    sources: Sequence[RecordingSource],
    sampling: ClipSampling | None = None,
    *,
    weights: MixtureWeights = "scenes",
    temperature: float = 1.0,
    seed: int = 0,
    draws: int = 16,
) -> list[tuple[SampledClips, float]]:
    """Clips of several sources, and the share of each in a batch: what `Batches` takes.

    Each dataset of each source becomes an item. The share of a dataset is its weight to the power of 1 /
    `temperature`; sources of one dataset have parts of its share, by their scenes.

    All clips have the size and the form of motion of `sampling`, because a batch takes turns between the
    items: other shapes of the frame are another mixture, and another stage.

    Args:
        sources: Recordings, each list of one or several datasets.
        sampling: How clips are drawn; the largest gap is that of the dataset unless it is set.
        weights: "scenes", the number of scenes that there are; "paper", the number of scenes that Diff4Splat
            was trained on, see `DATASET_SETTINGS`, whatever is there; or weights by the name of the dataset,
            for all that there are.
        temperature: At least 1: 1 keeps the weights, more makes them more alike.
        seed: Of the draws; each item has draws of its own.
        draws: Clips of a scene, see `SampledClips`.

    Returns:
        Clips and shares, which add up to 1, with sources in their order and datasets in that of their names.

    Raises:
        ValueError: If there is no recording, a dataset has no weight, or a value is out of range.
    """
    sampling = sampling or ClipSampling()
    if not (math.isfinite(temperature) and temperature >= 1):
        raise ValueError(f"temperature must be at least 1, got {temperature}.")
    if isinstance(weights, str) and weights not in ("scenes", "paper"):
        raise ValueError(f"weights must be scenes, paper or weights by dataset, got {weights!r}.")
    parts = [(name, part) for source in sources for name, part in by_dataset(source).items()]
    if not parts:
        raise ValueError("sources must hold recordings, got none.")
    items = [
        (name, SampledClips(part, sampling, seed=seed + number, draws=draws))
        for number, (name, part) in enumerate(parts)
    ]
    scenes: dict[str, int] = {}
    for name, clips in items:
        scenes[name] = scenes.get(name, 0) + len(clips.scenes)
    shares = {name: _weight(name, count, weights) ** (1 / temperature) for name, count in scenes.items()}
    total = math.fsum(shares.values())
    return [(clips, shares[name] / total * len(clips.scenes) / scenes[name]) for name, clips in items]


def _weight(dataset: str, num_scenes: int, weights: MixtureWeights) -> float:
    """Weight of a dataset before the temperature."""
    if weights == "scenes":
        return float(num_scenes)
    if isinstance(weights, str):
        settings = DATASET_SETTINGS.get(dataset)
        if settings is None or settings.num_scenes is None:
            raise ValueError(
                f"weights must not be 'paper' for {dataset}, which the paper does not list: give weights by "
                "dataset."
            )
        return float(settings.num_scenes)
    weight = weights.get(dataset)
    if weight is None:
        raise ValueError(f"weights must name {dataset}, got {', '.join(weights) or 'none'}.")
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"weights[{dataset!r}] must be > 0, got {weight}.")
    return float(weight)
