"""Stages, tasks and the hashes of what results are made from."""

import functools
import hashlib
import os
from dataclasses import dataclass

import pytest
from data.stages.counted import Model, Scale

from diff4splat.data.stages import Item, Stage, Task, file_stamp, result_keys, seed_of_uid


def same(item: Item, factor: float = 1.0) -> Item:
    return item


def keys(task: Task | None = None, **changes: object) -> list[str]:
    """Keys of three stages, of which the second is changed."""
    middle = {"name": "b", "function": same, "parameters": {"x": 1.5, "y": [2, 3]}, **changes}
    stages = [Stage("a", same), Stage(**middle), Stage("c", same)]
    return result_keys(task or Task("bear", {"frames": [0, 17], "fps": 24.0}), stages)


def test_a_key_is_the_hash_that_the_documentation_says() -> None:
    start = hashlib.sha256(b'[1,"bear",{"fps":24.0,"frames":[0,17]}]').hexdigest()
    first = hashlib.sha256(f'["{start}","a",1,{{}}]'.encode()).hexdigest()
    second = hashlib.sha256(f'["{first}","b",1,{{"x":1.5,"y":[2,3]}}]'.encode()).hexdigest()
    assert keys()[:2] == [first, second]


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"y": [2, 3], "x": 1.5}},
        {"parameters": {"x": 1.5, "y": (2, 3)}},
        {"keep": True, "num_cpus": 3.0, "num_gpus": 1.0},
        {"function": functools.partial(same, factor=5.0)},
    ],
)
def test_what_changes_no_result_changes_no_key(changes) -> None:
    assert keys(**changes) == keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "d"},
        {"version": 2},
        {"parameters": {"x": 1.5, "y": [3, 2]}},
        {"parameters": {"x": 1.5000000000000002, "y": [2, 3]}},
        {"parameters": {"x": 1.5, "y": [2.0, 3]}},
        {"parameters": {"x": 1.5, "y": [2, 3], "z": None}},
        {"parameters": {"x": "1.5", "y": [2, 3]}},
    ],
)
def test_a_change_of_a_stage_changes_its_key_and_the_later_ones(changes) -> None:
    before, after = keys(), keys(**changes)
    assert after[0] == before[0] and len({*before, *after}) == 5


def test_numbers_of_two_kinds_are_two_values() -> None:
    found = {keys(parameters={"x": value})[1] for value in (1, 1.0, True, "1", [1], 0, False, None)}
    assert len(found) == 8


@pytest.mark.parametrize(
    "task",
    [
        Task("wolf", {"frames": [0, 17], "fps": 24.0}),
        Task("bear", {"frames": [0, 18], "fps": 24.0}),
        Task("bear", {"frames": [0, 17], "fps": 24.0, "more": {}}),
    ],
)
def test_a_change_of_the_clip_changes_all_keys(task) -> None:
    assert not {*keys()} & {*keys(task)}


def test_parameters_are_those_of_the_function() -> None:
    @dataclass
    class Align:
        method: str = "huber"
        limits: tuple[float, float] = (0.5, 2.0)

        def __call__(self, item: Item) -> Item:
            return item

    assert Stage("a", Align()).parameters == {"method": "huber", "limits": [0.5, 2.0]}
    assert Stage("a", functools.partial(same, factor=5.0)).parameters == {"arguments": [], "factor": 5.0}
    assert Stage("a", same).parameters == {}
    assert Stage("a", Scale("there", 3.0), {"factor": 3.0}).parameters == {"factor": 3.0}
    with pytest.raises(ValueError, match="parameters of stage a must be given, .* object of Model"):
        Stage("a", Model("there"))


def test_parameters_are_a_copy() -> None:
    limits = [1, 2]
    stage = Stage("a", same, {"limits": limits})
    limits.append(3)
    assert stage.parameters == {"limits": [1, 2]}


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", ".a", "-a", "ä", "a" * 65])
def test_names_that_are_no_folders_are_refused(name) -> None:
    with pytest.raises(ValueError, match="name must be 1 to 64 letters"):
        Stage(name, same)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"x": float("nan")}, ValueError, r"parameters of stage a\['x'\] must be finite, got nan"),
        ({"x": [1, float("inf")]}, ValueError, r"\['x'\]\[1\] must be finite, got inf"),
        ({"x": {1: 2}}, TypeError, r"\['x'\] must be JSON, whose keys are text, got the key 1"),
        ({"x": {1, 2}}, TypeError, r"\['x'\] must be JSON .*, got set"),
        ({"x": b"1"}, TypeError, r"\['x'\] must be JSON .*, got bytes"),
    ],
)
def test_what_json_does_not_have_is_refused(parameters, error, words) -> None:
    with pytest.raises(error, match=words):
        Stage("a", same, parameters)
    with pytest.raises(error, match=words.replace("parameters of stage a", "inputs of bear")):
        Task("bear", parameters)


def test_other_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="num_gpus of stage a must be >= 0, got -1"):
        Stage("a", same, num_gpus=-1.0)
    with pytest.raises(ValueError, match="uid must be a name"):
        Task("")


def test_seeds_are_of_the_name_and_the_purpose() -> None:
    digits = hashlib.sha256(b'["bear","masks"]').hexdigest()
    assert seed_of_uid("bear", "masks") == int(digits, 16) >> (256 - 63)
    found = [seed_of_uid(f"clip{number}", purpose) for number in range(499) for purpose in ("", "tracks")]
    assert len({*found}) == 998 and all(0 <= seed < 2**63 for seed in found)


def test_a_stamp_changes_with_the_file_and_not_with_its_folder(tmp_path) -> None:
    for root in ("here", "there"):
        (tmp_path / root / "scene").mkdir(parents=True)
        (tmp_path / root / "scene" / "0.png").write_bytes(b"12345")
        os.utime(tmp_path / root / "scene" / "0.png", ns=(0, 1_700_000_000_123_456_789))
    here, there = (
        file_stamp(tmp_path / root / "scene" / "0.png", tmp_path / root) for root in ("here", "there")
    )
    assert here == there == {"name": "scene/0.png", "size": 5, "modified": 1_700_000_000_123_456_789}
    (tmp_path / "here" / "scene" / "0.png").write_bytes(b"123456")
    assert file_stamp(tmp_path / "here" / "scene" / "0.png", tmp_path / "here")["size"] == 6
    with pytest.raises(FileNotFoundError):
        file_stamp(tmp_path / "none", tmp_path)
