"""Recordings in NPZ files: what is written comes back bit for bit, and files of the original are read."""

import io
import json
import multiprocessing
import os
import signal
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.readers.wall import camera_to_world
from data.recording_samples import FRAMES, HEIGHT, TRACKS, WIDTH, full, same, same_bits

from diff4splat.data import Recording, load_recording, load_recording_info, save_recording


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("images", ["uint8", "float32"])
def test_everything_comes_back_bit_for_bit(tmp_path: Path, images: str, compression: str) -> None:
    recording, file = full(), tmp_path / "-a clip.npz"
    save_recording(recording, file, images=images, compression=compression)
    same(load_recording(file), recording)
    for frames in ([0], [2, 5], [6]):
        same(load_recording(file, frames), recording.select(frames))


def test_a_video_alone_and_types_that_are_not_the_usual(tmp_path: Path) -> None:
    bare = Recording(name="bare", dataset="video", licence="unknown", video=full().video)
    save_recording(bare, tmp_path / "bare.npz")
    same(load_recording(tmp_path / "bare.npz"), bare)
    wide = replace(
        full(),
        depth=full().depth.half(),
        tracks=full().tracks.double(),
        cameras=full().cameras.to(dtype=torch.float64),
    )
    save_recording(wide, tmp_path / "wide.npz")
    same(load_recording(tmp_path / "wide.npz"), wide)
    with pytest.raises(ValueError, match="depth must be of a type that numpy has"):
        save_recording(replace(full(), depth=full().depth.bfloat16()), tmp_path / "wide.npz")
    same(load_recording(tmp_path / "wide.npz"), wide)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    save_recording(full(), tmp_path / "a.npz")
    strided = replace(full(), video=full().video.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
    save_recording(strided, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_numpy_reads_the_keys_of_the_field(tmp_path: Path) -> None:
    recording = full()
    save_recording(recording, tmp_path / "clip.npz", images="float32")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as content:
        assert content["images"].dtype == np.float32 and content["images"].max() <= 1
        np.testing.assert_array_equal(content["C2W"], recording.cameras.camera_to_world)
        lens = recording.cameras.intrinsics[2]
        expected = [lens[0, 0] / WIDTH, lens[1, 1] / HEIGHT, lens[0, 2] / WIDTH, lens[1, 2] / HEIGHT]
        np.testing.assert_allclose(content["fxfycxcy"][2], expected, rtol=1e-6)
        np.testing.assert_allclose(content["timestep"], np.arange(FRAMES) / (FRAMES - 1), atol=1e-7)
        assert content["track_world"].shape == (FRAMES, TRACKS, 3)
        assert content["visibility"].shape == (FRAMES, TRACKS)
        assert json.loads(content["recording"].tobytes())["facts"] == recording.facts


def test_info_is_known_without_frames(tmp_path: Path) -> None:
    save_recording(full(), tmp_path / "clip.npz")
    info = load_recording_info(tmp_path / "clip.npz")
    assert (info.name, info.num_frames, info.height, info.width) == ("scene 0/-left", FRAMES, HEIGHT, WIDTH)
    assert (info.fps, info.unit) == (30000 / 1001, "metre")
    assert info.holds == {"cameras", "depth", "dynamic_mask", "tracks"}


def original(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    """The arrays of the original release, 5 frames of 10 x 14 pixels."""
    pixels = np.arange(5 * 3 * 10 * 14).reshape(5, 3, 10, 14) % 256
    content = {
        "images": (pixels / 255).astype(np.float32),
        "C2W": np.stack([camera_to_world(index) for index in range(5)]),
        "fxfycxcy": np.array([[0.9, 1.26, 0.5, 0.4]] * 5),
        "timestep": np.array([0, 0.1, 0.5, 0.6, 1.0], np.float32),
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


def test_a_file_of_the_original_release(tmp_path: Path) -> None:
    np.savez(tmp_path / "7f_clip.npz", **original())
    recording = load_recording(tmp_path / "7f_clip.npz")
    recording.validate()
    assert (recording.name, recording.dataset, recording.licence) == ("7f_clip", "npz", "unknown")
    np.testing.assert_array_equal(recording.video, np.arange(5 * 3 * 10 * 14).reshape(5, 3, 10, 14) % 256)
    truth = np.stack([camera_to_world(index) for index in range(5)])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=1e-6)
    lens = [[0.9 * 14, 0, 0.5 * 14], [0, 1.26 * 10, 0.4 * 10], [0, 0, 1]]
    np.testing.assert_allclose(recording.cameras.intrinsics[3], lens, atol=1e-6)
    assert recording.cameras.dtype == torch.float32
    np.testing.assert_allclose(recording.facts["timestep"], [0, 0.1, 0.5, 0.6, 1.0], atol=1e-7)
    part = load_recording(tmp_path / "7f_clip.npz", [1, 4])
    same(part, recording.select([1, 4]))


@pytest.mark.parametrize("key", ["pose", "extrinsics"])
@pytest.mark.parametrize("shape", [(5, 3, 3), (3, 3)])
def test_other_names_of_poses_and_lenses_in_pixels(tmp_path: Path, key: str, shape: tuple[int, ...]) -> None:
    lens = np.broadcast_to(np.array([[12.5, 0, 7], [0, 12.6, 4], [0, 0, 1]]), shape)
    arrays = original(C2W=None, fxfycxcy=None, intrinsics=lens) | {key: original()["C2W"]}
    np.savez(tmp_path / "clip.npz", **arrays)
    recording = load_recording(tmp_path / "clip.npz", [0, 3])
    np.testing.assert_allclose(recording.cameras.intrinsics[1], [[12.5, 0, 7], [0, 12.6, 4], [0, 0, 1]])
    np.testing.assert_allclose(recording.cameras.camera_to_world[1], camera_to_world(3), atol=1e-6)


def test_samples_of_training_of_the_lineage(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    depth = draw.uniform(1, 5, (5, 10, 14))
    depth[1, 2, 3], depth[2, 4, 5] = 0, np.inf
    points = draw.normal(size=(5, 2, 3)).astype(np.float32)
    seen = np.array([[True, False]] * 5)
    cells = draw.integers(0, 9, (5, 2, 2))
    arrays = original(depth=depth, track_world=points, visibility=seen, track_xy=cells)
    arrays["image"] = arrays.pop("images")
    np.savez(tmp_path / "clip.npz", **arrays)
    recording = load_recording(tmp_path / "clip.npz")
    assert recording.depth.dtype == torch.float32
    assert (~recording.depth_mask).nonzero().tolist() == [[1, 2, 3], [2, 4, 5]]
    np.testing.assert_array_equal(recording.tracks[1, 4], points[4, 1])
    assert recording.visible.tolist() == [[True] * 5, [False] * 5]
    np.testing.assert_array_equal(recording.track_pixels[0, 2], cells[2, 0] + 0.5)  # centres of pixels
    assert load_recording_info(tmp_path / "clip.npz").holds == {"cameras", "depth", "tracks"}

    arrays |= {
        "track_world": np.zeros((5, 1, 3)),
        "visibility": np.zeros((5, 1), bool),
        "track_xy": cells[:, :1],
    }
    np.savez(tmp_path / "clip.npz", **arrays)  # how the lineage says that there are no tracks
    assert load_recording(tmp_path / "clip.npz").tracks is None
    assert load_recording_info(tmp_path / "clip.npz").holds == {"cameras", "depth"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "must hold images, got C2W"),
        ({"images": np.zeros((5, 10, 14, 3), np.float32)}, r"images of \[frame, 3, height, width\], got"),
        ({"images": np.full((5, 3, 10, 14), 255, np.float32)}, "images from 0 to 1, got 255 to 255"),
        ({"images": np.full((5, 3, 10, 14), np.nan, np.float32)}, "images from 0 to 1, got nan"),
        ({"images": np.zeros((5, 3, 10, 14), np.int64)}, "of uint8 or a float, got int64"),
        ({"C2W": np.zeros((4, 4, 4))}, r"C2W of \[5, 4, 4\], got \[4, 4, 4\]"),
        ({"fxfycxcy": None}, "fxfycxcy or intrinsics with C2W"),
        ({"fxfycxcy": np.zeros((5, 3))}, r"fxfycxcy of \[5, 4\]"),
        ({"depth": np.zeros((5, 10, 13))}, r"depth of \[5, 10, 14\]"),
        ({"track_world": np.zeros((5, 2, 3))}, "visible must be given with tracks"),
        ({"timestep": np.array([{}] * 5)}, "not hold|must hold numbers|Object arrays|not a readable npz"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "clip.npz", **original(**changes))
    with pytest.raises(ValueError, match=message) as caught:
        load_recording(tmp_path / "clip.npz")
    assert "clip.npz" in str(caught.value)


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "clip.npz", **original(depth=np.array([Trap()], dtype=object)))
    with pytest.raises(ValueError, match=r"clip\.npz"):
        load_recording(tmp_path / "clip.npz")
    assert not (tmp_path / "sprung").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "clip.npz"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_recording(file)
    save_recording(full(), file)
    content = file.read_bytes()
    for damaged in (b"", b"no zip", content[: len(content) // 2], content[:-1]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"clip\.npz is not a readable npz"):
            load_recording(file)
    place = content.index(full().video.numpy().tobytes()[:64]) + 5
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(ValueError, match="not a readable npz: Bad CRC"):
        load_recording(file)


def test_a_damaged_header_of_an_array_is_named(tmp_path: Path) -> None:
    save_recording(full(), tmp_path / "clip.npz")
    content = (tmp_path / "clip.npz").read_bytes()
    (tmp_path / "clip.npz").write_bytes(content.replace(b"), }", b" , }"))
    with pytest.raises(ValueError, match=r"clip\.npz is not a readable npz"):
        load_recording(tmp_path / "clip.npz")


@pytest.mark.parametrize("depth", [np.full((2, 4, 6), "x"), np.ones((2, 4, 6), complex)])
def test_what_is_no_real_number_is_named(tmp_path: Path, depth: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 4, 6), np.uint8), depth=depth)
    for frames in (None, [1]):
        with pytest.raises(
            ValueError, match=r"a\.npz must hold real numbers of up to 64 bits, got .* as depth"
        ):
            load_recording(tmp_path / "a.npz", frames)


def test_numbers_of_another_byte_order_are_read(tmp_path: Path) -> None:
    depth = np.arange(1, 49, dtype=">f4").reshape(2, 4, 6)
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 4, 6), np.uint8), depth=depth)
    for frames in (None, [0, 1]):
        found = load_recording(tmp_path / "a.npz", frames).depth
        assert np.array_equal(found.numpy(), depth.astype(np.float32))


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 3, 10**4, 10**4)}
    )
    with zipfile.ZipFile(tmp_path / "clip.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue())
    for frames in (None, [0]):
        with pytest.raises(ValueError, match="images has not as many bytes"):
            load_recording(tmp_path / "clip.npz", frames)


def test_arrays_in_columns_are_read(tmp_path: Path) -> None:
    arrays = original()
    arrays["images"] = np.asfortranarray(arrays["images"])
    np.savez(tmp_path / "columns.npz", **arrays)
    np.savez(tmp_path / "rows.npz", **original())
    same_bits(
        load_recording(tmp_path / "columns.npz", [1, 2]).video,
        load_recording(tmp_path / "rows.npz").video[1:3],
    )


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one"),
        ([7], "from 0 to 6"),
        ([-1], "from 0 to 6"),
        ([3, 1], "ascend"),
        ([2, 2], "ascend"),
    ],
)
def test_frames_that_are_not_there(tmp_path: Path, frames: list[int], message: str) -> None:
    save_recording(full(), tmp_path / "clip.npz")
    with pytest.raises(ValueError, match=message):
        load_recording(tmp_path / "clip.npz", frames)


@pytest.mark.parametrize("facts", [{"a": float("nan")}, {"a": {1, 2}}, {"a": torch.zeros(2)}])
def test_facts_must_be_json(tmp_path: Path, facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be JSON values"):
        save_recording(replace(full(), facts=facts), tmp_path / "clip.npz")
    assert list(tmp_path.iterdir()) == []


def test_options_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save_recording(full(), tmp_path / "nowhere" / "clip.npz")


@pytest.mark.usefixtures("without_shape_checker")
def test_words_that_are_no_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images must be"):
        save_recording(full(), tmp_path / "clip.npz", images="half")
    with pytest.raises(ValueError, match="compression must be"):
        save_recording(full(), tmp_path / "clip.npz", compression="zstd")


def _write_for_ever(path: str) -> None:
    for seed in range(10**6):
        save_recording(full(seed % 2, frames=61), path)


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "clip.npz"
    process = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(str(file),))
    process.start()
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    recording = load_recording(file)
    same(recording, full(int(recording.name == "scene 1/-left"), frames=61))
