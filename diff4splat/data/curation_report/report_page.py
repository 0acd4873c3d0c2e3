"""The report of curation as one HTML page that anyone can open, with no network and nothing to install."""

import base64
import hashlib
import html
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from diff4splat.data.curation_report.gallery import gallery_data
from diff4splat.data.curation_report.histograms import histogram_svg, metric_histograms
from diff4splat.data.curation_report.summary import CurationSummary, summarize
from diff4splat.data.stages.item import Outcome

__all__ = ["report_html"]

_REASONS = 40
_NOT_IN_PAGES = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_STATUSES = ("kept", "rejected", "failed")


def report_html(
    outcomes: Sequence[Outcome],
    *,
    previews: Mapping[str, bytes] | None = None,
    title: str = "Curation report",
    max_clips: int = 5000,
    max_pictures: int = 400,
) -> str:
    """The page of `write_report` as text.

    Args:
        outcomes: One for each clip.
        previews: JPEG, PNG or WebP files by uid; only those that are shown are asked for.
        title: Heading of the page; any text is shown as it is.
        max_clips: Largest number of clips that the page lists, at least 0.
        max_pictures: Largest number of pictures in it, at least 0.

    Returns:
        One complete HTML document, which loads nothing.

    Raises:
        ValueError: If a limit is negative, or a preview that is shown is no picture.
    """
    for name, limit in (("max_clips", max_clips), ("max_pictures", max_pictures)):
        if limit < 0:
            raise ValueError(f"{name} must be at least 0, got {limit}.")
    previews = {} if previews is None else previews
    summary = summarize(outcomes)
    data = gallery_data(outcomes, previews, max_clips=max_clips, max_pictures=max_pictures)
    pictures = sum(outcome.uid in previews for outcome in outcomes)
    style, script = _source("report.css"), _source("report.js")
    parts = {
        "title": _text(title),
        "sentence": _text(summary.sentence()),
        "counts": _counts(summary),
        "reasons": _reasons(summary),
        "metrics": _metrics(outcomes),
        "stages": _stages(summary),
        "listed": _text(_listed(len(outcomes), len(data["clips"]), pictures, len(data["pictures"]))),
        "data": _script_json(data),
        "style": style,
        "script": script,
        "style_hash": _content_hash(style),
        "script_hash": _content_hash(script),
    }
    # One pass, so that a title that reads like a placeholder stays a title.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _source("report.html"))


def _counts(summary: CurationSummary) -> str:
    whole = max(summary.num_clips, 1)
    cards = [f'<div class="all"><dt>clips</dt><dd>{summary.num_clips:,}</dd></div>']
    for name in _STATUSES:
        count = getattr(summary, name)
        share = f"<small>{100 * count / whole:.1f} %</small>"
        cards.append(f'<div class="{name}"><dt>{name}</dt><dd>{count:,}{share}</dd></div>')
    blocks = [f'<dl class="counts">{"".join(cards)}</dl>']
    if summary.num_clips:
        blocks.append(_shares(summary.kept, summary.rejected, summary.failed))
    if any(dataset.name for dataset in summary.datasets):
        rows = [
            (
                f"<td>{_text(item.name or '(not named)')}</td>"
                f'<td class="bar">{_shares(item.kept, item.rejected, item.failed)}</td>'
                + "".join(
                    f'<td class="number">{count:,}</td>'
                    for count in (item.num_clips, item.kept, item.rejected, item.failed)
                )
            )
            for item in summary.datasets
        ]
        blocks.append(_table(("dataset", "", "*clips", "*kept", "*rejected", "*failed"), rows))
    return "\n".join(blocks)


def _reasons(summary: CurationSummary) -> str:
    if not summary.num_clips:
        return "<p>There are no clips.</p>"
    if not summary.reasons:
        return "<p>All clips are kept.</p>"
    most = summary.reasons[0].count
    rows = []
    for item in summary.reasons[:_REASONS]:
        where = f"{item.status} in stage {_text(item.stage)}" if item.stage else item.status
        example = "" if item.example == item.kind else f"; first: {_text(item.example)}"
        link = (
            f'<button type="button" class="link" data-status="{item.status}" data-kind="{_text(item.kind)}">'
            f"{_text(item.kind)}</button>"
        )
        bar = (
            '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="{item.status}" width="{100 * item.count / most:.2f}" height="10"/></svg>'
        )
        rows.append(
            f'<td class="number">{item.count:,}</td><td class="bar">{bar}</td>'
            f'<td class="words">{link}<br><span class="faint small">{where}{example}</span></td>'
        )
    left = summary.reasons[_REASONS:]
    more = (
        f'<p class="faint">and {len(left):,} more kinds of reasons, '
        f"{sum(item.count for item in left):,} clips; clips.csv holds them all.</p>"
    )
    note = (
        '<p class="faint">Reasons that differ only in numbers (#) and names (…) count as one. Choose one to '
        "see its clips.</p>"
    )
    return note + _table(("*clips", "", "reason"), rows) + (more if left else "")


def _metrics(outcomes: Sequence[Outcome]) -> str:
    found = metric_histograms(outcomes)
    if not found:
        return "<p>Nothing that is a number.</p>"
    figures = []
    for item in found:
        notes = [f"{sum(item.kept) + sum(item.others):,} clips"]
        outside = item.below + item.above
        notes += [f"{outside:,} beyond the ends"] if outside else []
        notes += [f"{item.not_finite:,} not finite"] if item.not_finite else []
        caption = f"{_text(item.name)} <span>{', '.join(notes)}</span>"
        figures.append(f"<figure><figcaption>{caption}</figcaption>{histogram_svg(item)}</figure>")
    key = (
        '<p class="key faint"><span><span class="kept"></span>kept, above the line</span>'
        '<span><span class="others"></span>not kept, below it</span>'
        "<span>Each side is scaled to its own largest bin.</span></p>"
    )
    return f'{key}<div class="metrics">{"".join(figures)}</div>'


def _stages(summary: CurationSummary) -> str:
    if not summary.stages:
        return ""
    rows = [
        f'<td>{_text(item.name)}</td><td class="number">{item.num_clips:,}</td>'
        f'<td class="number">{item.seconds:,.1f}</td>'
        f'<td class="number">{item.seconds / max(item.num_clips, 1):.3g}</td>'
        for item in summary.stages
    ]
    table = _table(("stage", "*clips", "*seconds", "*seconds a clip"), rows)
    return f'<section aria-labelledby="stages-title"><h2 id="stages-title">What it took</h2>{table}</section>'


def _shares(*counts: int) -> str:
    """A bar in parts that are as long as the shares of kept, rejected and failed."""
    whole, left, bars = max(sum(counts), 1), 0.0, []
    for name, count in zip(_STATUSES, counts, strict=True):
        width = 100 * count / whole
        bars.append(f'<rect class="{name}" x="{left:.3f}" width="{width:.3f}" height="10"/>')
        left += width
    words = ", ".join(f"{count:,} {name}" for name, count in zip(_STATUSES, counts, strict=True))
    return (
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}">{"".join(bars)}</svg>'
    )


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table; heads that begin with a star are those of numbers, and one without words is that of bars."""
    kinds = ["number" if name.startswith("*") else "words" if name else "bar" for name in head]
    heads = "".join(
        f'<th scope="col" class="{kind}">{name.removeprefix("*")}</th>'
        for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _listed(clips: int, listed: int, pictures: int, shown: int) -> str:
    """What of all clips the page holds."""
    if not clips:
        return "There are none."
    words = f"All {clips:,} clips are listed"
    if listed < clips:
        words = (
            f"{listed:,} of {clips:,} clips are listed, spread over datasets and reasons; {clips - listed:,} "
            "are only in clips.csv and clips.parquet"
        )
    if not pictures:
        return f"{words}. There are no pictures."
    if shown == pictures:
        return f"{words}, {shown:,} with their picture."
    return f"{words}; {shown:,} of {pictures:,} pictures are in this page, {pictures - shown:,} are not."


def _text(text: str) -> str:
    """Any text as text of a page, also within quotes."""
    return html.escape(_NOT_IN_PAGES.sub("\ufffd", text))


def _script_json(value: Any) -> str:
    """JSON for a script element: no character in it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source(name: str) -> str:
    """A source file of the page."""
    folder = importlib.resources.files("diff4splat.data.curation_report")
    return folder.joinpath("page", name).read_text(encoding="utf-8")


def _content_hash(text: str) -> str:
    """Hash by which the page's content security policy allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
