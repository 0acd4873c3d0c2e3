"""Reports in Markdown, with tables as GitHub and MkDocs know them."""

import re
from collections.abc import Sequence

from diff4splat.evaluation.reports.document import Document, Section
from diff4splat.evaluation.reports.table import MARKS, Cell, ReportTable, one_line

__all__ = ["escape_markdown", "markdown_table", "markdown_text"]

_ESCAPED = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "\\`*_[]#"},
        **{"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "~": "&#126;", "$": "&#36;"},
    }
)


def markdown_text(document: Document) -> str:
    """A report as Markdown, without its figures.

    Args:
        document: What to show.

    Returns:
        A Markdown document.
    """
    blocks = [f"# {escape_markdown(document.title)}", escape_markdown(document.sentence)]
    for section in (item for item in document.sections if item.has_text):
        blocks += _section(section)
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_table(table: ReportTable) -> str:
    """A table in Markdown: a title in bold, the table, and a list of footnotes.

    Args:
        table: What to show.

    Returns:
        Lines, without an end of line after the last.
    """
    heads = [f"{escape_markdown(item.words)}{_raised(item.notes)}" for item in table.headings]
    lines = [_line(heads), _line([":--" if item.kind == "words" else "--:" for item in table.headings])]
    group = ""
    for row in table.rows:
        if row.group and row.group != group:
            lines.append(_line([f"*{escape_markdown(row.group)}*", *[""] * (len(heads) - 1)]))
        group = row.group
        lines.append(_line([_cell(cell) for cell in row.cells]))
    notes = [f"{place}. {escape_markdown(note)}" for place, note in enumerate(table.notes, 1)]
    blocks = [f"**{escape_markdown(table.title)}**", "\n".join(lines), "\n".join(notes)]
    blocks.append(escape_markdown(table.remark))
    return "\n\n".join(block for block in blocks if block)


def escape_markdown(text: str) -> str:
    r"""Any text as one line of Markdown that shows it as it is, also in a cell of a table.

    Args:
        text: Any text.

    Returns:
        Markdown without markup.

    Examples:
        >>> print(escape_markdown("a|b *c* <d>"))
        a&#124;b \*c\* &lt;d&gt;
    """
    return one_line(text).translate(_ESCAPED)


def _section(section: Section) -> list[str]:
    blocks = [f"## {escape_markdown(section.title)}"]
    blocks += [escape_markdown(text) for text in section.paragraphs]
    blocks.append("\n".join(f"- {escape_markdown(text)}" for text in section.items))
    if section.code:
        longest = max((len(run) for run in re.findall("`+", section.code)), default=0)
        fence = "`" * max(longest + 1, 3)
        lines = "\n".join(one_line(line) for line in section.code.splitlines())
        blocks.append(f"{fence}bash\n{lines}\n{fence}")
    return [*blocks, *map(markdown_table, section.tables)]


def _cell(cell: Cell) -> str:
    text = MARKS.get(cell.text, cell.text) if cell.mark else escape_markdown(cell.text)
    text = f"**{text}**" if cell.best else text
    interval = f" {escape_markdown(cell.interval)}" if cell.interval else ""
    return f"{text}{interval}{_raised(cell.notes)}"


def _raised(notes: Sequence[int]) -> str:
    return f"<sup>{','.join(map(str, notes))}</sup>" if notes else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
