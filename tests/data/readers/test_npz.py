"""Folders of NPZ files as a dataset."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.readers.wall import camera_to_world, depth_map
from data.recording_samples import full, same

from diff4splat.data import find_datasets, open_dataset, save_recording
from diff4splat.data.checking import check_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "my clips"
    (root / "deep" / "er").mkdir(parents=True)
    (root / ".cache").mkdir()
    for seed, name in enumerate(("-b", "a", "deep/er/c", ".cache/d", ".e")):
        save_recording(full(seed), root / f"{name}.npz")
    np.savez(root / "statistics.npz", mean=np.zeros(3))
    np.savez(root / "pictures.npz", images=np.zeros((2, 3, 4, 5), np.uint8))  # of nobody knows where
    return root


def test_recordings_come_back(folder: Path) -> None:
    assert find_datasets(folder) == {"npz": 3}
    reader = open_dataset(folder)
    assert reader.names == ("-b", "a", "deep/er/c")
    info = reader.info("deep/er/c")
    assert (info.name, info.num_frames, info.unit) == ("deep/er/c", 7, "metre")
    assert info.holds == {"cameras", "depth", "dynamic_mask", "tracks"}
    same(reader.read("deep/er/c"), replace(full(2), name="deep/er/c"))
    same(reader.read("-b", [1, 5]), replace(full(0), name="-b").select([1, 5]))
    assert reader.read("a").licence == "CC-BY-4.0" and reader.read("a").dataset == "spring"


def test_damaged_files_count_and_are_named(folder: Path) -> None:
    (folder / "a.npz").write_bytes((folder / "a.npz").read_bytes()[:1000])
    reader = open_dataset(folder)
    assert reader.names == ("-b", "a", "deep/er/c")
    with pytest.raises(ValueError, match=r"a\.npz is not a readable npz"):
        reader.read("a")


def test_a_folder_of_other_archives_is_not_ours(tmp_path: Path) -> None:
    np.savez(tmp_path / "statistics.npz", mean=np.zeros(3))
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    assert find_datasets(tmp_path) == {}
    with pytest.raises(ValueError, match="must hold recordings in NPZ files"):
        open_dataset(tmp_path, "npz")


def test_the_check_of_a_dataset_judges_files_of_the_original(tmp_path: Path) -> None:
    height, width, focal = 46, 62, 50.0
    numbers = [0, 2, 4]
    arrays = {
        "images": np.full((3, 3, height, width), 0.5, np.float32),
        "C2W": np.stack([camera_to_world(number) for number in numbers]),
        "fxfycxcy": np.array([[focal / width, focal / height, 0.5, 0.5]] * 3),
        "depth": np.stack([depth_map(number, height, width, focal) for number in numbers]),
        "timestep": np.array([0, 0.5, 1]),
    }
    np.savez(tmp_path / "sound.npz", **arrays)
    assert check_dataset(open_dataset(tmp_path)).verdict != "fails"
    turned = arrays | {"C2W": np.linalg.inv(arrays["C2W"])}
    np.savez(tmp_path / "sound.npz", **turned)
    assert check_dataset(open_dataset(tmp_path)).verdict == "fails"


def test_the_fingerprint_is_of_one_file(folder: Path) -> None:
    reader = open_dataset(folder)
    before = {name: reader.fingerprint(name) for name in reader.names}
    save_recording(full(7), folder / "a.npz")
    save_recording(full(8), folder / "new.npz")
    after = open_dataset(folder)
    changed = {name for name in before if before[name] != after.fingerprint(name)}
    assert changed == {"a"}
