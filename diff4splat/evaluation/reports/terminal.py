"""Reports for a terminal: aligned text."""

import textwrap
from collections.abc import Sequence

from diff4splat.evaluation.reports.document import Document
from diff4splat.evaluation.reports.table import MARKS, Cell, ReportTable, one_line

__all__ = ["table_text", "terminal_text"]

_WIDTH = 100
_GAP = "  "


def terminal_text(document: Document, *, width: int = _WIDTH) -> str:
    """A report as text for a terminal, without its figures.

    Args:
        document: What to show.
        width: Columns of the terminal, see `table_text`.

    Returns:
        Lines, the last one ended.
    """
    blocks = [_wrapped("", text, width) for text in (document.title, document.sentence)]
    for section in (item for item in document.sections if item.has_text):
        lines = [f"== {one_line(section.title)} =="]
        lines += [_wrapped("", text, width) for text in section.paragraphs]
        lines += [_wrapped("- ", text, width) for text in section.items]
        lines += [f"  {one_line(line)}" for line in section.code.splitlines()]
        blocks += ["\n".join(lines), *(table_text(item, width=width) for item in section.tables)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def table_text(table: ReportTable, *, width: int = _WIDTH) -> str:
    """A table as aligned text for a terminal.

    The best numbers are followed by a star, footnotes stand in brackets. A table that is too wide is shown in
    parts below each other, each with the first column.

    Args:
        table: What to show.
        width: Columns of the terminal; longer lines are only those of a part with a single long column.

    Returns:
        Lines, without an end of line after the last.
    """
    heads = [f"{item.words}{_brackets(item.notes)}" for item in table.headings]
    lines = [[_plain(cell) for cell in row.cells] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    rules = ["-" * size for size in widths]

    def line(texts: Sequence[str], columns: Sequence[int]) -> str:
        places = [(texts[column], widths[column], table.headings[column].kind) for column in columns]
        padded = [text.ljust(size) if kind == "words" else text.rjust(size) for text, size, kind in places]
        return _GAP.join(padded).rstrip()

    found = [_wrapped("", table.title, width)]
    for part, columns in enumerate(_parts(widths, width)):
        found += [""] * (part > 0) + [line(heads, columns), line(rules, columns)]
        group = ""
        for row, texts in zip(table.rows, lines, strict=True):
            if row.group and row.group != group:
                found.append(f"[{one_line(row.group)}]")
            group = row.group
            found.append(line(texts, columns))
    found += [_wrapped(f"({place}) ", note, width) for place, note in enumerate(table.notes, 1)]
    found += [_wrapped("", table.remark, width)] if table.remark else []
    return "\n".join(found)


def _parts(widths: Sequence[int], width: int) -> list[list[int]]:
    """Columns of the parts of a table: the first one, and as many of the others as there is room for."""
    parts = [[0]]
    used = widths[0]
    for column in range(1, len(widths)):
        if len(parts[-1]) > 1 and used + len(_GAP) + widths[column] > width:
            parts.append([0])
            used = widths[0]
        parts[-1].append(column)
        used += len(_GAP) + widths[column]
    return parts


def _wrapped(start: str, text: str, width: int) -> str:
    """Text in lines that fit, those after the first one further to the right; long words stay whole."""
    return textwrap.fill(
        one_line(text),
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(cell: Cell) -> str:
    text = MARKS.get(cell.text, cell.text) if cell.mark else one_line(cell.text)
    star = "*" if cell.best else ""
    interval = f" {cell.interval}" if cell.interval else ""
    return f"{text}{star}{interval}{_brackets(cell.notes)}"


def _brackets(notes: Sequence[int]) -> str:
    return f" ({','.join(map(str, notes))})" if notes else ""
