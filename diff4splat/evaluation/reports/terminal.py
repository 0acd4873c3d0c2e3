"""Reports for a terminal: aligned text."""

from collections.abc import Sequence

from diff4splat.evaluation.reports.document import Document
from diff4splat.evaluation.reports.table import MARKS, Cell, ReportTable, one_line

__all__ = ["table_text", "terminal_text"]


def terminal_text(document: Document) -> str:
    """A report as text for a terminal, without its figures.

    Args:
        document: What to show.

    Returns:
        Lines, the last one ended.
    """
    blocks = [one_line(document.title), one_line(document.sentence)]
    for section in (item for item in document.sections if item.has_text):
        lines = [f"== {one_line(section.title)} =="]
        lines += [one_line(text) for text in section.paragraphs]
        lines += [f"- {one_line(text)}" for text in section.items]
        lines += [f"  {one_line(line)}" for line in section.code.splitlines()]
        blocks += ["\n".join(lines), *map(table_text, section.tables)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def table_text(table: ReportTable) -> str:
    """A table as aligned text for a terminal.

    The best numbers are followed by a star, footnotes stand in brackets.

    Args:
        table: What to show.

    Returns:
        Lines, without an end of line after the last.
    """
    heads = [f"{item.words}{_brackets(item.notes)}" for item in table.headings]
    lines = [[_plain(cell) for cell in row.cells] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    rules = ["-" * width for width in widths]

    def line(texts: Sequence[str]) -> str:
        places = zip(texts, widths, table.headings, strict=True)
        padded = [
            text.ljust(width) if head.kind == "words" else text.rjust(width) for text, width, head in places
        ]
        return "  ".join(padded).rstrip()

    found = [one_line(table.title), line(heads), line(rules)]
    group = ""
    for row, texts in zip(table.rows, lines, strict=True):
        if row.group and row.group != group:
            found.append(f"[{one_line(row.group)}]")
        group = row.group
        found.append(line(texts))
    found += [f"({place}) {one_line(note)}" for place, note in enumerate(table.notes, 1)]
    found += [one_line(table.remark)] if table.remark else []
    return "\n".join(found)


def _plain(cell: Cell) -> str:
    text = MARKS.get(cell.text, cell.text) if cell.mark else one_line(cell.text)
    star = "*" if cell.best else ""
    interval = f" {cell.interval}" if cell.interval else ""
    return f"{text}{star}{interval}{_brackets(cell.notes)}"


def _brackets(notes: Sequence[int]) -> str:
    return f" ({','.join(map(str, notes))})" if notes else ""
