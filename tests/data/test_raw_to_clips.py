"""Every dataset from its authors' own layout to shards and on to a clip that training takes."""

from pathlib import Path

import pytest
import torch
from data.layouts import LAYOUTS, make_scenes

from diff4splat.data import DATASETS, ClipSampling, SampledClips, check_clip, open_dataset
from diff4splat.data.curation import CurationSettings, CurationThresholds, curate
from diff4splat.data.streaming import RecordingShards

FRAMES = 17
SETTINGS = CurationSettings(num_frames=FRAMES, long_side=128)
WITH_DEPTH = {"tartanair", "tartanair2", "pointodyssey", "dynamicreplica", "spring", "vkitti2", "matrixcity"}


@pytest.mark.parametrize("key", sorted(set(DATASETS) - {"npz"}))
def test_raw_folder_to_training_clip(key: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    LAYOUTS[key](raw, *make_scenes(key, FRAMES, 96, 128))
    settings = SETTINGS
    if key == "video":  # nobody knows its cameras
        settings = CurationSettings(
            num_frames=FRAMES, long_side=128, thresholds=CurationThresholds(require=())
        )
    result = curate(open_dataset(raw), tmp_path / "shards", settings)
    assert [outcome.status for outcome in result.outcomes] == ["kept"] * len(result.outcomes), [
        outcome.reason for outcome in result.outcomes
    ]
    shards = RecordingShards(tmp_path / "shards")
    assert len(shards.entries) == len(result.outcomes) >= 1
    assert {entry.dataset for entry in shards.entries} == {key}
    assert (tmp_path / "shards" / "report.html").is_file()
    if key == "video":
        assert shards.read(0).cameras is None
        return
    motion = "tracks" if key in WITH_DEPTH | {"stereo4d"} else "none"
    depth = "needed" if key in WITH_DEPTH else "where known"
    sampling = ClipSampling(frames=5, height=64, width=80, num_tracks=37, motion=motion, depth=depth)
    clips = SampledClips(shards, sampling, draws=3)
    needs = ["video", "camera_to_world", "intrinsics"]
    needs += ["depth"] if key in WITH_DEPTH else []
    needs += ["motion"] if motion == "tracks" else []
    for index in range(len(clips)):
        clip, _ = clips[index]
        assert check_clip(clip, needs=needs) is None
        assert clip["video"].shape == (5, 3, 64, 80)
        torch.testing.assert_close(clip["camera_to_world"][0], torch.eye(4))
