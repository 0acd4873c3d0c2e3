"""Parts of a source: by dataset, and by stage of training."""

from dataclasses import replace

import pytest
import torch
from data.sampling.memory import MemorySource, wall

from diff4splat.data import DATASET_SETTINGS, DATASETS
from diff4splat.data.recording_source import RecordingSource
from diff4splat.data.sampling import SelectedRecordings, by_dataset, for_stage

KEYS = ["spring", "realestate10k", "mine", "stereo4d", "own", "spring"]


def source() -> MemorySource:
    recordings = [wall(f"{number}-{key}", dataset=key) for number, key in enumerate(KEYS)]
    recordings = [replace(r, static=r.dataset == "mine") for r in recordings]
    return MemorySource(recordings)


def names(some) -> list[str]:
    return [entry.uid for entry in some.entries]


def test_a_selection_is_a_source() -> None:
    whole = source()
    some = SelectedRecordings(whole, [4, 1])
    assert isinstance(some, RecordingSource) and names(some) == ["4-own", "1-realestate10k"]
    assert some.read(1, [2, 3]).name == "1-realestate10k" and whole.asked == [(1, [2, 3])]
    assert torch.equal(some.read(0).video, whole.recordings[4].video)
    part = SelectedRecordings(some, [1])
    assert names(part) == ["1-realestate10k"] and part.source is whole and part.indices == (1,)
    part.read(0, [5])
    assert whole.asked[-1] == (1, [5])
    with pytest.raises(IndexError, match=r"indices must be in \[0, 6\), got 6"):
        SelectedRecordings(whole, [0, 6])


def test_datasets_come_apart() -> None:
    parts = by_dataset(source())
    assert list(parts) == sorted(set(KEYS))
    assert names(parts["spring"]) == ["0-spring", "5-spring"]


def test_stages_have_their_datasets_and_others_by_what_moves() -> None:
    assert names(for_stage(source(), "static")) == ["1-realestate10k", "2-mine"]
    assert names(for_stage(source(), "dynamic")) == ["0-spring", "3-stereo4d", "4-own", "5-spring"]


def test_an_unknown_stage_is_refused(without_shape_checker) -> None:
    with pytest.raises(ValueError, match="stage must be static or dynamic, got 'low'"):
        for_stage(source(), "low")


def test_settings_agree_with_readers_and_paper() -> None:
    formats = {"colmap", "video"}
    assert formats <= set(DATASETS) and set(DATASET_SETTINGS) <= set(DATASETS)
    for key, settings in DATASET_SETTINGS.items():
        if DATASETS[key].static:
            assert settings.stage == "static"
    paper = {key: settings for key, settings in DATASET_SETTINGS.items() if settings.num_scenes}
    dynamic = "pointodyssey dynamicreplica spring vkitti2 multicamvideo stereo4d".split()
    assert sorted(key for key, s in paper.items() if s.stage == "dynamic") == sorted(dynamic)
    total = sum(settings.num_scenes for settings in paper.values())
    assert total == 163_630, "0.4 + 4.5 + 70 + 0.1 + 0.5 + 0.03 + 0.1 + 14 + 74 thousand"
