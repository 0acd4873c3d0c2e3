"""Reports as one HTML page that anyone can open: no network, no script, nothing to install."""

import base64
import hashlib
import html
import importlib.resources
import itertools
import re
from collections.abc import Sequence

from diff4splat.evaluation.reports.document import Document, Drawing, Picture, Section
from diff4splat.evaluation.reports.table import MARKS, Cell, Heading, ReportTable, TableRow, one_line

__all__ = ["page_html"]


def page_html(document: Document) -> str:
    """A report as a page, figures included.

    Args:
        document: What to show.

    Returns:
        One complete HTML document, which loads nothing and runs nothing.
    """
    style = _source("report.css")
    parts = {
        "title": _text(document.title),
        "sentence": _text(document.sentence),
        "body": "\n".join(_section(place, section) for place, section in enumerate(document.sections)),
        "style": style,
        "style_hash": "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
    }
    # One pass, so that a title that reads like a placeholder stays a title.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _source("report.html"))


def _section(place: int, section: Section) -> str:
    blocks = [f'<h2 id="part-{place}">{_text(section.title)}</h2>']
    blocks += [f"<p>{_text(text)}</p>" for text in section.paragraphs]
    if section.items:
        blocks.append(f"<ul>{''.join(f'<li>{_text(text)}</li>' for text in section.items)}</ul>")
    if section.code:
        code = "\n".join(map(one_line, section.code.splitlines()))
        blocks.append(f"<pre><code>{html.escape(code)}</code></pre>")
    blocks += map(_table, section.tables)
    for narrow, figures in itertools.groupby(section.figures, _narrow):
        drawn = "".join(map(_figure, figures))
        blocks.append(f'<div class="figures">{drawn}</div>' if narrow else drawn)
    kind = f' class="{section.kind}"' if section.kind else ""
    return f'<section{kind} aria-labelledby="part-{place}">\n{chr(10).join(blocks)}\n</section>'


def _table(table: ReportTable) -> str:
    heads = "".join(
        f'<th scope="col" class="{item.kind}">{_text(item.words)}{_raised(item.notes)}</th>'
        for item in table.headings
    )
    body, group = [], ""
    for row in table.rows:
        if row.group and row.group != group:
            # A span, so that the words stay in sight where the table is wider than the page.
            words = f"<span>{_text(row.group)}</span>"
            words = f'<th scope="colgroup" colspan="{len(table.headings)}">{words}</th>'
            body.append(f'<tr class="group">{words}</tr>')
        group = row.group
        body.append(_row(table.headings, row))
    notes = "".join(f"<li>{_text(note)}</li>" for note in table.notes)
    below = (f"<ol>{notes}</ol>" if notes else "") + (
        f'<p class="remark">{_text(table.remark)}</p>' if table.remark else ""
    )
    title = _text(table.title)
    return (
        f'<div class="table"><h3>{title}</h3><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{title}"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{below}</div>"
    )


def _row(headings: Sequence[Heading], row: TableRow) -> str:
    cells = []
    for place, (head, cell) in enumerate(zip(headings, row.cells, strict=True)):
        tag = 'th scope="row"' if place == 0 else "td"
        cells.append(f'<{tag} class="{head.kind}">{_cell(cell)}</{tag[:2]}>')
    kind = ' class="measured"' if row.measured else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def _cell(cell: Cell) -> str:
    if cell.mark:
        text = (
            f'<span class="{_text(cell.text)}" title="{_text(cell.text)}">{MARKS.get(cell.text, "")}</span>'
        )
    else:
        text = _text(cell.text)
    text = f"<strong>{text}</strong>" if cell.best else text
    interval = f"<small>{_text(cell.interval)}</small>" if cell.interval else ""
    return f"{text}{_raised(cell.notes)}{interval}"


def _figure(figure: Drawing | Picture) -> str:
    caption = f"<figcaption>{_text(figure.caption)}</figcaption>" if figure.caption else ""
    if isinstance(figure, Drawing):
        return f"<figure>{caption}{figure.markup}</figure>"
    strips = []
    for words, jpeg in figure.strips:
        data = base64.b64encode(jpeg).decode("ascii")
        image = f'<img alt="{_text(figure.caption)}, {_text(words)}" src="data:image/jpeg;base64,{data}">'
        strips.append(f'<div><span class="faint">{_text(words)}</span>{image}</div>')
    return f'<figure class="strips">{caption}{"".join(strips)}</figure>'


def _narrow(figure: Drawing | Picture) -> bool:
    return isinstance(figure, Drawing) and not figure.wide


def _raised(notes: Sequence[int]) -> str:
    return f"<sup>{','.join(map(str, notes))}</sup>" if notes else ""


def _text(text: str) -> str:
    """Any text as text of a page, also within quotes; arrows stay in the line of the word before them."""
    return re.sub(" (?=[↑↓])", "\u00a0", html.escape(one_line(text)))


def _source(name: str) -> str:
    folder = importlib.resources.files("diff4splat.evaluation.reports")
    return folder.joinpath("page", name).read_text(encoding="utf-8")
