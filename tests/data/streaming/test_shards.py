"""Shards: written whole, alike for equal clips, read by number and by the webdataset library."""

import io
import json
import multiprocessing
import os
import pickle
import signal
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from data.recording_samples import full, same
from data.streaming.shard_folders import clip, number_of, samples, uid_of, write

from diff4splat.data import Recording
from diff4splat.data.recording_source import RecordingSource
from diff4splat.data.streaming import (
    RecordingShards,
    decode_sample,
    encode_sample,
    index_shards,
    write_shards,
)
from diff4splat.data.streaming.sample import check_metric

COUNT = 23


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, bytes]]:
    return samples(COUNT)


@pytest.fixture
def folder(tmp_path: Path, written: dict[str, dict[str, bytes]]) -> Path:
    root = tmp_path / "-my shards"
    write_shards(written.items(), root, max_clips=5)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_clip_comes_back(folder: Path) -> None:
    shards = RecordingShards(folder)
    assert isinstance(shards, RecordingSource)
    assert len(shards) == len(shards.entries) == COUNT and shards.shard_sizes == [5, 5, 5, 5, 3]
    assert sorted(number_of(shards.read(index)) for index in range(COUNT)) == list(range(COUNT))
    for index, entry in enumerate(shards.entries):
        recording = shards.read(index)
        number = number_of(recording)
        same(recording, clip(number))
        assert (entry.uid, entry.scene, entry.dataset) == (uid_of(number), uid_of(number), "video")
        assert (entry.licence, entry.caption, entry.static) == ("unknown", f"number {number}", False)
        info = entry.info
        assert (info.name, info.num_frames, info.height, info.width) == (f"clip {number}", 2, 4, 6)
        assert (info.fps, info.holds, info.unit) == (None, frozenset(), "unknown")
        assert shards.column("metric_n")[index] == number
    assert shards.entries[-1] == shards.entries[COUNT - 1] and len(shards.entries[3:9:2]) == 3
    assert list(shards.damaged()) == []


def test_everything_of_a_recording_and_some_of_its_frames(tmp_path: Path) -> None:
    recording = full()
    parts = encode_sample(recording, "full", scene="square", metrics={"sharp": 0.5})
    write_shards([("full", parts)], tmp_path / "a")
    shards = RecordingShards(tmp_path / "a")
    same(shards.read(0), decode_sample(parts))
    same(shards.read(0, [1, 5]), decode_sample(parts, [1, 5]))
    assert shards.read_parts(0) == parts
    entry = shards.entries[0]
    assert entry.scene == "square" and entry.info.holds == {"cameras", "depth", "dynamic_mask", "tracks"}
    table = pyarrow.parquet.read_table(tmp_path / "a" / "index.parquet").to_pylist()[0]
    assert (table["fps"], table["tracks"], table["metric_sharp"]) == (
        recording.fps,
        len(recording.tracks),
        0.5,
    )
    assert table["depth_error"] == json.loads(parts["json"])["depth"]["error"]
    shard = (tmp_path / "a" / table["shard"]).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(shard[table["offset"] :][: table["size"]])) as tar:
        assert tar.getnames() == ["full.json", "full.npz", "full.mp4"]


def test_the_webdataset_library_reads_them(folder: Path, written: dict[str, dict[str, bytes]]) -> None:
    webdataset = pytest.importorskip("webdataset")
    paths = sorted(str(path) for path in folder.glob("*.tar"))
    found = {}
    for sample in webdataset.WebDataset(paths, shardshuffle=False, empty_check=False):
        found[sample["__key__"]] = {key: value for key, value in sample.items() if not key.startswith("__")}
    assert found == written
    decoded = next(iter(webdataset.WebDataset(paths, shardshuffle=False, empty_check=False).decode("rgb8")))
    np.testing.assert_array_equal(
        decoded["00001.png"].transpose(2, 0, 1), clip(int(decoded["__key__"][2:])).video[1]
    )
    assert decoded["json"]["uid"] == decoded["__key__"]
    sample = next(iter(webdataset.WebDataset(paths, shardshuffle=False, empty_check=False)))
    parts = {end: content for end, content in sample.items() if not end.startswith("__")}
    same(decode_sample(parts), clip(int(sample["__key__"][2:])))


def test_neither_order_nor_laziness_matters(tmp_path: Path, folder: Path, written: dict) -> None:
    lazily = [(uid, lambda parts=parts: parts) for uid, parts in reversed(written.items())]
    write_shards(lazily, tmp_path / "b", max_clips=5)
    assert contents(tmp_path / "b") == contents(folder)
    write_shards(written.items(), tmp_path / "c", max_clips=5, seed=1)
    assert set(contents(tmp_path / "c")) != set(contents(folder))


def test_clips_are_mixed(folder: Path) -> None:
    """Clips of a shard are no run of numbers, as they would be in the order of arrival."""
    shards = RecordingShards(folder)
    numbers = shards.column("metric_n")
    assert numbers != sorted(numbers) and max(numbers[:5]) - min(numbers[:5]) > 5


def test_one_sample_at_a_time_is_in_memory(tmp_path: Path, written: dict) -> None:
    alive: list[int] = []

    class Parts(dict):
        def __del__(self) -> None:
            alive.pop()

    def read(uid: str) -> Parts:
        alive.append(1)
        assert len(alive) <= 2  # the one that is replaced is dropped after the next is read
        return Parts(written[uid])

    write_shards([(uid, lambda uid=uid: read(uid)) for uid in written], tmp_path / "a")
    assert len(RecordingShards(tmp_path / "a")) == COUNT


def test_bytes_bound_a_shard(tmp_path: Path, written: dict) -> None:
    size = max(RecordingShards(_one(tmp_path, written)).column("size"))
    write_shards(written.items(), tmp_path / "a", max_bytes=3 * size)
    assert max(RecordingShards(tmp_path / "a").shard_sizes) <= 3 + 1  # some clips are smaller
    write_shards(written.items(), tmp_path / "b", max_bytes=1)
    assert RecordingShards(tmp_path / "b").shard_sizes == [1] * COUNT


def _one(tmp_path: Path, written: dict) -> Path:
    write_shards(written.items(), tmp_path / "all")
    return tmp_path / "all"


def test_metrics_beside_the_samples(tmp_path: Path, written: dict) -> None:
    metrics = {
        uid: {"a": number if number else 0.5, "b": f"t{number}", "c": True, "d": number or "none", "n": -1}
        for number, uid in enumerate(written)
    }
    del metrics[uid_of(3)]
    write_shards(written.items(), tmp_path / "a", metrics=metrics)
    shards = RecordingShards(tmp_path / "a")
    rows = {uid: index for index, uid in enumerate(shards.column("uid"))}
    picked = {name: shards.column(f"metric_{name}") for name in "abcdn"}
    assert [picked[name][rows[uid_of(2)]] for name in "abcdn"] == [2.0, "t2", True, "2", -1]
    assert [picked[name][rows[uid_of(0)]] for name in "abcdn"] == [0.5, "t0", True, '"none"', -1]
    assert [picked[name][rows[uid_of(3)]] for name in "abcdn"] == [None, None, None, None, 3]
    with pytest.raises(ValueError, match="name must be one of uid"):
        shards.column("b")


def test_metrics_of_numpy(tmp_path: Path) -> None:
    parts = encode_sample(clip(1), "u", video="png")
    write_shards([("u", parts)], tmp_path, metrics={"u": {"a": np.float64(0.5)}})
    assert RecordingShards(tmp_path).column("metric_a") == [0.5]
    values = (np.float32(0.5), np.int64(3), np.True_, np.str_("t"))
    assert [check_metric("a", value) for value in values] == [0.5, 3, True, "t"]
    assert [type(check_metric("a", value)) for value in values] == [float, int, bool, str]
    with pytest.raises(ValueError, match=r"metric a must be a number, .* got \[1\]"):
        check_metric("a", [1])


def test_names_of_files_that_are_no_unicode(tmp_path: Path) -> None:
    odd = Recording("a\udcff", "video", "unknown", clip(1).video, caption="\ud800 \0 \U0001f43b")
    write_shards([("u", encode_sample(odd, "u", video="png"))], tmp_path)
    shards = RecordingShards(tmp_path)
    same(shards.read(0), odd)
    assert (shards.entries[0].info.name, shards.entries[0].caption) == ("a?", "? \0 \U0001f43b")


def test_wrong_samples_are_refused_and_leave_nothing(tmp_path: Path, written: dict) -> None:
    one, two = uid_of(0), uid_of(1)
    cases = [
        ([(one, written[one]), (one, written[one])], f"got {one} twice"),
        ([("../a", written[one])], "uid must be"),
        ([(two, written[one])], f"sample of {two} says that it is {one}"),
        ([(one, {"json": b"{}"})], "json is none of"),
        ([(one, {**written[one], "A/b": b""})], "must end in words"),
        ([(one, {"json": written[one]["json"], "npz": b""})], "lacks 2 parts, the first of them 00000.png"),
        ([], "at least one clip"),
    ]
    for samples_, message in cases:
        with pytest.raises(ValueError, match=message):
            write_shards(samples_, tmp_path / "a")
    with pytest.raises(ValueError, match="max_clips and max_bytes"):
        write_shards(written.items(), tmp_path / "a", max_clips=0)

    def fails() -> dict[str, bytes]:
        raise OSError("no such clip")

    with pytest.raises(OSError, match="no such clip"):
        write_shards([*written.items(), ("x", fails)], tmp_path / "a", max_clips=2)
    assert not (tmp_path / "a").exists() or list((tmp_path / "a").iterdir()) == []


def test_shards_are_replaced_only_on_request(folder: Path, written: dict) -> None:
    before = contents(folder)
    (folder / "mine.tar").write_bytes(b"of the user")
    with pytest.raises(ValueError, match="holds shards already"):
        write_shards(written.items(), folder)
    assert contents(folder) == before | {"mine.tar": b"of the user"}
    (folder / ".unfinished-of-a-killed-run").mkdir()
    names = write_shards(list(written.items())[:7], folder, max_clips=4, existing="replace")
    assert sorted(contents(folder)) == sorted([*names, "index.parquet", "mine.tar"])
    assert len(RecordingShards(folder)) == 7


def test_writing_the_same_again_changes_nothing(folder: Path, written: dict) -> None:
    before = contents(folder)
    write_shards(written.items(), folder, max_clips=5, existing="replace")
    assert contents(folder) == before


def _write_slowly(folder: str) -> None:
    def slow(uid: str, parts: dict[str, bytes]) -> dict[str, bytes]:
        time.sleep(0.05)
        return parts

    pairs = samples(40).items()
    lazily = [(uid, lambda uid=uid, parts=parts: slow(uid, parts)) for uid, parts in pairs]
    write_shards(lazily, folder, max_clips=3, existing="replace")


def test_a_killed_writer_leaves_the_shards_that_were_there(folder: Path) -> None:
    before = contents(folder)
    process = multiprocessing.get_context("spawn").Process(target=_write_slowly, args=(str(folder),))
    process.start()
    end = time.monotonic() + 60
    while not list(folder.glob(".unfinished-*/000002*")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    unfinished = list(folder.glob(".unfinished-*"))
    assert len(unfinished) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert list(RecordingShards(folder).damaged()) == []
    write(folder, 3, existing="replace")
    assert not unfinished[0].exists() and len(RecordingShards(folder)) == 3


def test_a_lost_index_is_made_anew(folder: Path) -> None:
    before = pyarrow.parquet.read_table(folder / "index.parquet")
    (folder / "index.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no index\.parquet: index_shards"):
        RecordingShards(folder)
    assert index_shards(folder) == []
    assert pyarrow.parquet.read_table(folder / "index.parquet").equals(before)
    (folder / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="no readable index"):
        RecordingShards(folder)


def test_a_tar_of_others_is_indexed(tmp_path: Path, written: dict) -> None:
    """Written by tarfile, with a folder and a long comment before, as repacking programs do."""
    (tmp_path / "a").mkdir()
    with tarfile.open(tmp_path / "a" / "re packed.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for uid in list(written)[:3]:
            for end, content in written[uid].items():
                member = tarfile.TarInfo(f"{uid}.{end}")
                member.size, member.pax_headers = len(content), {"comment": "é" * 900}
                tar.addfile(member, io.BytesIO(content))
        tar.addfile(tarfile.TarInfo("README"), io.BytesIO())
    problems = index_shards(tmp_path / "a")
    assert len(problems) == 1 and "README is left out: json is missing" in problems[0]
    shards = RecordingShards(tmp_path / "a")
    assert sorted(number_of(shards.read(index)) for index in range(3)) == [0, 1, 2]
    assert shards.read_parts(0) == written[shards.entries[0].uid]


def test_a_tar_of_a_whole_folder_is_indexed(tmp_path: Path, written: dict) -> None:
    """As `tar -cf shard.tar .` names its files."""
    with tarfile.open(tmp_path / "packed.tar", "w") as tar:
        for uid in list(written)[:2]:
            for end, content in written[uid].items():
                member = tarfile.TarInfo(f"./{uid}.{end}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    assert index_shards(tmp_path) == []
    shards = RecordingShards(tmp_path)
    assert shards.column("uid") == [uid_of(0), uid_of(1)]
    assert [number_of(shards.read(index)) for index in range(2)] == [0, 1]
    assert shards.read_parts(1) == written[uid_of(1)] and list(shards.damaged()) == []


def test_a_shard_that_is_cut_off_keeps_its_first_clips(folder: Path) -> None:
    shards = RecordingShards(folder)
    victim = folder / shards.column("shard")[5]
    offset, size = shards.column("offset")[7], shards.column("size")[7]
    content = victim.read_bytes()
    for cut in (0, 100, 600, size // 2):
        victim.write_bytes(content[: offset + cut])
        reader = RecordingShards(folder)
        for index in range(COUNT):
            if index in (7, 8, 9):
                with pytest.raises(ValueError, match=rf"{victim.name}\[-c\d+\] cannot be read"):
                    reader.read(index)
            else:
                reader.read(index)
        assert len(list(reader.damaged())) == 3
    problems = index_shards(folder)
    assert "cut off at byte" in problems[0] and all(victim.name in problem for problem in problems)
    assert len(RecordingShards(folder)) == COUNT - 3
    assert list(RecordingShards(folder).damaged()) == []


def test_a_missing_shard_is_named(folder: Path) -> None:
    shards = RecordingShards(folder)
    victim = folder / shards.column("shard")[5]
    victim.unlink()
    for index in range(COUNT):
        if index in range(5, 10):
            with pytest.raises(FileNotFoundError, match=victim.name):
                shards.read(index)
        else:
            shards.read(index)
    assert len(list(shards.damaged())) == 5


def test_an_index_of_other_shards_is_noticed(folder: Path) -> None:
    shards = RecordingShards(folder)
    one, other = (folder / shards.column("shard")[index] for index in (0, 5))
    one.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match="index_shards renews the index"):
        shards.read(0)


def test_changed_bytes_are_found(folder: Path) -> None:
    shards = RecordingShards(folder)
    victim = folder / shards.column("shard")[5]
    content = bytearray(victim.read_bytes())
    content[shards.column("offset")[6] + 700] ^= 1
    victim.write_bytes(content)
    assert [sentence.split("[")[1] for sentence in shards.damaged()] == [
        f"{shards.entries[6].uid}] is not what was written."
    ]


@pytest.mark.parametrize("index", [-1, COUNT])
def test_clips_that_are_not_there(folder: Path, index: int) -> None:
    for function in (RecordingShards(folder).read, RecordingShards(folder).read_parts):
        with pytest.raises(IndexError, match=r"index must be in \[0, 23\)"):
            function(index)


def _read_in_child(shards: RecordingShards, queue: multiprocessing.Queue) -> None:
    queue.put([number_of(shards.read(index)) for index in range(COUNT)])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_too(folder: Path, method: str) -> None:
    shards = RecordingShards(folder, max_open=1)
    expected = [number_of(shards.read(index)) for index in range(COUNT)]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    processes = [context.Process(target=_read_in_child, args=(shards, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [number_of(shards.read(index)) for index in range(COUNT)] == expected  # at the same time
    assert [queue.get(timeout=60) for _ in processes] == [expected] * 2
    for process in processes:
        process.join()


def test_a_copy_and_several_threads_read(folder: Path) -> None:
    shards = RecordingShards(folder, max_open=2)
    expected = [number_of(shards.read(index)) for index in range(COUNT)]
    copy = pickle.loads(pickle.dumps(shards))
    found: dict[int, list[int]] = {}

    def work(number: int) -> None:
        found[number] = [number_of(copy.read(index)) for index in range(COUNT)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), expected)
    with pytest.raises(ValueError, match="max_open must be at least 1"):
        RecordingShards(folder, max_open=0)
