"""Every dataset, written from the description of its format and read back."""

from pathlib import Path

import numpy as np
import pytest
from data.layouts import LAYOUTS, VIDEOS, make_scenes
from data.readers.truth import check_cameras, check_depth, check_tracks

from diff4splat.data.readers import DATASETS, find_datasets, open_dataset

NOT_OF_THE_FIELD = {"npz"}  # this library's own file, which writes itself
FRAMES, HEIGHT, WIDTH = 7, 26, 38
STORED = {  # how far numbers in the files are from those of the scene
    "cameras": {"pointodyssey": 2e-3},
    "depth": {"pointodyssey": 1000 / 65535, "dynamicreplica": 2**-8, "matrixcity": 2**-8, "vkitti2": 0.005},
}
LOSSY = ("pointodyssey", "vkitti2", *VIDEOS)


def test_every_dataset_has_a_writer() -> None:
    assert set(DATASETS) - NOT_OF_THE_FIELD == set(LAYOUTS)


@pytest.mark.parametrize("key", LAYOUTS)
def test_a_scene_comes_back(key: str, tmp_path: Path) -> None:
    scenes = make_scenes(key, FRAMES, HEIGHT, WIDTH, count=2)
    folder, written = LAYOUTS[key](tmp_path / "a folder", *scenes)
    assert [*written.values()] == scenes
    assert find_datasets(folder) == {key: 2}
    reader = open_dataset(folder)
    assert set(reader.names) == set(written)
    frames = [0, 3, FRAMES - 1]
    for name, scene in written.items():
        info, recording = reader.info(name), reader.read(name, frames)
        recording.validate()
        assert (info.num_frames, info.height, info.width) == scene.frames.shape[:3]
        shown = recording.video.movedim(1, -1).numpy().astype(int)
        # from each frame of the scene
        off = np.abs(shown[:, None] - scene.frames.astype(int)).mean((2, 3, 4))
        assert off.argmin(1).tolist() == frames
        assert off[range(3), frames].max() <= (6 if key in LOSSY else 0)
        assert ("cameras" in info.holds) == (recording.cameras is not None) == (key != "video")
        if recording.cameras is not None:
            check_cameras(recording, scene, frames, STORED["cameras"].get(key, 1e-5))
        assert ("depth" in info.holds) == (recording.depth is not None)
        if recording.depth is not None:
            check_depth(
                recording, scene, frames, STORED["depth"].get(key, 1e-5) + 3e-3 * (key == "pointodyssey")
            )
        assert ("dynamic_mask" in info.holds) == (recording.dynamic_mask is not None)
        if recording.dynamic_mask is not None:
            assert np.array_equal(recording.dynamic_mask.numpy(), scene.moving[frames])
        assert ("tracks" in info.holds) == (recording.tracks is not None)
        if recording.track_pixels is not None:
            check_tracks(recording, scene, frames, 2**-8, 2**-5)
