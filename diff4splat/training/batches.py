"""Batches of clips whose order is a function of seed and step alone, whatever else happens."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diff4splat.data import ClipDataset, check_clip
from diff4splat.data.clips import needed_keys
from diff4splat.training.records import add_record, read_records

__all__ = ["Batches"]

_WINDOW = 128  # clips among which the first epoch is shuffled: four shards of the usual size
_AHEAD = 2  # batches that are read in the background
_ENOUGH = 50  # clips seen before the share of bad ones means something
_SHOWN = 5  # reasons in the error about bad clips


class Batches:
    """Endless batches from one or several datasets of clips.

    Rows are numbered through all steps. A row's source follows from its number, so that sources take turns
    and each has its share of any stretch of rows; the clip is the next one of that source's epoch. Each epoch
    has every clip once, in an order drawn from `seed`. The first epoch is shuffled within windows of 128
    clips only, so that clips which are still being made are not asked for early. Thus a run that goes on from
    step k gets the batches that it would have got, and processes that share a global batch get parts of it.

    Clips that `check_clip` refuses, or that their dataset cannot read, are skipped: the next number in the
    dataset that is good takes the place, and so may come twice in an epoch. A run that goes on counts them
    together with those that `bad_log` tells of the steps before.

    Args:
        sources: Datasets and their shares of the rows; shares are relative to their sum. The lengths of the
            datasets are read once.
        batch_size: Clips per step, over all ranks.
        seed: Decides the order; at least 0.
        needs: Keys of the clip that are stacked, with "motion" for either form of it, see `check_clip`.
        rank: Number of this process.
        num_ranks: Processes that share a global batch; they get equal consecutive parts of its rows.
        max_bad_share: Share of bad clips from which on reading fails, once 50 clips were seen, or all there
            are; see `check_bad_share`, too.
        bad_log: File to which each bad clip is added once, as a line of JSON with `source` (its number in
            `sources`), `clip`, `name` and `reason`; what it holds already is kept.

    Raises:
        ValueError: If there is no source, a source is empty, a share is not above 0, or a number is out of
            range.
        TypeError: If `needs` is a text.
    """

    def __init__(
        self,
        sources: Sequence[tuple[ClipDataset, float]],
        batch_size: int,
        *,
        seed: int,
        needs: Sequence[str],
        rank: int = 0,
        num_ranks: int = 1,
        max_bad_share: float = 0.05,
        bad_log: str | Path | None = None,
    ) -> None:
        if not sources:
            raise ValueError("sources must hold at least one dataset, got none.")
        for dataset, share in sources:
            if not (isfinite(share) and share > 0):
                raise ValueError(f"sources must have shares above 0, got {share}.")
            if len(dataset) < 1:
                raise ValueError("sources must hold clips, got a dataset of length 0.")
        if isinstance(needs, str):
            raise TypeError(f"needs must be a list of keys, got the text {needs!r}.")
        if not needs:
            raise ValueError("needs must name at least one key, got none.")
        if batch_size < 1 or num_ranks < 1 or batch_size % num_ranks:
            raise ValueError(
                f"batch_size must be a positive multiple of num_ranks={num_ranks}, got {batch_size}."
            )
        if not 0 <= rank < num_ranks:
            raise ValueError(f"rank must be in [0, num_ranks={num_ranks}), got {rank}.")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}.")
        if not 0 <= max_bad_share <= 1:
            raise ValueError(f"max_bad_share must be in [0, 1], got {max_bad_share}.")
        self.batch_size = batch_size
        self.seed = seed
        self.needs = tuple(needs)
        self.max_bad_share = max_bad_share
        self.bad_log = None if bad_log is None else Path(bad_log)
        self._datasets = [dataset for dataset, _ in sources]
        self._lengths = [len(dataset) for dataset in self._datasets]
        self._shares_of_rest = _shares_of_rest([share for _, share in sources])
        part = batch_size // num_ranks
        self._rows = range(rank * part, (rank + 1) * part)
        self._orders: dict[int, tuple[tuple[int, int], np.ndarray]] = {}
        self._seen = [bytearray(length) for length in self._lengths]
        self._num_seen = 0
        self._bad: dict[tuple[int, int], str] = {}

    @property
    def num_seen(self) -> int:
        """Different clips that were read so far, good and bad, those read ahead included."""
        return self._num_seen

    @property
    def num_bad(self) -> int:
        """Different bad clips among those."""
        return len(self._bad)

    def from_step(self, step: int) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        """This rank's part of the batches of a step and of all that follow, read ahead in a thread.

        The thread ends when the iterator is closed or forgotten.

        Args:
            step: Number of the first step, at least 0.

        Returns:
            For each step the needed keys with the clips on a new first axis, and the captions.

        Raises:
            ValueError: If `step` is below 0; while reading, if too many clips are bad or those of one batch
                do not have the same keys, types and shapes.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}.")
        if self.bad_log is not None:
            known = read_records(self.bad_log)
            self._recall(step, {(bad["source"], bad["clip"]): bad["reason"] for bad in known})
        return self._read_ahead(step)

    def check_bad_share(self) -> None:
        """Refuse what was seen so far, be it few clips, if too many of them are bad.

        Raises:
            ValueError: If more than `max_bad_share` of them are.
        """
        if self.num_bad > self.max_bad_share * self.num_seen:
            log = "" if self.bad_log is None else f" When they are mended, remove {self.bad_log}."
            raise ValueError(
                f"{self.num_bad} of {self.num_seen} clips are bad, {self.num_bad / self.num_seen:.1%}; at "
                f"most {self.max_bad_share:.1%} may be (max_bad_share). {self._reasons()}{log}"
            )

    def clips_of_step(self, step: int) -> list[tuple[int, int]]:
        """Which clips this rank's part of a step holds, if none of them is bad.

        Args:
            step: Number of the step, at least 0.

        Returns:
            Number of the source and of the clip in it, per row.
        """
        return [self._clip_of_row(step * self.batch_size + row) for row in self._rows]

    def _read_ahead(self, step: int) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        try:
            pending = deque(reader.submit(self._read, step + ahead) for ahead in range(_AHEAD))
            for later in count(step + _AHEAD):
                batch = pending.popleft().result()
                pending.append(reader.submit(self._read, later))
                yield batch
        finally:
            reader.shutdown(wait=False, cancel_futures=True)  # it may wait for a clip that never comes

    def _read(self, step: int) -> tuple[dict[str, Tensor], list[str]]:
        rows = [self._good_clip(source, number) for source, number in self.clips_of_step(step)]
        first_clip, _, first_name = rows[0]
        for clip, _, name in rows[1:]:
            if _form(clip) != _form(first_clip):
                raise ValueError(
                    "clips of one batch must have the same keys, types and shapes, "
                    f"got {_form(first_clip)} in {first_name} and {_form(clip)} in {name}."
                )
        stacked = {key: torch.stack([clip[key] for clip, _, _ in rows]) for key in first_clip}
        return stacked, [caption for _, caption, _ in rows]

    def _source_of_row(self, row: int) -> tuple[int, int]:
        """Source of a row, counted from the first row of step 0, and how many rows it had before."""
        place = row  # among the rows that the sources before left over
        for source, share in enumerate(self._shares_of_rest):
            before = place * share // 1
            if (place + 1) * share // 1 > before:
                return source, before
            place -= before
        return len(self._datasets) - 1, place

    def _clip_of_row(self, row: int) -> tuple[int, int]:
        source, place = self._source_of_row(row)
        length = self._lengths[source]
        epoch, place = divmod(place, length)
        start = place - place % _WINDOW if epoch == 0 else 0
        window = min(_WINDOW, length - start) if epoch == 0 else length
        which, order = self._orders.get(source, (None, None))
        if which != (epoch, start) or order is None:
            order = np.random.default_rng((self.seed, source, epoch, start)).permutation(window)
            self._orders[source] = ((epoch, start), order)
        return source, start + int(order[place - start])

    def _good_clip(self, source: int, number: int) -> tuple[dict[str, Tensor], str, str]:
        """The needed keys, the caption and the name of a clip, or of the next one that is good."""
        length = self._lengths[source]
        for candidate in range(number, number + length):
            candidate %= length
            clip, caption, reason = self._try(source, candidate)
            self._count(source, candidate, reason)
            if reason is None:
                keys = needed_keys(clip, self.needs)
                return {key: clip[key] for key in keys}, caption, self._name(source, candidate)
        raise ValueError(f"all {length} clips of source {source} are bad. {self._reasons()}")

    def _try(self, source: int, number: int) -> tuple[dict[str, Tensor], str, str | None]:
        """A clip, its caption, and why it is bad."""
        try:
            clip, caption = self._datasets[source][number]
        except (OSError, ValueError, KeyError) as error:
            return {}, "", f"cannot be read: {type(error).__name__}: {error}"
        if not isinstance(caption, str):
            return {}, "", f"the caption must be a text, got {type(caption).__name__}."
        return clip, caption, check_clip(clip, needs=self.needs)

    def _count(self, source: int, number: int, reason: str | None) -> None:
        """Count a clip that was read, note it if it is bad, and fail if too many are."""
        if reason is not None and (source, number) not in self._bad and self.bad_log is not None:
            name = self._name(source, number)
            record = {"source": source, "clip": number, "name": name, "reason": reason}
            _add_once(self.bad_log, record)
        self._mark(source, number, reason)
        if self.num_seen >= min(_ENOUGH, sum(self._lengths)):
            self.check_bad_share()

    def _mark(self, source: int, number: int, reason: str | None) -> None:
        if not self._seen[source][number]:
            self._seen[source][number] = 1
            self._num_seen += 1
        if reason is not None:
            self._bad.setdefault((source, number), reason)

    def _recall(self, step: int, bad: Mapping[tuple[int, int], str]) -> None:
        """Count what the steps before one have read."""
        for before in range(step):
            for source, number in self.clips_of_step(before):
                length = self._lengths[source]
                for candidate in range(number, number + length):
                    place = source, candidate % length
                    self._mark(*place, bad.get(place))
                    if place not in bad:
                        break
            if self._num_seen == sum(self._lengths):
                break

    def _name(self, source: int, number: int) -> str:
        name_of = getattr(self._datasets[source], "name_of", lambda number: f"clip {number}")
        return f"{name_of(number)} of source {source}"

    def _reasons(self) -> str:
        shown = list(self._bad.items())[:_SHOWN]
        return "The first: " + " ".join(f"{self._name(*place)}: {reason}" for place, reason in shown)


def _shares_of_rest(shares: Sequence[float]) -> list[Fraction]:
    """Share of each source but the last in the rows that those before it leave; fractions do not round."""
    exact = [Fraction(str(share)) for share in shares]
    return [share / sum(exact[place:]) for place, share in enumerate(exact[:-1])]


def _form(clip: dict[str, Tensor]) -> str:
    return ", ".join(f"{key} {str(clip[key].dtype)[6:]} {list(clip[key].shape)}" for key in clip)


def _add_once(path: Path, record: dict[str, Any]) -> None:
    """Add a line to a log, unless an earlier run or another rank did."""
    if record not in read_records(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        add_record(path, record)
