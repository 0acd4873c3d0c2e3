"""What became of many clips, in numbers: how many are kept, and why the others are not."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from diff4splat.data.stages.item import Outcome

__all__ = ["CurationSummary", "DatasetCount", "ReasonCount", "StageTime", "reason_kind", "summarize"]

NO_REASON = "no reason given"
_ROWS_SHOWN = 20
_WORDS_SHOWN = 80
_QUOTED = re.compile(r"'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`")
# A word that names a file: a slash at its start, or two of them, or one and an ending. "px/frame" is none.
_PATH = re.compile(
    r"(?<![^\s(])(?:(?:[~.]{0,2}|\w:)[/\\]|[^\s/\\(]+[/\\](?=\S*[/\\]|\S*\.\w))\S*[^\s.,:;!?)]"
)
_NUMBER = re.compile(
    r"(?<!\w)[-+−]?(?:\d+(?:[.,]\d+)*[eE][-+]?\d+|\w*\d\w*(?:[.,]\w*\d\w*)*|(?:inf|nan)(?!\w))"
)


@dataclass(frozen=True)
class DatasetCount:
    """What became of the clips of a dataset.

    Args:
        name: As the clips' metric "dataset" says; empty where they have none.
        kept: Clips that all stages ran for.
        rejected: Clips that a stage rejected.
        failed: Clips that a stage failed on.
    """

    name: str
    kept: int
    rejected: int
    failed: int

    @property
    def num_clips(self) -> int:
        """All of its clips."""
        return self.kept + self.rejected + self.failed


@dataclass(frozen=True)
class ReasonCount:
    """Clips that are not kept for one kind of reason.

    Args:
        status: Whether they were rejected, or failed.
        stage: The stage that ended them.
        kind: The reason without what differs from clip to clip, see `reason_kind`.
        count: How many clips.
        example: The reason of the first of them, in full.
    """

    status: Literal["rejected", "failed"]
    stage: str
    kind: str
    count: int
    example: str


@dataclass(frozen=True)
class StageTime:
    """Time that a stage took.

    Args:
        name: Name of the stage.
        num_clips: Clips that it ran for.
        seconds: Time of all of them together.
    """

    name: str
    num_clips: int
    seconds: float


@dataclass(frozen=True)
class CurationSummary:
    """What became of many clips.

    Args:
        kept: Clips that all stages ran for.
        rejected: Clips that a stage rejected.
        failed: Clips that a stage failed on.
        reused: Clips of these whose result was there already.
        datasets: Counts of each dataset, by name.
        reasons: Why clips are not kept, the most frequent first.
        stages: Times of the stages, in the order in which they first ran; of work that was done anew.
    """

    kept: int = 0
    rejected: int = 0
    failed: int = 0
    reused: int = 0
    datasets: tuple[DatasetCount, ...] = ()
    reasons: tuple[ReasonCount, ...] = ()
    stages: tuple[StageTime, ...] = ()

    @property
    def num_clips(self) -> int:
        """All clips."""
        return self.kept + self.rejected + self.failed

    def sentence(self) -> str:
        """The counts in one sentence.

        Returns:
            Such as "3 clips: 2 kept (66.7 %), 1 rejected (33.3 %), 0 failed (0.0 %)".
        """
        counts = {"kept": self.kept, "rejected": self.rejected, "failed": self.failed}
        parts = [f"{count:,} {name} ({_share(count, self.num_clips)})" for name, count in counts.items()]
        again = f"; {self.reused:,} of them were there already" if self.reused else ""
        return f"{self.num_clips:,} clip{'s' * (self.num_clips != 1)}: {', '.join(parts)}{again}"

    def to_text(self) -> str:
        """The sentence, and tables of datasets, reasons and stages as far as there are any.

        Returns:
            Aligned lines for a terminal; long reasons are cut, and of many kinds of reasons the most frequent
            20 are shown.
        """
        blocks = [self.sentence()]
        if any(dataset.name for dataset in self.datasets):
            head = ("dataset", "clips", "kept", "rejected", "failed", "kept %")
            datasets = [
                (
                    _line(item.name) or "-",
                    *(f"{count:,}" for count in (item.num_clips, item.kept, item.rejected, item.failed)),
                    _share(item.kept, item.num_clips).removesuffix(" %"),
                )
                for item in self.datasets
            ]
            blocks.append(_table(head, datasets, right=range(1, 6)))
        if self.reasons:
            reasons = [
                (f"{item.count:,}", _share(item.count, self.num_clips), item.status, item.stage, item.kind)
                for item in self.reasons[:_ROWS_SHOWN]
            ]
            rows = [tuple(_line(cell) for cell in row) for row in reasons]
            block = _table(("clips", "of all", "status", "stage", "reason"), rows, right=range(2))
            left = self.reasons[_ROWS_SHOWN:]
            if left:
                block += f"\nand {len(left)} more kinds of reasons, {sum(r.count for r in left):,} clips"
            blocks.append(block)
        if self.stages:
            times = [
                (
                    _line(item.name),
                    f"{item.num_clips:,}",
                    f"{item.seconds:,.1f}",
                    f"{item.seconds / max(item.num_clips, 1):.3g}",
                )
                for item in self.stages
            ]
            blocks.append(_table(("stage", "clips", "seconds", "per clip"), times, right=range(1, 4)))
        return "\n\n".join(blocks)


def summarize(outcomes: Iterable[Outcome]) -> CurationSummary:
    """Count what became of clips.

    A clip belongs to the dataset that its metric "dataset" names. Reasons are put together if they are of one
    kind (`reason_kind`), stage and status; a file that is called as the metric "recording" is a
    name, with whatever spaces. Times of results that were there already are left out.

    Args:
        outcomes: One for each clip.

    Returns:
        The counts.
    """
    statuses: Counter[str] = Counter()
    datasets: dict[str, Counter[str]] = {}
    reasons: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], str] = {}
    seconds: dict[str, list[float]] = {}
    reused = 0
    for outcome in outcomes:
        statuses[outcome.status] += 1
        reused += outcome.reused
        datasets.setdefault(dataset_of(outcome), Counter())[outcome.status] += 1
        if outcome.status != "kept":
            group = (outcome.status, outcome.stage, kind_of(outcome))
            reasons[group] += 1
            examples.setdefault(group, outcome.reason or NO_REASON)
        for name, time in {} if outcome.reused else outcome.seconds.items():
            seconds.setdefault(name, []).append(time)
    return CurationSummary(
        **{name: statuses[name] for name in ("kept", "rejected", "failed")},
        reused=reused,
        datasets=tuple(
            DatasetCount(name, *(datasets[name][status] for status in ("kept", "rejected", "failed")))
            for name in sorted(datasets)
        ),
        reasons=tuple(
            ReasonCount(_not_kept(group[0]), group[1], group[2], count, examples[group])
            for group, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ),
        stages=tuple(StageTime(name, len(times), sum(times)) for name, times in seconds.items()),
    )


def reason_kind(reason: str) -> str:
    """What reasons of one kind have in common: the words without names and numbers.

    Texts in quotes and words that name files (such as /a, a/b/c or a/b.png) become "…". Then words with a
    digit in them become "#", with their sign, and so do "inf" and "nan". Spaces are made one.

    Args:
        reason: Why a clip is not kept.

    Returns:
        The kind; "no reason given" where there are no words.

    Examples:
        >>> reason_kind("scale varies by 7.3 %, limit 5 %")
        'scale varies by # %, limit # %'
        >>> reason_kind("ValueError: /data/scene_0012/depth.png is no picture")
        'ValueError: … is no picture'
    """
    text = _PATH.sub("…", _QUOTED.sub("…", reason))
    return " ".join(_NUMBER.sub("#", text).split()) or NO_REASON


def kind_of(outcome: Outcome) -> str:
    """Kind of the reason of a clip, where its recording is known: names of its files may have spaces."""
    name, reason = outcome.metrics.get("recording"), outcome.reason
    if isinstance(name, str) and name:
        reason = re.sub(rf"(?:(?<=[/\\])|(?<=: )|^){re.escape(name)}(?!\w)", "…", reason)
    return reason_kind(reason)


def dataset_of(outcome: Outcome) -> str:
    """Name of the dataset of a clip, from its metric "dataset"; empty where it has none."""
    name = outcome.metrics.get("dataset")
    return name if isinstance(name, str) else ""


def _not_kept(status: str) -> Literal["rejected", "failed"]:
    return "failed" if status == "failed" else "rejected"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def _line(text: str) -> str:
    """Text that neither breaks a line of a terminal nor steers it."""
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    return plain if len(plain) <= _WORDS_SHOWN else plain[: _WORDS_SHOWN - 1] + "…"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int]) -> str:
    """Aligned text with a line under the head."""
    columns = set(right)
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = zip(row, widths, strict=True)
        aligned = [
            cell.rjust(width) if column in columns else cell.ljust(width)
            for column, (cell, width) in enumerate(cells)
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)
