"""From a dataset as its authors lay it out to shards that training streams, with a report of every clip."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from diff4splat.data.annotations import Annotator
from diff4splat.data.curation.continuity import windows
from diff4splat.data.curation.settings import CurationSettings
from diff4splat.data.curation.steps import PREVIEW, curation_stages
from diff4splat.data.curation_report import CurationSummary, write_report
from diff4splat.data.readers import DatasetReader, NpzRecordings
from diff4splat.data.stages import Outcome, Task, load_item, run_stages
from diff4splat.data.stages.run import Engine
from diff4splat.data.streaming import write_shards
from diff4splat.data.streaming.shard_index import INDEX
from diff4splat.data.uids import clip_uid
from diff4splat.files import atomic_path, folder_lock

__all__ = ["CurationResult", "curate", "curation_tasks"]

_WORK = "work"
_SETTINGS = "curation.json"


@dataclass(frozen=True)
class CurationResult:
    """What came of a dataset.

    Args:
        folder: Shards, their index and the report.
        outcomes: What became of each clip.
        summary: How many, and why.
    """

    folder: Path
    outcomes: tuple[Outcome, ...]
    summary: CurationSummary


def curate(
    reader: DatasetReader,
    folder: str | os.PathLike[str],
    settings: CurationSettings | None = None,
    *,
    annotators: Sequence[Annotator] = (),
    max_recordings: int | None = None,
    workers: int = 0,
    engine: Engine = "local",
    address: str | None = None,
    max_clips_per_shard: int = 256,
    callback: Callable[[int, int], None] | None = None,
) -> CurationResult:
    """Make clips of a dataset, keep those that are good, and write them as shards.

    Every clip goes through the stages read, annotate, judge and encode; see `run_stages` for what happens
    when one fails, the run is stopped, or settings change: nothing that is finished is done again. The folder
    then holds

    - shards `*.tar` with `index.parquet`, which `RecordingShards` reads and training takes;
    - `report.html` with pictures, `clips.parquet` and `clips.csv`: what became of each clip, and why;
    - `curation.json`: the settings;
    - `work`: the results of stages, which can be removed once nothing is to be repeated.

    Shards do not depend on the number of workers, the engine, or the order in which clips are done.

    Args:
        reader: The dataset, as `open_dataset` gives it.
        folder: Where all goes; made if needed.
        settings: What clips are made and what they must be like; the defaults when omitted.
        annotators: What else is said of recordings, see `annotated`; they are sent to other processes.
        max_recordings: How many recordings are taken, spread evenly; all when omitted.
        workers: Processes, see `run_stages`.
        engine: "local" or "ray", see `run_stages`.
        address: Cluster of Ray, see `run_stages`.
        max_clips_per_shard: Clips of a shard at most.
        callback: Called with how many clips are done, and of how many.

    Returns:
        The outcomes, in the order of recordings and frames.

    Raises:
        ModuleNotFoundError: If pyarrow is missing, or scikit-image where masks come from flow.
        ValueError: If an option is out of its range, the folder lies among the files of a recording or holds
            shards of something else, or another run uses it.
        OSError: If something cannot be written.
    """
    settings = settings or CurationSettings()
    _check_packages(settings)
    if max_recordings is not None and max_recordings < 1:
        raise ValueError(f"max_recordings must be at least 1, got {max_recordings}.")
    folder = Path(folder)
    _check_folder(folder, reader)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        tasks = curation_tasks(reader, settings, annotators=annotators, max_recordings=max_recordings)
        stages = curation_stages(reader, settings, annotators)
        found = run_stages(
            tasks, stages, folder / _WORK, workers=workers, engine=engine, address=address, callback=callback
        )
        outcomes = [_told(task, outcome) for task, outcome in zip(tasks, found, strict=True)]
        return _written(reader, folder, settings, outcomes, max_clips_per_shard)


def _written(
    reader: DatasetReader,
    folder: Path,
    settings: CurationSettings,
    outcomes: Sequence[Outcome],
    max_clips_per_shard: int,
) -> CurationResult:
    """Shards, report and settings."""
    work = folder / _WORK
    kept = {outcome.uid: outcome for outcome in outcomes if outcome.status == "kept"}
    if not kept:  # nothing may train on what is rejected by now
        (folder / INDEX).unlink(missing_ok=True)
    else:
        samples = ((uid, partial(_parts, work, outcome)) for uid, outcome in kept.items())
        write_shards(samples, folder, max_clips=max_clips_per_shard, existing="replace")
    previews = _Previews(work, {outcome.uid: outcome for outcome in outcomes if outcome.status != "failed"})
    summary = write_report(outcomes, folder, previews=previews, title=f"Curation of {reader.title}")
    words = {"dataset": reader.key, "settings": settings.to_dict(), "num_clips": len(outcomes)}
    with atomic_path(folder / _SETTINGS) as temporary:
        temporary.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    return CurationResult(folder, tuple(outcomes), summary)


def curation_tasks(
    reader: DatasetReader,
    settings: CurationSettings,
    *,
    annotators: Sequence[Annotator] = (),
    max_recordings: int | None = None,
) -> list[Task]:
    """The clips that a dataset is cut into, before any frame is read.

    A recording that cannot be looked at is one clip, which then fails with the reason.

    Args:
        reader: The dataset.
        settings: How many frames clips have, and how far apart they start.
        annotators: What else is asked; where files of theirs change, clips are made anew.
        max_recordings: How many recordings are taken, spread evenly; all when omitted.

    Returns:
        Tasks in the order of recordings and frames.
    """
    names = reader.names
    if max_recordings is not None and max_recordings < len(names):
        last = max(max_recordings - 1, 1)
        names = tuple(names[round(index * (len(names) - 1) / last)] for index in range(max_recordings))
    tasks = []
    for name in names:
        spoken = name.encode(errors="backslashreplace").decode()
        inputs: dict[str, Any] = {"dataset": reader.key, "recording": spoken, "scene": "", "error": ""}
        try:
            if spoken != name:  # neither the index nor the report could hold it
                raise ValueError(f"names of files must be UTF-8, got {spoken}: rename it.")
            inputs["scene"] = f"{reader.key}/{reader.scene_of(name)}"
            info = reader.info(name)
            inputs["files"] = reader.fingerprint(name)
            said = [each.fingerprint(name) for each in annotators if hasattr(each, "fingerprint")]
            if said:
                inputs["annotations"] = said
            inputs["error"] = info.missing
            frames = 0 if info.missing else info.num_frames
        except (ValueError, OSError) as error:
            inputs["error"], frames = str(error) or type(error).__name__, 0
        for window in _windows(frames, settings):
            uid = clip_uid(reader.key, name, window)
            tasks.append(Task(uid, {**inputs, "first": window.start, "count": len(window)}))
    return tasks


def _check_packages(settings: CurationSettings) -> None:
    """Refuse at once what would be missed after hours of work."""
    needed = {"pyarrow": ("pyarrow", "The index of shards and the tables of the report need")}
    if settings.masks == "flow":
        needed["skimage"] = ("scikit-image", "Masks from optical flow need")
    for module, (package, words) in needed.items():
        try:
            import_module(module)
        except ImportError as error:
            raise ModuleNotFoundError(
                f'{words} {package}: pip install "diff4splat[data]", or pip install {package}.'
            ) from error


def _check_folder(folder: Path, reader: DatasetReader) -> None:
    """Nothing of another origin is replaced, and results do not count as files of a recording."""
    place, top = folder.resolve(), reader.folder.resolve()
    names = reader.names if place.is_relative_to(top) else ()
    inside = isinstance(reader, NpzRecordings) and bool(names)  # recordings of stages are such files
    if inside or any(place.is_relative_to(os.path.normpath(top / name)) for name in names):
        raise ValueError(f"folder must lie outside of the recordings, got {folder}, which is among them.")
    dataset = reader.key
    if (folder / _SETTINGS).is_file():
        try:
            dataset = str(json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))["dataset"])
        except (ValueError, KeyError, TypeError):
            dataset = "something else"
    elif (folder / INDEX).exists() and not (folder / _WORK).is_dir():
        dataset = "something else"
    if dataset != reader.key:
        raise ValueError(f"folder must be of {reader.key}, got {folder}, which holds clips of {dataset}.")


def _told(task: Task, outcome: Outcome) -> Outcome:
    """An outcome that says what it is of, also where nothing could be read."""
    inputs = task.inputs
    known = {"dataset": inputs["dataset"], "recording": inputs["recording"], "first_frame": inputs["first"]}
    return replace(outcome, metrics={**known, **outcome.metrics})


def _windows(num_frames: int, settings: CurationSettings) -> list[range]:
    """Windows of a recording; what is left at its end is one, too, where it has half the frames of a clip."""
    found = windows(num_frames, settings.num_frames, settings.stride) or [range(num_frames)]
    rest = range(found[-1].stop, num_frames)
    return [*found, rest] if 2 * len(rest) >= settings.num_frames else found


def _parts(work: Path, outcome: Outcome) -> dict[str, bytes]:
    """Files of a clip that go into its shard."""
    files = load_item(work, outcome.stage, outcome.key).files
    return {name: content for name, content in files.items() if name != PREVIEW}


class _Previews(Mapping[str, bytes]):
    """Pictures of clips by uid, read when they are asked for."""

    def __init__(self, work: Path, outcomes: Mapping[str, Outcome]) -> None:
        self._work, self._outcomes = work, outcomes

    def __getitem__(self, uid: str) -> bytes:
        outcome = self._outcomes[uid]
        return load_item(self._work, outcome.stage, outcome.key).files[PREVIEW]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)
