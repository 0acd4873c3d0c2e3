"""A stream of clips for training: near sequential on the disk, in a random order that is known beforehand."""

import logging
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from diff4splat.data.recording_source import RecordingEntry, RecordingSource
from diff4splat.data.recordings import Recording
from diff4splat.data.streaming.recording_shards import RecordingShards

__all__ = ["ShuffledOrder", "StreamedRecordings"]

Frames = Callable[[RecordingEntry, torch.Generator], Sequence[int] | None]
"""Which frames of a clip to read; all of them for None."""
Transform = Callable[[Recording, torch.Generator], Any]
"""What becomes of a clip before it is given out."""

logger = logging.getLogger(__name__)

_MAX_WORKERS = 1024
_MAX_TRIES = 100  # clips that are tried for one place


class ShuffledOrder:
    """A random order of all clips that is a function of seed, epoch and place, and needs no buffer.

    Shards are put into a random order; the clips of each `window` shards that follow one another there are
    shuffled together. So a reader has few shards open at a time, and goes on at any place at once.

    Args:
        sizes: Number of clips of each shard.
        seed: Another one gives another order; at least 0.
        window: Shards that are mixed, at least 1.

    Raises:
        ValueError: If there is no clip, or a number is out of range.

    Examples:
        >>> order = ShuffledOrder([3, 2], seed=0, window=2)
        >>> sorted(order.clip(epoch=0, place=place) for place in range(len(order)))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, sizes: Sequence[int], *, seed: int = 0, window: int = 8) -> None:
        if not sizes or min(sizes) < 0 or not sum(sizes):
            raise ValueError(f"sizes must hold at least one clip, got {list(sizes)[:9]}.")
        if window < 1 or seed < 0:
            raise ValueError(f"window must be at least 1 and seed at least 0, got {window} and {seed}.")
        self.seed, self.window = seed, window
        self._sizes = list(sizes)
        self._starts = [0, *accumulate(sizes)][:-1]
        self._epoch: tuple[int, list[list[int]], list[int]] | None = None
        self._window: tuple[tuple[int, int], np.ndarray] | None = None

    def __len__(self) -> int:
        return sum(self._sizes)

    def clip(self, epoch: int, place: int) -> int:
        """The clip at a place of an epoch.

        Args:
            epoch: From 0.
            place: From 0 to the number of clips - 1.

        Returns:
            Number of the clip; each once in an epoch.

        Raises:
            IndexError: If there is no such place.
        """
        if not 0 <= place < len(self):
            raise IndexError(f"place must be in [0, {len(self)}), got {place}.")
        windows, ends = self._windows(epoch)
        which = bisect_right(ends, place)
        return int(self._shuffled(epoch, which, windows[which])[place - ends[which]])

    def _windows(self, epoch: int) -> tuple[list[list[int]], list[int]]:
        """Shards of each window, and where in the order it ends."""
        if self._epoch is None or self._epoch[0] != epoch:
            shards = np.random.default_rng((self.seed, epoch)).permutation(len(self._sizes)).tolist()
            windows = [shards[start : start + self.window] for start in range(0, len(shards), self.window)]
            ends = list(accumulate(sum(self._sizes[shard] for shard in window) for window in windows))
            self._epoch = (epoch, windows, ends)
        return self._epoch[1:]

    def _shuffled(self, epoch: int, which: int, shards: Sequence[int]) -> np.ndarray:
        """Clips of a window."""
        if self._window is None or self._window[0] != (epoch, which):
            clips = np.concatenate(
                [np.arange(self._starts[shard], self._starts[shard] + self._sizes[shard]) for shard in shards]
            )
            np.random.default_rng((self.seed, epoch, which + 1)).shuffle(clips)
            self._window = ((epoch, which), clips)
        return self._window[1]


class StreamedRecordings(IterableDataset[Any]):
    """Clips of an epoch, for a plain `DataLoader`, split over processes and workers.

    Every clip comes once in an epoch. Process `rank` of `num_ranks` has every `num_ranks`-th place of the
    order, so that all have equally many. What one process gets does not depend on the number of workers, if
    `batch_size` is that of the loader: batches come in the order of a run without workers. After `set_epoch`
    the next iteration starts at the beginning of that epoch; after `resume(consumed)` it goes on behind so
    many clips. Nothing else moves it: call `set_epoch` before every epoch, or all are alike.

    A clip that cannot be read is logged and counted in `skipped`, and the next of this process that can be
    read takes its place, so that counts stay equal. More than `max_skipped` of an epoch's clips end it.

    Args:
        source: Clips; `RecordingShards`, or any list of recordings.
        seed: Of the order and of the generators.
        window: Shards that are mixed, see `ShuffledOrder`.
        rank: Number of this process, from 0.
        num_ranks: Processes that share the clips.
        batch_size: That of the loader; 1 for a loader without batches.
        uneven: What happens where clips cannot be split evenly: some at the start of the order come twice, or
            some at its end not at all, fewer than `num_ranks`.
        frames: Picks the frames to read; all when omitted. The generator is the clip's own in this epoch.
        transform: Makes of a recording what is given out; the recording itself when omitted, which a loader
            hands on with `batch_size=None`. It runs in the worker, with the same generator.
        max_skipped: Largest share of the clips of this process in an epoch that may be skipped.
        sizes: Number of clips in each stretch of the source that is read near sequentially; those of the
            shards, or all in one, when omitted.

    Raises:
        ValueError: If a number is out of range, or the sizes are not those of the source.
    """

    def __init__(
        self,
        source: RecordingSource,
        *,
        seed: int = 0,
        window: int = 8,
        rank: int = 0,
        num_ranks: int = 1,
        batch_size: int = 1,
        uneven: Literal["repeat", "drop"] = "repeat",
        frames: Frames | None = None,
        transform: Transform | None = None,
        max_skipped: float = 0.01,
        sizes: Sequence[int] | None = None,
    ) -> None:
        if not 0 <= rank < num_ranks:
            raise ValueError(f"rank must be from 0 to num_ranks - 1, got {rank} of {num_ranks}.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        if uneven not in ("repeat", "drop"):
            raise ValueError(f'uneven must be "repeat" or "drop", got {uneven!r}.')
        if not 0 <= max_skipped <= 1:
            raise ValueError(f"max_skipped must be from 0 to 1, got {max_skipped}.")
        count = len(source.entries)
        if sizes is None:
            sizes = source.shard_sizes if isinstance(source, RecordingShards) else [count]
        if sum(sizes) != count:
            raise ValueError(f"sizes must add up to the {count} clips of source, got {sum(sizes)}.")
        self.source, self.order = source, ShuffledOrder(sizes, seed=seed, window=window)
        self.rank, self.num_ranks, self.batch_size, self.uneven = rank, num_ranks, batch_size, uneven
        self.frames, self.transform, self.max_skipped = frames, transform, max_skipped
        if len(self) == 0:
            raise ValueError(f"source must hold a clip for each of {num_ranks} processes, got {count}.")
        # Shared with workers, which may live longer than an epoch: epoch, clips consumed, iteration.
        self._place = torch.zeros(3, dtype=torch.int64).share_memory_()
        # Of each worker: the iteration, clips it skipped in it, and clips it skipped in all.
        self._skipped = torch.zeros(_MAX_WORKERS, 3, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        """Clips that this process gets in an epoch."""
        count = len(self.order) / self.num_ranks
        return math.ceil(count) if self.uneven == "repeat" else math.floor(count)

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration gives."""
        return int(self._place[0])

    @property
    def skipped(self) -> int:
        """Clips that could not be read so far, in all workers of this process."""
        return int(self._skipped[:, 2].sum())

    def set_epoch(self, epoch: int) -> None:
        """Start another epoch, from its first clip.

        Args:
            epoch: From 0.

        Raises:
            ValueError: If it is below 0.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}.")
        self._begin(epoch, 0)

    def resume(self, consumed: int) -> None:
        """Go on in this epoch behind clips that training has had.

        Args:
            consumed: Clips that this process was given since the start of the epoch, those before an earlier
                resumption among them; up to `len(self)`, which leaves none.

        Raises:
            ValueError: If it is out of range.
        """
        if not 0 <= consumed <= len(self):
            raise ValueError(f"consumed must be from 0 to {len(self)}, got {consumed}.")
        self._begin(self.epoch, consumed)

    def state_dict(self, consumed: int) -> dict[str, Any]:
        """What is needed to go on, as JSON values.

        A loader reads ahead, and so only the training knows how many clips it has had.

        Args:
            consumed: See `resume`.

        Returns:
            Values for `load_state_dict`, alike in all processes.

        Raises:
            ValueError: If `consumed` is out of range.
        """
        if not 0 <= consumed <= len(self):
            raise ValueError(f"consumed must be from 0 to {len(self)}, got {consumed}.")
        place = len(self.order) if consumed == len(self) else consumed * self.num_ranks
        return {**self._order_words(), "epoch": self.epoch, "place": place, "uneven": self.uneven}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was made, with any number of workers.

        The number of processes may be another one if it divides the number of clips that all have had, or
        the epoch was at its end.

        Args:
            state: From `state_dict`.

        Raises:
            ValueError: If it is that of another order, or cannot be split over so many processes.
        """
        lacking = {"epoch", "place", "uneven", *self._order_words()} - set(state)
        if lacking:
            raise ValueError(f"state must hold {', '.join(sorted(lacking))}.")
        for name, value in {**self._order_words(), "uneven": self.uneven}.items():
            if state[name] != value:
                raise ValueError(f"state must be of {name}={value!r}, got {state[name]!r}.")
        over = int(state["place"]) >= len(self.order)
        consumed, rest = (len(self), 0) if over else divmod(int(state["place"]), self.num_ranks)
        if rest or consumed > len(self):
            raise ValueError(
                f"state must be of a number of clips that {self.num_ranks} processes can share, got "
                f"{state['place']}."
            )
        self._begin(int(state["epoch"]), consumed)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        epoch, start, iteration = self._place.tolist()
        row = self._skipped[number % _MAX_WORKERS]
        row[0], row[1] = iteration, 0
        batches = range(start + number * self.batch_size, len(self), workers * self.batch_size)
        for first in batches:
            for turn in range(first, min(first + self.batch_size, len(self))):
                yield self._clip(epoch, turn, row)

    def _clip(self, epoch: int, turn: int, row: torch.Tensor) -> Any:
        """The clip of a turn of this process, or the next that can be read."""
        for step in range(min(_MAX_TRIES, len(self))):
            place = ((turn + step) % len(self) * self.num_ranks + self.rank) % len(self.order)
            index = self.order.clip(epoch, place)
            draws = torch.Generator().manual_seed(self._seed(epoch, place))
            entry = self.source.entries[index]
            frames = None if self.frames is None else self.frames(entry, draws)
            try:
                recording = self.source.read(index, frames)
            except (ValueError, OSError) as error:
                self._note(entry.uid, error, row)
                continue
            return recording if self.transform is None else self.transform(recording, draws)
        raise ValueError(f"{min(_MAX_TRIES, len(self))} clips, one after the other, cannot be read.")

    def _note(self, uid: str, error: Exception, row: torch.Tensor) -> None:
        """Count a clip that cannot be read, and stop where there are too many."""
        logger.warning("clip %s is skipped: %s", uid, error)
        row[1] += 1
        row[2] += 1
        now = int(self._skipped[self._skipped[:, 0] == row[0], 1].sum())
        if now > self.max_skipped * len(self):
            raise ValueError(
                f"more than max_skipped={self.max_skipped:g} of {len(self)} clips cannot be read: {now}, the "
                f"last of them {uid}: {error}"
            ) from error

    def _begin(self, epoch: int, consumed: int) -> None:
        self._place.copy_(torch.tensor([epoch, consumed, int(self._place[2]) + 1]))

    def _order_words(self) -> dict[str, int]:
        return {"seed": self.order.seed, "window": self.order.window, "clips": len(self.order)}

    def _seed(self, epoch: int, place: int) -> int:
        return int(np.random.default_rng((self.order.seed, epoch, place, 0)).integers(1 << 63))
