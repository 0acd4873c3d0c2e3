"""What a folder of a recipe is: shards of clips, or recordings from which clips are drawn."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from diff4splat.data import (
    ClipDataset,
    ClipSampling,
    ReaderSource,
    RecordingShards,
    RecordingSource,
    SampledClips,
    ShardClips,
    check_clip,
    find_datasets,
    mix,
    open_dataset,
)
from diff4splat.data.sampling import for_stage
from diff4splat.training.recipe import OF_RECORDINGS, Source, Stage

__all__ = ["check_forms", "open_folder", "open_recordings"]


def open_folder(source: Source, stage: Stage, *, seed: int = 0) -> list[tuple[ClipDataset, float]]:
    """The clips of a source that has a folder.

    A folder of `*.safetensors` holds clips as they are, of the stage's frames and size. A folder of
    `*.tar` with an `index.parquet`, or of a dataset as its authors lay it out, holds recordings: clips of the
    stage's frames and size are drawn from them, with tracks where the stage compares motion.

    Args:
        source: With a folder.
        stage: That it is for.
        seed: Of the draws from recordings.

    Returns:
        Clips, and shares that add up to that of the source: one item, or one for each dataset.

    Raises:
        ValueError: If the folder holds neither, its clips have another size, options for recordings stand
            beside a folder of clips, or no recording is left.
    """
    folder = Path(source.folder or "")
    if any(folder.glob("[!.]*.safetensors")):
        for name in OF_RECORDINGS:
            if getattr(source, name) != getattr(Source, name):
                raise ValueError(f"{name} is for recordings, got it for the clips of {folder}.")
        clips = ShardClips(folder)
        _check_size(clips, stage)
        return [(clips, source.share)]
    sources: list[RecordingSource] = open_recordings(folder)
    if source.only != "all":
        sources = [for_stage(recordings, source.only) for recordings in sources]
    sampling = ClipSampling(
        frames=stage.frames,
        height=stage.size,
        width=stage.size,
        max_gap=source.max_gap,
        scale=source.scale,
        depth="needed" if "depth" in stage.needs else "where known",
        motion="tracks" if stage.moves else "none",
        num_tracks=source.tracks,
    )
    if not any(len(recordings.entries) for recordings in sources):
        raise ValueError(f"folder must hold recordings for {source.only} stages, got none in {folder}.")
    try:
        parts = mix(
            sources,
            sampling,
            weights=source.weights,
            temperature=source.temperature,
            seed=seed,
            draws=source.draws,
        )
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return [(clips, source.share * share) for clips, share in parts]


def open_recordings(folder: str | Path) -> list[RecordingSource]:
    """The recordings of a folder of shards, or of one or several datasets as their authors lay them out.

    Args:
        folder: Any folder.

    Returns:
        Lists of recordings, at least one.

    Raises:
        ValueError: If there is no such folder, or it holds none.
    """
    folder = Path(folder)
    index, tars = (folder / "index.parquet").is_file(), any(folder.glob("[!.]*.tar"))
    if index and tars:
        return [RecordingShards(folder)]
    # alone, either may belong to a dataset: archives that it came in, a table of its own
    found: Sequence[str] = list(find_datasets(folder)) if folder.is_dir() else []
    if not found and (index or tars):
        try:
            return [RecordingShards(folder)]
        except FileNotFoundError as error:
            raise ValueError(f"folder must hold shards with an index, got none: {error}") from error
    if not found:
        raise ValueError(
            "folder must hold shards of clips (*.safetensors) or of recordings (*.tar), or a dataset that "
            f"can be read, got {folder} without any."
        )
    return [ReaderSource(open_dataset(folder, name)) for name in found]


def check_forms(stage: Stage, clips: Sequence[ClipDataset]) -> None:
    """Refuse sources whose clips cannot share a batch because they tell motion in different forms.

    Args:
        stage: A stage.
        clips: What its folders hold.

    Raises:
        ValueError: If motion is compared, and clips with tracks stand beside procedural scenes, or beside
            others with another number of tracks.
    """
    sampled = [each.sampling for each in clips if isinstance(each, SampledClips)]
    if not stage.moves or not sampled:
        return
    if any(source.folder is None for source in stage.data):
        raise ValueError(
            "data must tell motion in one form, got procedural scenes, whose objects move, beside "
            "recordings, which have tracks."
        )
    counts = sorted({sampling.num_tracks for sampling in sampled})
    if len(counts) > 1:
        raise ValueError(f"data must have one number of tracks, got {' and '.join(map(str, counts))}.")


def _check_size(clips: ShardClips, stage: Stage) -> None:
    """Refuse shards whose first clip has not the frames and size of the stage."""
    clip: dict[str, Tensor] = {}
    with contextlib.suppress(OSError, ValueError):
        clip, _ = clips[0]
    if check_clip(clip, needs=["video"]) is not None:
        return  # a bad clip, to be counted when it is drawn
    frames, _, height, width = clip["video"].shape
    if (frames, height, width) != (stage.frames, stage.size, stage.size):
        raise ValueError(
            f"clips of {clips.folder} must have frames={stage.frames} of size={stage.size} x {stage.size}, "
            f"got {frames} of {height} x {width} in {clips.name_of(0)}."
        )
