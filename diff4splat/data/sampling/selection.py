"""Some of the recordings of a source: those of a dataset, or those that a stage of training is for."""

from collections.abc import Sequence
from typing import Literal

from diff4splat.data.recording_source import RecordingEntry, RecordingSource
from diff4splat.data.recordings import Recording
from diff4splat.data.sampling.settings import DATASET_SETTINGS

__all__ = ["SelectedRecordings", "by_dataset", "for_stage"]


class SelectedRecordings:
    """A `RecordingSource` of some entries of another, which are kept in memory.

    Args:
        source: The other.
        indices: Which of its entries, in this order.

    Raises:
        IndexError: If there is no such entry.
    """

    def __init__(self, source: RecordingSource, indices: Sequence[int]) -> None:
        entries = source.entries
        wrong = [index for index in indices if not 0 <= index < len(entries)]
        if wrong:
            raise IndexError(f"indices must be in [0, {len(entries)}), got {wrong[0]}.")
        self._entries = tuple(entries[index] for index in indices)
        self.source: RecordingSource = source
        self.indices: tuple[int, ...] = tuple(indices)
        if isinstance(source, SelectedRecordings):
            self.source = source.source
            self.indices = tuple(source.indices[index] for index in indices)

    @property
    def entries(self) -> Sequence[RecordingEntry]:
        """What there is, in the order of `indices`."""
        return self._entries

    def read(self, index: int, frames: Sequence[int] | None = None, /) -> Recording:
        """Frames of `entries[index]`, as the other source reads them.

        Args:
            index: Which recording.
            frames: Which of its frames, ascending; all when omitted.

        Returns:
            The recording.
        """
        return self.source.read(self.indices[index], frames)


def for_stage(source: RecordingSource, stage: Literal["static", "dynamic"]) -> SelectedRecordings:
    """The recordings that a stage of training is for.

    Args:
        source: All of them.
        stage: "static" or "dynamic", as `DATASET_SETTINGS` says of their datasets; recordings of other
            datasets are for static stages if nothing moves in them.

    Returns:
        Some of them, may be none.

    Raises:
        ValueError: If there is no such stage.
    """
    if stage not in ("static", "dynamic"):
        raise ValueError(f"stage must be static or dynamic, got {stage!r}.")
    listed = _listed(source)
    numbers = [number for number, entry in enumerate(listed.entries) if _stage_of(entry) == stage]
    return SelectedRecordings(listed, numbers)


def by_dataset(source: RecordingSource) -> dict[str, SelectedRecordings]:
    """The recordings of a source, apart by dataset.

    Args:
        source: All of them.

    Returns:
        Recordings by the name of the dataset, names ascending.
    """
    listed = _listed(source)
    numbers: dict[str, list[int]] = {}
    for number, entry in enumerate(listed.entries):
        numbers.setdefault(entry.dataset, []).append(number)
    return {name: SelectedRecordings(listed, numbers[name]) for name in sorted(numbers)}


def _listed(source: RecordingSource) -> SelectedRecordings:
    """All recordings, whose entries are made once, however often they are looked at."""
    if isinstance(source, SelectedRecordings):
        return source
    return SelectedRecordings(source, range(len(source.entries)))


def _stage_of(entry: RecordingEntry) -> str:
    if entry.dataset in DATASET_SETTINGS:
        return DATASET_SETTINGS[entry.dataset].stage
    return "static" if entry.static else "dynamic"
