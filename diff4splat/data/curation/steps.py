"""The stages of curation, in their order: read a clip, annotate it, judge it, encode it."""

import inspect
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from diff4splat.data.annotations import Annotator
from diff4splat.data.curation.annotating import annotated
from diff4splat.data.curation.continuity import continuous_runs
from diff4splat.data.curation.preview import preview_sheet
from diff4splat.data.curation.settings import CurationSettings
from diff4splat.data.curation.verdict import judge
from diff4splat.data.readers import DatasetReader, SparsePoints
from diff4splat.data.recordings import Recording
from diff4splat.data.stages import Item, Rejected, Stage
from diff4splat.data.streaming import encode_sample

__all__ = ["PREVIEW", "curation_stages"]

PREVIEW = "preview.jpg"
"""What the picture of a clip is called among its files."""


def curation_stages(
    reader: DatasetReader, settings: CurationSettings, annotators: Sequence[Annotator] = ()
) -> list[Stage]:
    """What every clip goes through.

    Each process opens the dataset anew: by the class of the reader, its folder, and those of its attributes
    that are named as arguments of that class.

    Args:
        reader: The dataset.
        settings: How it is curated.
        annotators: What else is said of a recording, in this order; each is asked for every clip.

    Returns:
        Stages for `run_stages`; a task's inputs are those of `curation_tasks`.
    """
    values = settings.to_dict()
    limits = values.pop("thresholds")
    cuts = {
        name: limits[name]
        for name in ("min_frames", "max_rotation_deg", "max_step_ratio", "max_color_change")
    }
    fitting = {name: limits[name] for name in ("min_anchors", "max_scale_variation")}
    asked = [_words(annotator) for annotator in annotators]
    source = _Source.of(reader)
    reading = {"long_side": settings.long_side, **cuts}
    return [
        Stage("read", _Read(source, settings), parameters=reading),
        Stage(
            "annotate",
            _Annotate(source, settings, tuple(annotators)),
            parameters={**values, **fitting, "annotators": asked},
            keep=bool(annotators),
        ),
        Stage("judge", _Judge(settings), parameters=limits),
        Stage("encode", _encode),
    ]


@dataclass(frozen=True)
class _Source:
    """A dataset that every process opens for itself, once in a run."""

    kind: type[DatasetReader] = field(compare=False)
    folder: Path = field(compare=False)
    options: dict[str, Any] = field(compare=False)
    run: str  # another one opens it anew, so that what changed since is seen

    @classmethod
    def of(cls, reader: DatasetReader) -> "_Source":
        _, *names = inspect.signature(type(reader)).parameters
        options = {name: value for name, value in vars(reader).items() if name in names}
        return cls(type(reader), reader.folder.absolute(), options, uuid.uuid4().hex)


@dataclass(frozen=True)
class _Read:
    """Frames of a recording, cut where they do not go on, and made smaller."""

    source: _Source
    settings: CurationSettings

    def __call__(self, item: Item) -> Item:
        inputs, limits = item.inputs, self.settings.thresholds
        if inputs.get("error"):
            raise ValueError(inputs["error"])
        reader = _reader(self.source)
        first, count = inputs["first"], inputs["count"]
        recording = reader.read(inputs["recording"], range(first, first + count))
        if reader.static:
            recording = replace(recording, static=True)
        runs = continuous_runs(
            recording,
            min_frames=limits.min_frames,
            max_rotation_deg=limits.max_rotation_deg,
            max_step_ratio=limits.max_step_ratio,
            max_color_change=limits.max_color_change,
        )
        metrics = {**item.metrics, "dataset": reader.key, "recording": recording.name, "first_frame": first}
        if not runs:
            raise Rejected(
                f"No stretch without a cut has {limits.min_frames} frames.", metrics, _picture(recording)
            )
        run = max(runs, key=len)
        if len(run) < count:
            recording = recording.select(run)
            metrics |= {"first_frame": first + run.start, "frames_cut_off": count - len(run)}
        return replace(item, recording=_smaller(recording, self.settings.long_side), metrics=metrics)


@dataclass(frozen=True)
class _Annotate:
    """What annotators say, metric depth, what moves, tracks in 3D."""

    source: _Source
    settings: CurationSettings
    annotators: tuple[Annotator, ...]

    def __call__(self, item: Item) -> Item:
        first, inputs = int(item.metrics["first_frame"] or 0), item.inputs
        points = _points(self.source, inputs["recording"]) if self.annotators else None
        recording = _recording(item)
        try:
            recording = annotated(
                recording,
                self.annotators,
                self.settings,
                places=range(first, first + recording.num_frames),
                points=points,
            )
        except Rejected as rejected:
            metrics = {**item.metrics, **rejected.metrics}
            raise Rejected(rejected.reason, metrics, _picture(recording)) from None
        return replace(item, recording=recording)


@dataclass(frozen=True)
class _Judge:
    """Measure a clip, and reject it where a limit does not hold."""

    settings: CurationSettings

    def __call__(self, item: Item) -> Item:
        recording = _recording(item)
        verdict = judge(recording, self.settings.thresholds)
        metrics = {**item.metrics, **verdict.metrics}
        if not verdict.accepted:
            first, *others = verdict.reasons
            raise Rejected(first, {**metrics, "other_reasons": " ".join(others)}, _picture(recording))
        return replace(item, metrics=metrics, files={**item.files, **_picture(recording)})


def _encode(item: Item) -> Item:
    """The parts of a shard's sample, in place of the recording."""
    recording = _recording(item)
    scene = f"{item.inputs['scene']}@{item.inputs['first']}"
    parts = encode_sample(recording, item.uid, scene=scene, metrics=item.metrics)
    return replace(item, recording=None, files={**item.files, **parts})


def _recording(item: Item) -> Recording:
    if item.recording is None:
        raise ValueError(f"{item.uid} must have a recording at this stage, got none.")
    return item.recording


def _picture(recording: Recording) -> dict[str, bytes]:
    return {PREVIEW: preview_sheet(recording)}


def _smaller(recording: Recording, long_side: int | None) -> Recording:
    """Frames whose longest side is at most that, of even sides, which most codecs want."""
    longest = max(recording.height, recording.width)
    scale = 1.0 if long_side is None else min(1.0, long_side / longest)
    height, width = (max(2, 2 * round(side * scale / 2)) for side in (recording.height, recording.width))
    return recording.fit(height, width)


@lru_cache(maxsize=4)
def _reader(source: _Source) -> DatasetReader:
    """The reader of a dataset; finding its recordings may take long, so a process does it once."""
    return source.kind(source.folder, **source.options)


@lru_cache(maxsize=1)
def _points(source: _Source, name: str) -> SparsePoints | None:
    """Sparse points of a recording; its clips come one after the other."""
    return _reader(source).sparse_points(name)


def _words(annotator: Any) -> str:
    """What results depend on, as far as an annotator says; see `Annotator`."""
    words = getattr(annotator, "words", None)
    if words is not None:
        return str(words)
    if isinstance(annotator, partial):
        return f"{_words(annotator.func)} {annotator.args} {sorted(annotator.keywords.items())}"
    kind = annotator if hasattr(annotator, "__qualname__") else type(annotator)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not is_dataclass(annotator):
        return name
    return f"{name} {[(part.name, getattr(annotator, part.name)) for part in fields(annotator) if part.init]}"
