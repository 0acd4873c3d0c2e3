"""Runs in this process: what is stored, what is used again, and what ends a run."""

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from data.stages.counted import Model, all_bytes, calls, stages, tasks

from diff4splat.data.stages import (
    Item,
    Rejected,
    Stage,
    Task,
    load_item,
    result_keys,
    result_path,
    run_stages,
    seed_of_uid,
)
from diff4splat.files import folder_lock


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def called(tmp_path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


def drawn_depth(uid: str) -> np.ndarray:
    """What `Read` draws, after the colours."""
    generator = torch.Generator().manual_seed(seed_of_uid(uid))
    torch.randint(256, (5, 3, 7, 11), generator=generator, dtype=torch.uint8)
    return 1 + torch.rand(5, 7, 11, generator=generator).numpy()


def test_outcomes_are_those_of_the_stages(results, called) -> None:
    progress: list[tuple[int, int]] = []
    clips = tasks("a", "reject1", "fail1", "b")
    found = run_stages(clips, stages(called), results, callback=lambda *done: progress.append(done))
    assert [(o.uid, o.status, o.stage, o.reused) for o in found] == [
        ("a", "kept", "measure", False),
        ("reject1", "rejected", "scale", False),
        ("fail1", "failed", "scale", False),
        ("b", "kept", "measure", False),
    ]
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for outcome in found:
        depth = drawn_depth(outcome.uid)
        assert outcome.metrics["depth"] == pytest.approx(depth.mean(), rel=1e-6)
    assert found[0].metrics["scaled"] == pytest.approx(2 * drawn_depth("a").mean(), rel=1e-6)
    assert [list(o.seconds) for o in found[:2]] == [["read", "scale", "measure"], ["read", "scale"]]
    assert found[1].reason == "depth is 3 m, at most 2 m" and found[1].metrics["limit"] == 2.0
    assert found[2].reason.startswith("ArithmeticError: no such number [counted.py:")
    keys = [result_keys(task, stages(called)) for task in clips]
    assert [o.key for o in found] == [keys[0][2], keys[1][1], keys[2][1], keys[3][2]]


def test_results_say_how_they_were_made(results, called) -> None:
    kept, rejected = run_stages(tasks("a", "reject1"), stages(called), results)
    path = results / "measure" / kept.key[:2] / f"{kept.key}.zip"
    assert path == result_path(results, "measure", kept.key) and path.is_file()
    with ZipFile(path) as archive:
        assert archive.namelist() == ["outcome.json", "clip.bin"]
        content = json.loads(archive.read("outcome.json"))
    assert content["inputs"] == {"first": 0} and content["uid"] == "a"
    assert content["stages"][1] == {"name": "scale", "version": 1, "parameters": {"factor": 2.0}}
    item = load_item(results, kept.stage, kept.key)
    assert len(item.files["bin"]) == 5 * 3 * 7 * 11 and item.recording is None
    assert (item.metrics, item.inputs) == (kept.metrics, {"first": 0})
    first = load_item(results, "read", result_keys(tasks("a")[0], stages(called))[0])
    assert first.recording is not None and first.recording.depth is not None
    assert np.array_equal(first.recording.depth.numpy(), drawn_depth("a"))
    assert load_item(results, "scale", rejected.key).files == {"txt": b"why"}
    with pytest.raises(FileNotFoundError):
        load_item(results, "scale", kept.key)


def test_nothing_is_done_twice_and_rejection_is_a_result(results, called) -> None:
    clips = tasks("a", "reject1", "b")
    first = run_stages(clips, stages(called), results)
    before, bytes_before = calls(called), all_bytes(results)
    second = run_stages(clips, stages(called), results)
    assert calls(called) == before and all_bytes(results) == bytes_before
    assert all(outcome.reused and not outcome.seconds for outcome in second)
    assert [replace(o, reused=True, seconds={}) for o in first] == second
    more = run_stages(tasks("a", "reject1", "b", "c"), stages(called), results)
    assert [outcome.reused for outcome in more] == [True, True, True, False]


def test_other_parameters_start_from_what_is_kept(results, called) -> None:
    clips = tasks("a", "reject1")
    run_stages(clips, stages(called), results)
    (changed, rejected) = run_stages(clips, stages(called, factor=3.0), results)
    assert calls(called) == {
        **{"read-a": 1, "scale-a": 2, "measure-a": 2},
        **{"read-reject1": 1, "scale-reject1": 2},
    }
    assert changed.metrics["scaled"] == pytest.approx(3 * drawn_depth("a").mean(), rel=1e-6)
    assert not changed.reused and list(changed.seconds) == ["scale", "measure"]
    (back, _) = run_stages(clips, stages(called), results)
    assert back.reused and calls(called)["scale-a"] == 2
    assert back.metrics["scaled"] == pytest.approx(2 * drawn_depth("a").mean(), rel=1e-6)


def test_a_rejection_outlives_a_change_of_later_stages(results, called) -> None:
    clips = tasks("reject1", "a")
    run_stages(clips, stages(called), results)
    last = replace(stages(called)[2], parameters={"digits": 3})
    found = run_stages(clips, [*stages(called)[:2], last], results)
    assert [outcome.reused for outcome in found] == [True, False]
    assert calls(called)["scale-reject1"] == 1


def test_without_keeping_all_is_made_again(results, called) -> None:
    run_stages(tasks("a"), stages(called, keep=False), results)
    run_stages(tasks("a"), stages(called, keep=False, factor=3.0), results)
    assert calls(called)["read-a"] == 2


def test_other_inputs_are_another_clip(results, called) -> None:
    run_stages([Task("a", {"first": 0})], stages(called), results)
    (found,) = run_stages([Task("a", {"first": 1})], stages(called), results)
    assert not found.reused and calls(called)["read-a"] == 2


def test_a_resumed_clip_ends_as_one_that_was_not_interrupted(tmp_path, results, called) -> None:
    run_stages(tasks("a"), stages(called), results)
    run_stages(tasks("a"), stages(called, factor=3.0), results)
    run_stages(tasks("a"), stages(called, factor=3.0), tmp_path / "other")
    there = all_bytes(tmp_path / "other")
    assert len(there) == 3 and there.items() <= all_bytes(results).items()


def test_failed_clips_are_tried_again_or_not(results, called) -> None:
    clips = tasks("fail1", "a")
    run_stages(clips, stages(called), results)
    (failed, _) = run_stages(clips, stages(called), results, retry_failed=False)
    assert failed.status == "failed" and failed.reused and calls(called)["scale-fail1"] == 1
    assert "no such number" in failed.reason
    (failed, other) = run_stages(clips, stages(called), results)
    assert not failed.reused and other.reused
    assert (calls(called)["read-fail1"], calls(called)["scale-fail1"]) == (1, 2)


def test_a_failure_is_forgotten_once_the_stage_passes(results) -> None:
    sick = [True]

    def moody(item: Item) -> Item:
        if sick:
            raise OSError("the disk is asleep")
        return item

    def same(item: Item) -> Item:
        return item

    clips = [Task("a")]
    (found,) = run_stages(clips, [Stage("moody", moody), Stage("last", same)], results)
    assert (found.status, found.stage) == ("failed", "moody") and found.reason.startswith("OSError: the disk")
    sick.clear()
    (found,) = run_stages(clips, [Stage("moody", moody), Stage("last", same)], results)
    assert found.status == "kept"
    again = [Stage("moody", moody), Stage("last", same, version=2)]
    (found,) = run_stages(clips, again, results, retry_failed=False)
    assert found.status == "kept" and not found.reused


def give(change: Callable[[Item], Any]) -> Callable[[Item], Any]:
    """A plain function, as a lambda is."""
    return lambda item: change(item)


def raise_it(error: BaseException) -> Any:
    raise error


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda item: raise_it(MemoryError()), r"MemoryError \[test_run.py:\d+ in raise_it\]"),
        (lambda item: raise_it(RecursionError("deep")), "RecursionError: deep"),
        (lambda item: None, "TypeError: a stage must give an Item, got NoneType"),
        (lambda item: replace(item, uid="b"), "ValueError: a stage must leave the uid as it is, a, got b"),
        (lambda item: replace(item, metrics={"x": torch.ones(1)}), "TypeError: metrics .* got x of Tensor"),
        (lambda item: replace(item, metrics={1: 1}), "TypeError: metrics must have texts as names, got 1"),
        (lambda item: replace(item, files={"../x": b""}), r"TypeError: files must be bytes .*'\.\./x'"),
        (lambda item: replace(item, files={"txt": "text"}), "TypeError: files must be bytes .* of str"),
        (lambda item: replace(item, recording=3), "TypeError: recording must be a Recording, got int"),
        (lambda item: raise_it(Rejected("no", {"x": [1]})), "TypeError: metrics .* got x of list"),
        (
            lambda item: replace(item, recording=replace(item.recording, facts={"x": {1}})),
            r"\w+Error: .* set is not JSON serializable",
        ),
    ],
)
def test_whatever_goes_wrong_is_a_row(results, called, change, words) -> None:
    broken = Stage("broken", give(change), {}, keep=True)
    around = stages(called)
    (found,) = run_stages(tasks("a"), [around[0], broken, *around[1:]], results)
    assert (found.status, found.stage) == ("failed", "broken")
    assert re.match(words, found.reason), found.reason
    assert "depth" in found.metrics
    assert load_item(results, "broken", found.key).metrics == found.metrics


def test_numbers_are_stored_as_json_has_them(results) -> None:
    metrics = {"a": float("nan"), "b": float("-inf"), "c": np.float64(1.5), "d": True, "e": None, "f": 3}
    stage = Stage("measure", give(lambda item: replace(item, metrics=metrics)), {})
    (first,) = run_stages([Task("a")], [stage], results)
    (second,) = run_stages([Task("a")], [stage], results)
    assert first.metrics == second.metrics == {"a": None, "b": None, "c": 1.5, "d": True, "e": None, "f": 3}
    assert [type(value) for value in first.metrics.values()] == [type(None)] * 2 + [
        float,
        bool,
        type(None),
        int,
    ]


def test_a_longer_list_of_stages_goes_on_from_what_is_whole(results, called) -> None:
    read, scale, measure = stages(called)
    run_stages(tasks("a"), [read, scale], results)  # the last stage keeps no recording
    (found,) = run_stages(tasks("a"), [read, scale, measure], results)
    assert found.status == "kept" and calls(called) == {"measure-a": 1, "read-a": 1, "scale-a": 2}
    (found,) = run_stages(tasks("a"), [read, scale], results)
    assert found.status == "kept" and found.stage == "scale"


def test_a_last_stage_that_is_to_keep_makes_what_is_missing(results, called) -> None:
    read, scale, _ = stages(called)
    run_stages(tasks("a"), [read, scale], results)
    (found,) = run_stages(tasks("a"), [read, replace(scale, keep=True)], results)
    assert not found.reused
    item = load_item(results, "scale", found.key)
    assert item.recording is not None and item.recording.depth is not None
    assert np.array_equal(item.recording.depth.numpy(), drawn_depth("a") * 2)
    (found,) = run_stages(tasks("a"), [read, replace(scale, keep=True)], results)
    assert found.reused


@pytest.mark.parametrize("damage", [b"", b"PK", b"damaged" * 99])
@pytest.mark.parametrize("suffix", [".zip", ".npz"])
def test_damaged_results_are_made_again(results, called, damage, suffix) -> None:
    run_stages(tasks("a"), stages(called), results)
    before = all_bytes(results)
    for path in [*results.rglob(f"*{suffix}")]:
        path.write_bytes(damage)
    run_stages(tasks("a"), stages(called), results)
    run_stages(tasks("a"), stages(called, factor=3.0), results)
    assert calls(called)["read-a"] == 2
    assert before.items() <= all_bytes(results).items()


def test_unfinished_files_are_removed_when_they_are_stale(results, called) -> None:
    (found,) = run_stages(tasks("a"), stages(called), results)
    before = all_bytes(results)
    place = result_path(results, found.stage, found.key).parent
    for name in (".old.zip", ".old.npz", ".new.zip", ".old.txt"):
        (place / name).write_bytes(b"half")
        if "old" in name:
            os.utime(place / name, (time.time() - 61,) * 2)
    run_stages(tasks("a"), stages(called), results)
    left = {Path(name).name for name in all_bytes(results).keys() - before.keys()}
    assert left == {".new.zip", ".old.txt"}


def test_ctrl_c_keeps_what_is_finished(results, called) -> None:
    clips = tasks("a", "b", "interrupt1", "c")
    with pytest.raises(KeyboardInterrupt):
        run_stages(clips, stages(called), results)
    found = run_stages(tasks("a", "b"), stages(called), results)
    assert all(outcome.reused for outcome in found)
    assert not [name for name in all_bytes(results) if Path(name).name.startswith(".")]


def test_one_run_at_a_time(results, called) -> None:
    results.mkdir()
    with folder_lock(results), pytest.raises(ValueError, match="one run at a time, got .*results"):
        run_stages(tasks("a"), stages(called), results)
    assert calls(called) == {}
    assert run_stages(tasks("a"), stages(called), results)[0].status == "kept"


def test_something_is_loaded_once_and_only_if_needed(results, called) -> None:
    model = Stage("model", Model(str(called)), {})
    found = run_stages(tasks("a", "b", "reject1"), [*stages(called), model], results)
    assert [outcome.metrics.get("weight") for outcome in found] == [3.0, 3.0, None]
    assert calls(called)[f"setup-{os.getpid()}"] == 1
    run_stages(tasks("a", "b", "reject1"), [*stages(called), model], results)
    run_stages(tasks("reject2"), [*stages(called), model], results)
    assert calls(called)[f"setup-{os.getpid()}"] == 1


def test_a_stage_that_cannot_be_set_up_ends_the_run(results, called) -> None:
    model = Stage("model", Model(str(called), broken=True), {})
    words = "stage model could not be set up: FileNotFoundError: no weights"
    with pytest.raises(RuntimeError, match=words):
        run_stages(tasks("a", "b"), [*stages(called), model], results)
    assert not (results / "model").exists()


def test_a_disk_that_cannot_be_written_ends_the_run(results, called) -> None:
    results.mkdir()
    (results / "read").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="read"):
        run_stages(tasks("a"), stages(called), results)


def test_the_number_of_threads_is_one_and_then_as_before(results) -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        stage = Stage("look", give(lambda item: seen.append(torch.get_num_threads()) or item), {})
        run_stages([Task("a")], [stage], results)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "stages must be at least one"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"engine": "dask"}, "engine must be .*, got 'dask'"),
        ({"address": "auto"}, "address must be None for engine .local., got 'auto'"),
        ({"tasks": tasks("a", "b", "a")}, "tasks must have names of their own, got 'a' twice"),
        ({"stages": [Stage("a", raise_it), Stage("a", raise_it)]}, "stages must have .*, got 'a' twice"),
    ],
)
def test_arguments_are_checked_before_anything_is_made(results, called, change, words) -> None:
    options = {"tasks": tasks("a"), "stages": stages(called), "folder": results, **change}
    with pytest.raises(ValueError, match=words):
        run_stages(**options)
    assert not results.exists() and calls(called) == {}


def test_no_clips_are_no_outcomes(results, called) -> None:
    assert run_stages([], stages(called), results) == []
