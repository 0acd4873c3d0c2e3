"""A recording between two stages keeps every bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.stages.counted import Read

from diff4splat.data import Recording
from diff4splat.data.stages import Item
from diff4splat.data.stages.recording_arrays import load_recording, save_recording

TENSORS = ("video", "depth", "depth_mask", "dynamic_mask", "tracks", "visible", "track_pixels")
WORDS = ("name", "dataset", "licence", "numbers", "fps", "unit", "static", "caption", "facts")


@pytest.fixture
def recording(tmp_path) -> Recording:
    drawn = Read(str(tmp_path))(Item("bear", inputs={"first": 3})).recording
    assert drawn is not None and drawn.depth is not None
    tracks = torch.randn(2, 5, 3, dtype=torch.float64)
    tracks[0, 1] = float("nan")
    depth = drawn.depth.half()
    depth[0, 0, 0] = float("inf")
    return replace(
        drawn,
        **{"depth": depth, "tracks": tracks, "visible": torch.rand(2, 5) > 0.5},
        **{"track_pixels": torch.rand(2, 5, 2), "dynamic_mask": torch.rand(5, 7, 11) > 0.5},
        **{"numbers": (3, 5, 7, 11, 13), "unit": "metre", "caption": "a béar", "facts": {"a": [1.5, None]}},
    )


def test_all_of_it_comes_back(tmp_path, recording) -> None:
    save_recording(recording, tmp_path / "a.npz")
    read = load_recording(tmp_path / "a.npz")
    for name in TENSORS:
        one, other = getattr(recording, name), getattr(read, name)
        assert one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes(), name
    assert [getattr(read, name) for name in WORDS] == [getattr(recording, name) for name in WORDS]
    assert recording.cameras is not None and read.cameras is not None
    assert torch.equal(read.cameras.camera_to_world, recording.cameras.camera_to_world)
    assert torch.equal(read.cameras.intrinsics, recording.cameras.intrinsics)


def test_what_is_not_known_stays_unknown_and_bytes_are_alike(tmp_path, recording) -> None:
    bare = Recording("bear", "drawn", "none", recording.video)
    for name in ("a.npz", "b.npz"):
        save_recording(bare, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = load_recording(tmp_path / "a.npz")
    assert read.cameras is None and all(getattr(read, name) is None for name in TENSORS[1:])


def test_files_that_cannot_be_read_are_named(tmp_path, recording) -> None:
    with pytest.raises(FileNotFoundError):
        load_recording(tmp_path / "none.npz")
    save_recording(recording, tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", video=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", words=np.array([{"a": 1}], dtype=object))
    for name in ("half", "empty", "other", "pickle"):
        with pytest.raises(ValueError, match=rf"{name}.npz is damaged"):
            load_recording(tmp_path / f"{name}.npz")
    with pytest.raises(TypeError):
        save_recording(replace(recording, facts={"a": {1, 2}}), tmp_path / "b.npz")
    assert not (tmp_path / "b.npz").exists()
