"""Streams: which clips come when, over processes and workers, after a break, and past damaged clips."""

import copy
import itertools
import json
import logging
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from data.streaming.shard_folders import clip, number_of, write
from torch.utils.data import DataLoader

from diff4splat.data import Recording
from diff4splat.data.recording_source import RecordingEntry
from diff4splat.data.recordings import RecordingInfo
from diff4splat.data.streaming import RecordingShards, ShuffledOrder, StreamedRecordings

SIZES = [5, 3, 0, 7, 5, 2, 1]


class Listed:
    """A source in memory, some of whose clips cannot be read."""

    def __init__(self, count: int, bad: Sequence[int] = ()) -> None:
        self.count, self.bad = count, set(bad)

    @property
    def entries(self) -> list[RecordingEntry]:
        info = RecordingInfo("a", 2, 4, 6, None, frozenset(), "unknown")
        return [RecordingEntry(f"c{n}", "video", "unknown", info, f"c{n}") for n in range(self.count)]

    def read(self, index: int, frames: Sequence[int] | None = None, /) -> Recording:
        if index in self.bad:
            raise ValueError(f"clip {index} is damaged")
        return clip(index) if frames is None else clip(index).select(frames)


def number(recording: Recording, draws: torch.Generator) -> int:
    return number_of(recording)


def with_draw(recording: Recording, draws: torch.Generator) -> tuple[int, float]:
    return number_of(recording), float(torch.rand(1, generator=draws, dtype=torch.float64))


def streamed(count: int = 23, bad: Sequence[int] = (), **options: object) -> StreamedRecordings:
    return StreamedRecordings(Listed(count, bad), **{"transform": number, "sizes": None, **options})


def test_every_clip_comes_once_in_an_epoch() -> None:
    for window in (1, 2, 3, 50):
        order = ShuffledOrder(SIZES, seed=3, window=window)
        for epoch in range(3):
            assert sorted(order.clip(epoch, place) for place in range(23)) == list(range(23))


def test_the_order_is_a_function_of_seed_epoch_and_place() -> None:
    whole = {
        (seed, epoch): [ShuffledOrder(SIZES, seed=seed, window=2).clip(epoch, place) for place in range(23)]
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in whole.values()}) == 4
    order = ShuffledOrder(SIZES, seed=1, window=2)
    pairs = list(itertools.product((1, 0), range(22, -1, -3)))
    assert [order.clip(*pair) for pair in pairs] == [whole[1, epoch][place] for epoch, place in pairs]


def test_few_shards_are_read_at_a_time() -> None:
    """Clips between two places that are a window apart are of no more shards than a window has."""
    sizes, window = [4] * 30, 3
    order = ShuffledOrder(sizes, seed=0, window=window)
    shards = [order.clip(0, place) // 4 for place in range(120)]
    for start in range(0, 120, 4 * window):
        run = shards[start : start + 4 * window]
        assert len(set(run)) == window and run != sorted(run)
    assert len(set(shards[:12]) & set(shards[12:24])) == 0


def test_places_and_sizes_out_of_range() -> None:
    order = ShuffledOrder(SIZES)
    for place in (-1, 23):
        with pytest.raises(IndexError, match=r"place must be in \[0, 23\)"):
            order.clip(0, place)
    with pytest.raises(ValueError, match="at least one clip"):
        ShuffledOrder([])
    with pytest.raises(ValueError, match="at least one clip"):
        ShuffledOrder([0, 0])
    with pytest.raises(ValueError, match="window must be at least 1"):
        ShuffledOrder(SIZES, window=0)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_plain_loader_gives_the_same_batches_with_any_workers(workers: int, batch_size: int) -> None:
    stream = streamed(batch_size=batch_size, seed=5)
    loader = DataLoader(stream, batch_size=batch_size, num_workers=workers)
    expected = [stream.order.clip(0, place) for place in range(23)]
    batches = [batch.tolist() for batch in loader]
    assert [n for batch in batches for n in batch] == expected
    assert [len(batch) for batch in batches] == [batch_size] * (23 // batch_size) + [23 % batch_size] * (
        batch_size > 1
    )


@pytest.mark.parametrize(("num_ranks", "workers"), [(1, 2), (2, 0), (3, 2), (4, 1), (23, 0), (40, 0)])
@pytest.mark.parametrize("uneven", ["repeat", "drop"])
def test_processes_and_workers_share_the_clips(num_ranks: int, workers: int, uneven: str) -> None:
    if uneven == "drop" and num_ranks > 23:
        with pytest.raises(ValueError, match="a clip for each of 40 processes"):
            streamed(rank=0, num_ranks=num_ranks, uneven=uneven)
        return
    found = []
    for rank in range(num_ranks):
        stream = streamed(rank=rank, num_ranks=num_ranks, uneven=uneven)
        stream.set_epoch(2)
        found.append(list(DataLoader(stream, batch_size=None, num_workers=workers)))
        assert len(found[-1]) == len(stream)
    assert len({len(part) for part in found}) == 1
    counts = Counter(itertools.chain(*found))
    total = sum(counts.values())
    if uneven == "repeat":
        assert set(counts) == set(range(23)) and 0 <= total - 23 < num_ranks
        assert max(counts.values()) <= 2
    else:
        assert max(counts.values()) == 1 and 0 <= 23 - total < num_ranks


def test_going_on_at_any_place_is_going_through() -> None:
    for rank in range(2):
        options = {"rank": rank, "num_ranks": 2, "transform": with_draw, "seed": 1}
        stream = streamed(**options)
        stream.set_epoch(1)
        whole = list(stream)
        assert len(whole) == 12
        for consumed in range(13):
            state = json.loads(json.dumps(stream.state_dict(consumed)))
            again = streamed(**options)
            again.load_state_dict(state)
            assert again.epoch == 1 and list(again) == whole[consumed:]


@pytest.mark.parametrize(
    ("consumed", "before", "after"), [(3, 2, 0), (4, 0, 2), (7, 2, 1), (8, 1, 2), (23, 2, 2)]
)
def test_going_on_with_workers(consumed: int, before: int, after: int) -> None:
    """Workers read ahead: what counts is what training has had."""
    whole = list(streamed(seed=2))
    stream = streamed(seed=2, batch_size=4)
    had = []
    for batch in DataLoader(stream, batch_size=4, num_workers=before):
        had += batch.tolist()
        if len(had) >= consumed:
            break
    assert had[:consumed] == whole[:consumed]
    again = streamed(seed=2, batch_size=4)
    again.load_state_dict(stream.state_dict(consumed))
    rest = [n for batch in DataLoader(again, batch_size=4, num_workers=after) for n in batch.tolist()]
    assert rest == whole[consumed:]


def test_workers_that_live_on_follow_the_epoch() -> None:
    stream = streamed()
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)
    for epoch in (0, 1, 5):
        stream.set_epoch(epoch)
        assert list(loader) == [stream.order.clip(epoch, place) for place in range(23)]
    stream.resume(20)
    assert list(loader) == [stream.order.clip(5, place) for place in range(20, 23)]


def test_another_number_of_processes_goes_on() -> None:
    two = [streamed(rank=rank, num_ranks=2, count=24) for rank in range(2)]
    had = [n for stream in two for n in itertools.islice(stream, 6)]
    four = [streamed(rank=rank, num_ranks=4, count=24) for rank in range(4)]
    for stream in four:
        stream.load_state_dict(two[0].state_dict(6))
    assert sorted(had + [n for stream in four for n in stream]) == list(range(24))
    with pytest.raises(ValueError, match="4 processes can share, got 10"):
        four[0].load_state_dict(two[0].state_dict(5))


@pytest.mark.parametrize("uneven", ["repeat", "drop"])
@pytest.mark.parametrize("before", [1, 2, 3, 5])
def test_an_epoch_at_its_end_goes_on_with_any_number_of_processes(before: int, uneven: str) -> None:
    stream = streamed(rank=0, num_ranks=before, uneven=uneven)
    state = stream.state_dict(len(stream))
    for after in (1, 2, 3, 4):
        other = streamed(rank=after - 1, num_ranks=after, uneven=uneven)
        other.load_state_dict(state)
        assert list(other) == []
        other.set_epoch(1)
        assert len(list(other)) == len(other)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "state must be of seed=1, got 0"),
        ({"window": 3}, "state must be of window=3, got 8"),
        ({"count": 24}, "state must be of clips=24, got 23"),
        ({"uneven": "drop"}, "state must be of uneven='drop', got 'repeat'"),
    ],
)
def test_states_of_other_orders_are_refused(other: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        streamed(**other).load_state_dict(streamed().state_dict(4))
    with pytest.raises(ValueError, match="state must hold place"):
        streamed().load_state_dict({key: 0 for key in ("seed", "window", "clips", "epoch", "uneven")})


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_clips_are_counted_and_replaced(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    stream = streamed(bad=[4, 11], max_skipped=0.1)
    order = [stream.order.clip(0, place) for place in range(23)]
    expected = [n if n not in (4, 11) else None for n in order]
    for place in reversed(range(23)):  # the next one takes the place
        if expected[place] is None:
            expected[place] = expected[(place + 1) % 23]
    with caplog.at_level(logging.WARNING):
        assert list(DataLoader(stream, batch_size=None, num_workers=workers)) == expected
    assert stream.skipped == 2
    if not workers:  # those of workers are written by them
        assert "clip c4 is skipped: clip 4 is damaged" in caplog.text
    assert list(DataLoader(stream, batch_size=None, num_workers=workers)) == expected
    assert stream.skipped == 4


def test_too_many_damaged_clips_end_it() -> None:
    stream = streamed(bad=[4, 11, 12], max_skipped=0.1)
    with pytest.raises(ValueError, match="max_skipped=0.1 of 23 clips cannot be read: 3"):
        list(stream)
    with pytest.raises(ValueError, match="23 clips, one after the other"):
        list(streamed(bad=range(23), max_skipped=1.0))


def test_workers_count_damaged_clips_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers that take turns in this process, with their copies of the stream."""
    first = streamed(bad=range(0, 23, 2), max_skipped=0.2)
    second = copy.copy(first)  # shares the counts, as the copy of a forked worker does
    given = []
    for number_, stream in enumerate((first, second)):
        info = SimpleNamespace(id=number_, num_workers=2)
        monkeypatch.setattr("diff4splat.data.streaming.stream.get_worker_info", lambda info=info: info)
        given.append(iter(stream))
        next(given[-1])
    with pytest.raises(ValueError, match="max_skipped=0.2 of 23 clips cannot be read: 5"):
        for pair in zip(*given, strict=True):
            assert not {n % 2 == 0 for n in pair} & {True}
    assert first.skipped == second.skipped == 5


def test_errors_of_the_transform_are_not_taken_for_damaged_clips() -> None:
    def fails(recording: Recording, draws: torch.Generator) -> int:
        raise ValueError("a mistake of the user")

    stream = streamed(transform=fails)
    with pytest.raises(ValueError, match="a mistake of the user"):
        list(stream)
    assert stream.skipped == 0


def test_frames_are_picked_before_they_are_read() -> None:
    def pick(entry: RecordingEntry, draws: torch.Generator) -> list[int]:
        return [int(torch.randint(entry.info.num_frames, (1,), generator=draws))]

    picks = [recording.numbers for recording in streamed(frames=pick, transform=None)]
    assert set(picks) == {(0,), (1,)}
    assert picks == [recording.numbers for recording in streamed(frames=pick, transform=None)]
    again = streamed(frames=pick, transform=None)
    again.resume(9)
    assert [recording.numbers for recording in again] == picks[9:]


def test_draws_differ_between_clips_and_epochs() -> None:
    stream = streamed(transform=with_draw)
    draws = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        draws += [draw for _, draw in stream]
    assert len(set(draws)) == 46


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_shards_are_streamed_by_workers(tmp_path: Path, context: str) -> None:
    write(tmp_path / "a", 23, max_clips=5)
    shards = RecordingShards(tmp_path / "a")
    stream = StreamedRecordings(shards, window=2, transform=number)
    assert stream.order._sizes == [5, 5, 5, 5, 3]
    shards.read(0)  # a file that is open already
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context=context)
    numbers = shards.column("metric_n")
    assert list(loader) == [numbers[stream.order.clip(0, place)] for place in range(23)]
    other = pickle.loads(pickle.dumps(stream))
    other.resume(20)
    assert list(other) == list(stream)[20:]


def test_a_damaged_shard_does_not_end_a_stream(tmp_path: Path) -> None:
    write(tmp_path / "a", 23, max_clips=5)
    shards = RecordingShards(tmp_path / "a")
    (tmp_path / "a" / shards.column("shard")[0]).unlink()
    stream = StreamedRecordings(shards, transform=number, max_skipped=0.5)
    found = list(stream)
    assert len(found) == 23 and set(found) == set(shards.column("metric_n")[5:]) and stream.skipped >= 5


def test_recordings_go_through_a_loader_whole() -> None:
    loader = DataLoader(streamed(transform=None), batch_size=None, num_workers=2)
    found = {number_of(recording): recording for recording in loader}
    assert sorted(found) == list(range(23))
    np.testing.assert_array_equal(found[7].video, clip(7).video)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "num_ranks": 2}, "rank must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"uneven": "pad"}, "uneven must be"),
        ({"max_skipped": 1.5}, "max_skipped must be"),
        ({"sizes": [5, 5]}, "sizes must add up to the 23 clips"),
        ({"seed": -1}, "seed at least 0"),
    ],
)
def test_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        streamed(**options)


def test_numbers_out_of_range() -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0"):
        streamed().set_epoch(-1)
    for consumed in (-1, 24):
        for method in (streamed().resume, streamed().state_dict):
            with pytest.raises(ValueError, match="consumed must be from 0 to 23"):
                method(consumed)
