"""A clip out of a recording: which of its frames, which part of them, at what size."""

from dataclasses import dataclass
from math import acos, degrees
from typing import Literal, get_args

import torch

from diff4splat.cameras import Cameras
from diff4splat.data.clips import KEY_STRIDE
from diff4splat.data.recording_source import RecordingEntry, RecordingSource
from diff4splat.data.recordings import Recording
from diff4splat.data.sampling.clip import ClipMotion, to_clip
from diff4splat.data.sampling.draws import draw_integer, draw_number
from diff4splat.data.sampling.mirror import mirrored
from diff4splat.data.sampling.scene_scale import mean_distance
from diff4splat.data.sampling.settings import DATASET_SETTINGS

__all__ = ["ClipSampling", "sample_clip", "why_unfit"]

_TRIES = 8


@dataclass(frozen=True)
class ClipSampling:
    """How clips are drawn from recordings.

    Args:
        frames: Frames of a clip, 4k + 1 with k at least 1.
        height: Rows of a clip, pixels.
        width: Columns, pixels. All clips of a batch have one size; there is one for all sources of a mixture.
        max_gap: Largest number of frames of the recording from one frame of a clip to the next; that of
            `DATASET_SETTINGS` when omitted, which is 1 for other datasets.
        crop: Smallest and largest side of the window that is cut out, as a share of the side of the largest
            window of this shape; where it lies is drawn.
        flip: Share of clips that are mirrored, see `mirrored`.
        reverse: Share of clips that run backwards.
        scale: "none" keeps the units of the dataset; "mean distance" divides lengths by `mean_distance`.
        depth: "needed" refuses recordings without depth.
        motion: Form of the motion, see `to_clip`.
        num_tracks: Rows of `tracks`.
        max_turn_deg: Largest angle by which the camera may turn from one frame of a clip to the next,
            degrees; pictures that were not taken one after another jump.

    Raises:
        ValueError: If a value is out of range.
    """

    frames: int = 9
    height: int = 256
    width: int = 256
    max_gap: int | None = None
    crop: tuple[float, float] = (0.77, 1.0)
    flip: float = 0.0
    reverse: float = 0.0
    scale: Literal["none", "mean distance"] = "none"
    depth: Literal["needed", "where known"] = "where known"
    motion: ClipMotion = "tracks"
    num_tracks: int = 1024
    max_turn_deg: float = 45.0

    def __post_init__(self) -> None:
        if self.frames < KEY_STRIDE + 1 or self.frames % KEY_STRIDE != 1:
            raise ValueError(f"frames must be 4k + 1 with k at least 1, got {self.frames}.")
        for name in ("height", "width", "num_tracks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.max_gap is not None and self.max_gap < 1:
            raise ValueError(f"max_gap must be at least 1, got {self.max_gap}.")
        if len(self.crop) != 2 or not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop must be two shares in (0, 1], the smaller one first, got {self.crop}.")
        for name in ("flip", "reverse"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a share in [0, 1], got {getattr(self, name)}.")
        choices = (
            ("scale", ("none", "mean distance")),
            ("depth", ("needed", "where known")),
            ("motion", get_args(ClipMotion)),
        )
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        if not 0 < self.max_turn_deg <= 180:
            raise ValueError(f"max_turn_deg must be in (0, 180], got {self.max_turn_deg}.")


def sample_clip(
    source: RecordingSource, index: int, sampling: ClipSampling, generator: torch.Generator
) -> tuple[dict[str, torch.Tensor], str]:
    """A clip of a recording: some of its frames, equally far apart, of which only those are read.

    The gap is drawn from 1 to the largest that is allowed and fits, the first frame from those that remain.
    Where the frames turn out not to be equally far apart by `Recording.numbers`, because some of the source
    are missing, or the camera jumps, others are drawn, closer together each time. Then the window is cut out
    and resized, mirrored and reversed as `sampling` says; cameras, depth and tracks follow.

    Args:
        source: Where the recording is.
        index: Which of `source.entries`.
        sampling: How to draw.
        generator: Random numbers: those of one state give one clip.

    Returns:
        The clip, see `to_clip`, and its caption.

    Raises:
        ValueError: If the recording cannot be read, has too few frames, no cameras, or not the depth or
            motion that is needed, or no frames that follow each other; names the recording.
        OSError: If its files cannot be read.
    """
    entry = source.entries[index]
    reason = why_unfit(entry, sampling)
    if reason:
        raise ValueError(f"{entry.uid} {reason}")
    recording = _read_window(source, index, sampling, generator)
    recording = _cut(recording, sampling, generator)
    if draw_number(0.0, 1.0, generator) < sampling.flip:
        recording = mirrored(recording)
    if draw_number(0.0, 1.0, generator) < sampling.reverse:
        recording = recording.select(range(recording.num_frames)[::-1])
    try:
        if sampling.scale == "mean distance":
            recording = recording.scale(1 / mean_distance(recording))
        clip, caption = to_clip(
            recording, motion=sampling.motion, num_tracks=sampling.num_tracks, generator=generator
        )
    except ValueError as error:
        raise ValueError(f"{entry.uid}, frames {_shown(recording)}: {error}") from None
    return clip, caption or entry.caption


def why_unfit(entry: RecordingEntry, sampling: ClipSampling) -> str:
    """Why no clip can be drawn from a recording, as far as is known without reading it.

    Args:
        entry: The recording.
        sampling: How clips are drawn.

    Returns:
        What it must have and has not, to follow its name; empty where clips can be drawn.
    """
    info = entry.info
    if info.missing:
        return f"cannot be read: {info.missing}"
    if info.num_frames < sampling.frames:
        return f"must have at least {sampling.frames} frames, got {info.num_frames}."
    holds = ", ".join(sorted(info.holds)) or "frames alone"
    if "cameras" not in info.holds:
        return f"must have cameras, got {holds}."
    if "depth" not in info.holds and (sampling.depth == "needed" or sampling.scale != "none"):
        return f"must have depth, got {holds}."
    if sampling.motion == "dense" and not entry.static:
        return "must be static for motion='dense', got one in which things move."
    rests = "depth" in info.holds and (entry.static or "dynamic_mask" in info.holds)
    if sampling.motion == "tracks" and "tracks" not in info.holds and not rests:
        return f"must have tracks, or depth with a dynamic mask or in a static scene, got {holds}."
    return ""


def _read_window(
    source: RecordingSource, index: int, sampling: ClipSampling, generator: torch.Generator
) -> Recording:
    """Frames that are equally far apart."""
    entry = source.entries[index]
    steps, last = sampling.frames - 1, entry.info.num_frames - 1
    limit = sampling.max_gap
    if limit is None:
        settings = DATASET_SETTINGS.get(entry.dataset)
        limit = 1 if settings is None else settings.max_gap
    limit = min(limit, last // steps)
    reason = ""
    for _ in range(_TRIES):
        gap = draw_integer(1, limit, generator)
        first = draw_integer(0, last - gap * steps, generator)
        recording = source.read(index, list(range(first, first + gap * steps + 1, gap)))
        reason = _break(recording, sampling.max_turn_deg)
        if not reason:
            return recording
        limit = max(1, gap // 2)
    raise ValueError(f"{entry.uid} must have {sampling.frames} frames in a row, got {reason}")


def _break(recording: Recording, max_turn_deg: float) -> str:
    """Why frames do not follow each other; empty if they do."""
    numbers = recording.numbers
    gaps = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
    if len(gaps) > 1:
        return f"numbers {_shown(recording)} with some missing."
    turn = 0.0 if recording.cameras is None else _largest_turn(recording.cameras)
    if turn > max_turn_deg:
        return f"a turn by {turn:.3g} degrees between two of {_shown(recording)}, above {max_turn_deg:g}."
    return ""


def _largest_turn(cameras: Cameras) -> float:
    """Largest angle between cameras that follow each other, degrees."""
    axes = cameras.camera_to_world[:, :3, :3].double()
    traces = (axes[1:] * axes[:-1]).sum((-2, -1))
    return degrees(acos(max(-1.0, min(1.0, (float(traces.min()) - 1) / 2))))


def _cut(recording: Recording, sampling: ClipSampling, generator: torch.Generator) -> Recording:
    """A window of the wanted shape, at the wanted size."""
    height, width = sampling.height, sampling.width
    share = draw_number(*sampling.crop, generator)
    rows = min(recording.height, recording.width * height / width) * share
    columns = min(recording.width, recording.height * width / height) * share
    kept_rows, kept_columns = max(1, round(rows)), max(1, round(columns))
    top = draw_integer(0, recording.height - kept_rows, generator)
    left = draw_integer(0, recording.width - kept_columns, generator)
    return recording.crop(top, left, kept_rows, kept_columns).resize(height, width)


def _shown(recording: Recording) -> str:
    return f"{recording.numbers[0]} to {recording.numbers[-1]}"
