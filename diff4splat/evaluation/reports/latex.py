"""Reports in LaTeX: tables with booktabs and nothing else, in a document that any LaTeX compiles."""

import re
import textwrap
import unicodedata
from collections.abc import Sequence

from diff4splat.evaluation.reports.document import Document, Section
from diff4splat.evaluation.reports.table import Cell, Heading, ReportTable, one_line

__all__ = ["escape_latex", "latex_table", "latex_text"]

_PREAMBLE = r"""\documentclass[a4paper,landscape]{article}
% booktabs draws better lines; without it there are plain ones
\IfFileExists{booktabs.sty}{\usepackage{booktabs}}{%
  \let\toprule\hline \let\midrule\hline \let\bottomrule\hline}
\ifdefined\pdfpagewidth \pdfpagewidth=\paperwidth \pdfpageheight=\paperheight \fi
\setlength{\textwidth}{26cm} \setlength{\oddsidemargin}{-0.7cm} \setlength{\evensidemargin}{-0.7cm}
\setlength{\textheight}{16.5cm} \setlength{\topmargin}{-1.2cm} \setlength{\parindent}{0pt}
\setlength{\parskip}{4pt} \setlength{\tabcolsep}{4pt} \sloppy
\begin{document}"""
_SPECIAL = {
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}"},
    **{'"': r"\char34{}", "'": "{'}", "`": r"\char96{}", "-": "-{}"},
    **{"±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "−": "$-$", "·": r"$\cdot$", "°": r"$^\circ$"},
    **{"²": "$^2$", "³": "$^3$", "µ": r"$\mu$", "μ": r"$\mu$", "√": r"$\surd$", "∞": r"$\infty$"},
    **{"≤": r"$\le$", "≥": r"$\ge$", "≈": r"$\approx$", "→": r"$\to$", "←": r"$\gets$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "✓": r"$\surd$", "✗": r"$\times$"},
    **{"–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}"},
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "œ": r"\oe{}"},
    **{"Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}", "†": r"\dag{}", "§": r"\S{}", "©": r"\copyright{}"},
}
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u"},
    **{"\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}
_LONG = 44  # letters of a cell that get a column with several lines
_WIDTH_CM = 26.0
_HEADING = 16  # letters of a line of a heading
_MANY = 8  # columns beyond which letters are smaller
_MARKS = {"yes": r"$\surd$", "no": r"$\times$"}


def latex_text(document: Document) -> str:
    """A report as a LaTeX document, without its figures.

    Args:
        document: What to show.

    Returns:
        A document that compiles with pdflatex, also where booktabs is missing.
    """
    lines = [_PREAMBLE, rf"\section*{{{escape_latex(document.title)}}}", escape_latex(document.sentence), ""]
    for section in (item for item in document.sections if item.has_text):
        lines += _section(section)
    return "\n".join([*lines, r"\end{document}"]) + "\n"


def latex_table(table: ReportTable) -> str:
    """A table in LaTeX, to be put into any document that loads booktabs.

    Args:
        table: What to show.

    Returns:
        A group with the title, a `tabular`, and the footnotes.
    """
    heads = list(map(_heading, table.headings))
    lines = [
        r"{\footnotesize" if len(heads) > _MANY else r"{\small",
        rf"\textbf{{{escape_latex(table.title)}}}\par\nobreak\smallskip\nobreak",
        rf"\begin{{tabular}}{{{_columns(table)}}}",
        r"\toprule",
        rf"{{}}{' & '.join(heads)} \\",
        r"\midrule",
    ]
    group = ""
    for row in table.rows:
        if row.group and row.group != group:
            lines += [r"\midrule"] if group else []
            words = escape_latex(row.group)
            lines.append(rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{words}}}}} \\")
        group = row.group
        # The braces keep a cell that begins with a star from being read as an option of the line break.
        lines.append(rf"{{}}{' & '.join(map(_cell, row.cells))} \\")
    lines += [r"\bottomrule", r"\end{tabular}\par"]
    for place, note in enumerate(table.notes, 1):
        lines.append(rf"{{\footnotesize $^{{{place}}}$ {escape_latex(note)}\par}}")
    if table.remark:
        lines.append(rf"{{\footnotesize {escape_latex(table.remark)}\par}}")
    return "\n".join([*lines, "}"])


def escape_latex(text: str) -> str:
    r"""Any text as one line of LaTeX that shows it as it is.

    Letters that pdflatex has in no font are shown by their number, such as [U+4E2D]. Long words may be
    broken.

    Args:
        text: Any text.

    Returns:
        LaTeX without commands of the text.

    Examples:
        >>> print(escape_latex(r"50 % of \input{x}_1"))
        50 \% of \textbackslash{}input\{x\}\_1
    """
    return " ".join(_word(word) for word in one_line(text).split(" "))


def _section(section: Section) -> list[str]:
    lines = [rf"\subsection*{{{escape_latex(section.title)}}}"]
    for text in section.paragraphs:
        lines += [escape_latex(text), ""]
    if section.items:
        items = [rf"\item {{}}{escape_latex(text)}" for text in section.items]
        lines += [r"\begin{itemize}", *items, r"\end{itemize}"]
    if section.code:
        code = r"\\".join(rf"{{}}{escape_latex(line)}" for line in section.code.splitlines())
        lines += [rf"{{\ttfamily\raggedright {code}\par}}"]
    for table in section.tables:
        lines += [latex_table(table), r"\bigskip", ""]
    return lines


def _heading(item: Heading) -> str:
    """Words of a heading in short lines."""
    lines = [escape_latex(line) for line in textwrap.wrap(one_line(item.words), _HEADING) or [""]]
    side = "r" if item.kind == "number" else "l"
    stacked = r" \\ {}".join([*lines[:-1], f"{lines[-1]}{_raised(item.notes)}"])
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{{}}{stacked}\end{{tabular}}"


def _columns(table: ReportTable) -> str:
    """Kinds of columns: long words get lines that break, of all columns' equal share of the page."""
    kinds = []
    for place, head in enumerate(table.headings):
        longest = max((len(row.cells[place].text) for row in table.rows), default=0)
        width = min(_WIDTH_CM / len(table.headings), 9.0)
        long = rf"p{{{width:.1f}cm}}"
        kinds.append("r" if head.kind == "number" else long if longest > _LONG else "l")
    return "".join(kinds)


def _cell(cell: Cell) -> str:
    text = _MARKS.get(cell.text, "") if cell.mark else escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    interval = rf" {{\scriptsize {escape_latex(cell.interval)}}}" if cell.interval else ""
    return f"{text}{interval}{_raised(cell.notes)}"


def _raised(notes: Sequence[int]) -> str:
    return f"$^{{{','.join(map(str, notes))}}}$" if notes else ""


def _word(word: str) -> str:
    """A word with places where it may be broken, if it is too long for a line of a table."""
    if len(word) <= 24:
        return "".join(map(_letter, word))
    return r"\hspace{0pt}".join("".join(map(_letter, part)) for part in re.findall(".{1,12}", word))


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter.isascii():
        return letter
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        base = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return rf"\{_ACCENTS[parts[1]]}{{{base}}}"
    return rf"{{[}}U+{ord(letter):04X}{{]}}\hspace{{0pt}}"
