"""Batches: the same whenever they are drawn, shared by ranks, and without bad clips."""

import json
import threading
import time
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diff4splat.training.batches import Batches

Clips = list[tuple[dict[str, Tensor], str]]


def numbered(length: int, first: int = 0) -> Clips:
    return [({"number": torch.tensor(first + i)}, f"clip {first + i}") for i in range(length)]


def videos(length: int) -> Clips:
    """Clips that differ in the value of all pixels."""
    frames = torch.arange(length, dtype=torch.uint8).reshape(-1, 1, 1, 1, 1).expand(-1, 5, 3, 2, 3)
    return [({"video": video, "unused": torch.zeros(i)}, f"clip {i}") for i, video in enumerate(frames)]


def numbers(clips: Clips, batch_size: int, steps: int, *, first: int = 0, **options) -> list[list[int]]:
    batches = Batches([(clips, 1.0)], batch_size, needs=["number"], **{"seed": 3, **options})
    return [batch["number"].tolist() for batch, _ in islice(batches.from_step(first), steps)]


def test_batches_stack_what_is_needed() -> None:
    batches = Batches([(videos(7), 1.0)], 3, seed=0, needs=["video"])
    batch, captions = next(batches.from_step(0))
    assert set(batch) == {"video"} and batch["video"].shape == (3, 5, 3, 2, 3)
    assert captions == [f"clip {video[0, 0, 0, 0]}" for video in batch["video"]]


def test_a_run_that_goes_on_gets_the_batches_it_would_have_had() -> None:
    through = numbers(numbered(17), 5, 13)
    for first in (1, 3, 4, 11):
        assert numbers(numbered(17), 5, 13 - first, first=first) == through[first:]
    assert numbers(numbered(17), 5, 13, seed=4) != through


def test_ranks_share_the_global_batch() -> None:
    sources = [(numbered(17), 2.0), (numbered(11, first=100), 1.0)]

    def draw(**ranks: int) -> list[Tensor]:
        batches = Batches(sources, 6, seed=5, needs=["number"], **ranks)
        return [batch["number"] for batch, _ in islice(batches.from_step(2), 5)]

    parts = [draw(rank=rank, num_ranks=3) for rank in range(3)]
    for whole, *shared in zip(draw(), *parts, strict=True):
        assert [len(part) for part in shared] == [2, 2, 2] and torch.equal(whole, torch.cat(shared))


def test_every_epoch_has_every_clip_once_in_an_order_of_its_own() -> None:
    order = [number for batch in numbers(numbered(17), 5, 17) for number in batch]
    epochs = [order[start : start + 17] for start in range(0, 85, 17)]
    assert all(sorted(epoch) == list(range(17)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_the_first_epoch_goes_window_by_window() -> None:
    order = [number for batch in numbers(numbered(307), 1, 614) for number in batch]
    for start in range(0, 307, 128):
        window = order[start : min(start + 128, 307)]
        assert sorted(window) == list(range(start, min(start + 128, 307))) != window
    assert max(order[307 : 307 + 128]) > 255, "later epochs are shuffled whole"
    assert sorted(order[307:]) == list(range(307))


def test_sources_have_their_shares() -> None:
    sources = [(numbered(11), 7.0), (numbered(13, first=100), 2.0), (numbered(17, first=200), 1.0)]
    batches = Batches(sources, 5, seed=0, needs=["number"])
    rows = [row for step in range(200) for row in batches.clips_of_step(step)]
    for source, share in enumerate((0.7, 0.2, 0.1)):
        drawn = [number for kind, number in rows if kind == source]
        assert len(drawn) == round(1000 * share)
        for stretch in (10, 50, 333):
            count = sum(kind == source for kind, _ in rows[:stretch])
            assert abs(count - share * stretch) < 2
        length = len(sources[source][0])
        for start in range(0, len(drawn) - length, length):
            assert sorted(drawn[start : start + length]) == list(range(length))
    drawn_batches = islice(batches.from_step(0), 7)
    found = [number for batch, _ in drawn_batches for number in batch["number"].tolist()]
    assert found == [100 * source + number for source, number in rows[:35]]


class Broken(list):
    """Clips of which some cannot be read."""

    def __init__(self, clips: Clips, broken: dict[int, Exception]) -> None:
        super().__init__(clips)
        self.broken = broken

    def __getitem__(self, index):
        if index in self.broken:
            raise self.broken[index]
        return super().__getitem__(index)

    def name_of(self, index: int) -> str:
        return f"scene-{index}"


BAD_VIDEO = {"video": torch.zeros(6, 3, 2, 3, dtype=torch.uint8)}


def test_bad_clips_are_counted_named_and_replaced(tmp_path: Path) -> None:
    clips = videos(23)
    clips[4] = (BAD_VIDEO, "four")
    clips[22] = ({}, "last")
    clips[7] = (clips[7][0], None)  # type: ignore[call-overload]
    clips = Broken(clips, {12: OSError("disk gone"), 13: KeyError("x")})
    log = tmp_path / "deep" / "bad.jsonl"

    def draw(first: int, steps: int) -> tuple[Batches, list[int]]:
        batches = Batches([(clips, 1.0)], 1, seed=1, needs=["video"], bad_log=log, max_bad_share=0.3)
        steps_of = islice(batches.from_step(first), steps)
        return batches, [int(batch["video"][0, 0, 0, 0, 0]) for batch, _ in steps_of]

    batches, drawn = draw(0, 46)
    wanted = [number for step in range(46) for _, number in batches.clips_of_step(step)]
    replaced = {4: 5, 7: 8, 12: 14, 13: 14, 22: 0}
    assert drawn == [replaced.get(number, number) for number in wanted]
    assert (batches.num_bad, batches.num_seen) == (5, 23)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(record["clip"] for record in records) == sorted(replaced)
    told = {record["clip"]: (record["source"], record["name"], record["reason"]) for record in records}
    assert told[4] == (0, "scene-4 of source 0", "video must have 4k + 1 frames with k at least 1, got 6.")
    assert told[12][2] == "cannot be read: OSError: disk gone"
    assert told[13][2].startswith("cannot be read: KeyError")
    assert told[22][2] == "video missing; there are no keys."
    assert told[7][2] == "the caption must be a text, got NoneType."

    again, later = draw(31, 15)
    assert (again.num_bad, again.num_seen) == (5, 23), "they are counted further"
    assert later == drawn[31:], "bad clips do not change what a continued run gets"
    assert len(log.read_text().splitlines()) == 5, "and are not named again"


@pytest.mark.parametrize(("num_bad", "fails"), [(2, False), (11, True)])
def test_too_many_bad_clips_end_the_run(num_bad: int, fails: bool) -> None:
    clips = numbered(101)
    for index in range(0, 101, 101 // num_bad + 1):
        clips[index] = ({}, "")
    assert sum(clip == {} for clip, _ in clips) == num_bad
    batches = Batches([(clips, 1.0)], 1, seed=0, needs=["number"], max_bad_share=0.05)
    drawn = islice(batches.from_step(0), 202)
    if fails:
        with pytest.raises(
            ValueError, match=r"^\d+ of \d+ clips are bad, .*%; at most 5.0% .*clip \d+ of source 0"
        ):
            list(drawn)
        assert batches.num_seen >= 50
    else:
        assert len(list(drawn)) == 202 and batches.num_seen == 101


def test_fewer_than_fifty_clips_fail_when_all_were_seen() -> None:
    clips = [*numbered(11), *(({}, "") for _ in range(30))]
    with pytest.raises(ValueError, match=r"^30 of 41 clips are bad, 73.2%"):
        numbers(clips, 2, 61)
    assert len(numbers(clips, 2, 61, max_bad_share=0.74)) == 61


def test_few_clips_can_be_judged_when_a_stage_ends() -> None:
    clips = numbered(101)
    batches = Batches([(clips, 1.0)], 1, seed=0, needs=["number"], max_bad_share=0.05)
    for index in (number for step in (2, 5) for _, number in batches.clips_of_step(step)):
        clips[index] = ({}, "")
    batches.check_bad_share()
    assert len(list(islice(batches.from_step(0), 31))) == 31
    with pytest.raises(ValueError, match=r"^2 of 3[0-9] clips are bad"):
        batches.check_bad_share()


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_run_that_goes_on_counts_bad_clips_further(tmp_path, ranks) -> None:
    clips = numbered(53)
    for index in (3, 4, 19, 20, 40, 52):
        clips[index] = ({}, "")
    sources = [(clips, 2.0), (numbered(31), 1.0)]
    options = {"seed": 2, "needs": ["number"], "num_ranks": ranks, "max_bad_share": 0.5}
    num_bad = 0
    for rank in range(ranks):
        whole, resumed = (
            Batches(sources, 3, rank=rank, bad_log=tmp_path / "bad.jsonl", **options) for _ in range(2)
        )
        drawn = whole.from_step(0)
        for _ in range(9):
            next(drawn)
        drawn.close()
        counts = []
        for batches in (whole, resumed):  # with what was read ahead
            batches.from_step(11)
            counts.append((batches.num_bad, batches.num_seen))
        assert counts[0] == counts[1] and counts[0][1] > 9
        num_bad += counts[0][0]
    assert num_bad > 0
    (tmp_path / "bad.jsonl").open("a").write('{"source": 0, "cli')  # of a process that was killed
    resumed.from_step(11)
    assert (resumed.num_bad, resumed.num_seen) == counts[0]


def test_what_was_bad_before_counts_towards_the_share(tmp_path) -> None:
    clips = numbered(101)
    for index in range(0, 101, 9):
        clips[index] = ({}, "")
    options = {"seed": 0, "needs": ["number"], "bad_log": tmp_path / "bad.jsonl", "max_bad_share": 0.05}
    with pytest.raises(ValueError, match="clips are bad"):
        list(islice(Batches([(clips, 1.0)], 1, **options).from_step(0), 101))
    with pytest.raises(ValueError, match=r"clips are bad.* When they are mended, remove .*bad.jsonl"):
        next(Batches([(clips, 1.0)], 1, **options).from_step(60))  # it has read a few clips itself


def test_only_bad_clips_end_the_run() -> None:
    with pytest.raises(ValueError, match="all 7 clips of source 0 are bad. The first: clip"):
        numbers([({}, "")] * 7, 2, 1, max_bad_share=1.0)


def test_other_errors_reach_the_consumer_in_their_turn() -> None:
    clips = Broken(numbered(5), {3: RuntimeError("worker died")})
    batches = Batches([(clips, 1.0)], 1, seed=0, needs=["number"])
    turn = [number for step in range(5) for _, number in batches.clips_of_step(step)].index(3)
    drawn = batches.from_step(0)
    for _ in range(turn):
        next(drawn)
    with pytest.raises(RuntimeError, match="worker died"):
        next(drawn)
    assert batches.num_bad == 0


def test_clips_that_do_not_stack_are_told() -> None:
    clips = videos(2)
    clips[1] = ({"video": torch.zeros(9, 3, 2, 3, dtype=torch.uint8)}, "longer")
    batches = Batches([(clips, 1.0)], 2, seed=0, needs=["video"])
    with pytest.raises(
        ValueError, match="clips of one batch must have the same keys, types and shapes, got video"
    ):
        next(batches.from_step(0))


def test_motion_is_stacked_in_the_form_that_is_there() -> None:
    tracks = {"tracks": torch.rand(3, 5, 3), "visible": torch.ones(3, 5, dtype=torch.bool)}
    objects = {"object_index": torch.zeros(2, 2, 3).byte(), "object_motion": torch.zeros(1, 5, 3, 4)}
    for form in (tracks, objects, {**objects, **tracks}):
        batch, _ = next(Batches([([(form, "")], 1.0)], 2, seed=0, needs=["motion"]).from_step(0))
        assert set(batch) == set(objects if "object_index" in form else tracks)
    mixed = Batches([([(tracks, "")], 1.0), ([(objects, "")], 1.0)], 2, seed=0, needs=["motion"])
    with pytest.raises(ValueError, match="clips of one batch must have the same keys"):
        next(mixed.from_step(0))


def test_the_thread_ends_with_the_iterator() -> None:
    def readers(expected: int) -> int:
        """Threads there are; they end when they have read what they are at."""
        deadline = time.monotonic() + 10
        while True:
            there = sum(thread.name.startswith("batches") for thread in threading.enumerate())
            if there == expected or time.monotonic() > deadline:
                return there
            time.sleep(0.01)

    drawn = Batches([(numbered(5), 1.0)], 2, seed=0, needs=["number"]).from_step(0)
    next(drawn)
    assert readers(1) == 1
    drawn.close()
    assert readers(0) == 0
    for _ in Batches([(numbered(5), 1.0)], 2, seed=0, needs=["number"]).from_step(0):
        break
    assert readers(0) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": []}, "sources must hold at least one dataset, got none"),
        ({"sources": [([], 1.0)]}, "sources must hold clips, got a dataset of length 0"),
        ({"sources": [(numbered(3), 0.0)]}, "sources must have shares above 0, got 0.0"),
        ({"sources": [(numbered(3), float("nan"))]}, "sources must have shares above 0, got nan"),
        ({"batch_size": 0}, "batch_size must be a positive multiple of num_ranks=1, got 0"),
        ({"batch_size": 3, "num_ranks": 2}, "batch_size must be a positive multiple of num_ranks=2, got 3"),
        ({"rank": 1}, r"rank must be in \[0, num_ranks=1\), got 1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"needs": []}, "needs must name at least one key"),
        ({"max_bad_share": 1.5}, r"max_bad_share must be in \[0, 1\], got 1.5"),
    ],
)
def test_impossible_options_are_refused(options, message) -> None:
    defaults = {"sources": [(numbered(3), 1.0)], "batch_size": 2, "seed": 0, "needs": ["number"]}
    with pytest.raises(ValueError, match=message):
        Batches(**{**defaults, **options})


def test_what_is_asked_wrongly_is_told() -> None:
    with pytest.raises(TypeError, match="needs must be a list of keys, got the text 'video'"):
        Batches([(numbered(3), 1.0)], 2, seed=0, needs="video")
    with pytest.raises(ValueError, match="step must be at least 0, got -1"):
        Batches([(numbered(3), 1.0)], 2, seed=0, needs=["number"]).from_step(-1)
