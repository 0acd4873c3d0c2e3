"""The report of curation: a page to look at, and tables to compute with."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from diff4splat.data.curation_report.outcome_table import write_outcomes, write_outcomes_csv
from diff4splat.data.curation_report.report_page import report_html
from diff4splat.data.curation_report.summary import CurationSummary, summarize
from diff4splat.data.stages.item import Outcome
from diff4splat.files import atomic_path

__all__ = ["write_report"]


def write_report(
    outcomes: Iterable[Outcome],
    folder: str | os.PathLike[str],
    *,
    previews: Mapping[str, bytes] | None = None,
    title: str = "Curation report",
    max_clips: int = 5000,
    max_pictures: int = 400,
) -> CurationSummary:
    """Write report.html, clips.parquet and clips.csv, which say what became of each clip and why.

    The page is one file that loads nothing: counts, reasons, histograms, times, and a list of clips that can
    be searched, filtered and sorted. Its counts and histograms are of all clips; its list and its pictures
    are limited and spread over datasets, stages and kinds of reasons. The tables hold every clip. Each file
    is replaced whole, so the report of a run that goes on may be written again.

    Args:
        outcomes: One for each clip.
        folder: Where to write; made if needed.
        previews: JPEG, PNG or WebP files by uid. Only those that are shown are asked for, so a mapping may
            read them when they are.
        title: Heading of the page; any text is shown as it is.
        max_clips: Largest number of clips that the page lists, at least 0.
        max_pictures: Largest number of pictures in it, at least 0.

    Returns:
        The counts.

    Raises:
        ModuleNotFoundError: If pyarrow is missing.
        ValueError: If a limit is negative, or a preview that is shown is no picture; nothing is written then.
        OSError: If a file cannot be written.
    """
    rows = list(outcomes)
    page = report_html(rows, previews=previews, title=title, max_clips=max_clips, max_pictures=max_pictures)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write_outcomes(rows, target / "clips.parquet")
    write_outcomes_csv(rows, target / "clips.csv")
    with atomic_path(target / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return summarize(rows)
