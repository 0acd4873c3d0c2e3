"""Tables as text, Markdown, LaTeX and HTML: every number as printed, and any name as it is."""

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest

from diff4splat.evaluation.protocol import EvaluationSummary
from diff4splat.evaluation.reports import (
    PUBLISHED_TABLES,
    Cell,
    Document,
    Heading,
    ReportTable,
    Section,
    TableRow,
    escape_latex,
    escape_markdown,
    latex_table,
    latex_text,
    markdown_table,
    markdown_text,
    page_html,
    paper_tables,
    table_text,
    terminal_text,
)
from diff4splat.evaluation.reports.table import number_text

HOSTILE = [
    r"\input{/etc/hostname} \end{document}",
    "50 % of $x_1^2$ & #3 ~ {a}",
    "<script>alert('1')</script> & \"quoted\" &amp;",
    "a|b | *bold* _under_ `code` [link](x) # ~~gone~~",
    "* star", "[2cm] option", "| pipe", "-- dashes ---", "1. one", "{{title}}",
    "ünïcødé Šč ñ ß 中文 😀 ± × → ²",
    "x" * 200,
]  # fmt: skip


def texts(page: str) -> str:
    """All text of HTML, as one line."""

    class Words(HTMLParser):
        found: list[str] = []

        def handle_data(self, data: str) -> None:
            self.found.append(data)

    parser = Words()
    parser.found = []
    parser.feed(page)
    return " ".join("".join(parser.found).split())


def one_table(*names: str) -> ReportTable:
    rows = tuple(TableRow((Cell(name, notes=(1,)), Cell(name, "[1.0, 2.0]", best=True))) for name in names)
    headings = (Heading(names[0], kind="words"), Heading(names[-1], "lower", kind="words", notes=(1,)))
    return ReportTable(names[0], headings, rows, tuple(names), names[-1])


def one_document(*names: str) -> Document:
    tables = (one_table(*names),)
    section = Section(names[0], "warning", names, names, code="\n".join(names), tables=tables)
    return Document(names[0], names[-1], (section,))


def test_every_published_number_stands_in_every_format_as_it_was_printed() -> None:
    ours = EvaluationSummary("ours", ())
    tables = paper_tables(ours, ablations=[ours])
    document = Document("", "", (Section("Tables", tables=tables),))
    for text in (terminal_text(document), markdown_text(document), latex_text(document), page_html(document)):
        for published in PUBLISHED_TABLES:
            for row in published.rows:
                for value in row.values.values():
                    if value not in ("yes", "no"):
                        assert re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", text), value
    assert "478.192" in table_text(tables[0]) and "235.961" in latex_table(tables[0])


@pytest.mark.parametrize("name", HOSTILE)
def test_html_shows_any_name_as_it_is(name: str) -> None:
    page = page_html(one_document(name))
    shown = texts(page.partition("</style>")[2])
    # title, heading, twice in words, code, table: title, two headings, two cells, note, remark
    assert shown.count(" ".join(name.split())) >= 11
    assert "<script" not in page


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_any_name_as_it_is(name: str) -> None:
    page = markdown.markdown(markdown_table(one_table(name)), extensions=["tables"])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert len(cells) == 2 and all(texts(cell).startswith(name) for cell in cells)
    allowed = {"p", "strong", "table", "thead", "tr", "th", "tbody", "td", "ol", "li", "sup"}
    assert set(re.findall(r"<(\w+)", page)) <= allowed


def test_markdown_of_a_command_with_back_quotes_stays_one_block() -> None:
    text = markdown_text(Document("t", "", (Section("s", code="echo ```\necho ````"),)))
    assert text.endswith("`````bash\necho ```\necho ````\n`````\n")


def test_escapes_leave_plain_words_and_numbers() -> None:
    for escape in (escape_markdown, escape_latex):
        assert escape("AC3D + Shape of Motion 478.192 (5, 7): 45min") == (
            "AC3D + Shape of Motion 478.192 (5, 7): 45min"
        )
    assert escape_latex("a_b 中") == r"a\_b {[}U+4E2D{]}\hspace{0pt}"
    # Pitfall: two dashes of a command would become one long one.
    assert escape_latex("--model") == "-{}-{}model"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex, which pip cannot bring")
def test_latex_compiles_with_any_name(tmp_path: Path) -> None:
    every = "".join(chr(code) for code in range(32, 0x250))
    letters = tuple(every[start : start + 20] for start in range(0, len(every), 20))
    tables = paper_tables(EvaluationSummary(HOSTILE[0], ()), others=[EvaluationSummary(HOSTILE[1], ())])
    more = (Section("Letters", items=letters), Section("Tables", tables=tables))
    document = Document("t", "s", (*one_document(*HOSTILE).sections, *more))
    (tmp_path / "report.tex").write_text(latex_text(document), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stdout.decode(errors="replace")[-2000:]
    log = (tmp_path / "report.log").read_text(errors="replace")
    assert "Missing character" not in log and "/etc/hostname" not in log
    # No table is wider than the page.
    assert not re.search(r"Overfull \\hbox \(\d{3,}", log)


def test_text_is_aligned_and_in_one_line() -> None:
    headings = (Heading("Method", kind="words"), Heading("FVD", "lower"))
    rows = (
        TableRow((Cell("a\nb\x1b[2J"), Cell("7.5", "[1, 2]", (1,), best=True))),
        TableRow((Cell("c"), Cell("-"))),
    )
    lines = table_text(ReportTable("T", headings, rows, ("why",))).splitlines()
    # Pitfall: control characters of a name would reach the terminal.
    assert lines == [
        "T",
        "Method             FVD ↓",
        "-------  ---------------",
        "a b\ufffd[2J  7.5* [1, 2] (1)",
        "c                      -",
        "(1) why",
    ]


def test_numbers() -> None:
    values = [(math.nan, "-"), (math.inf, "inf"), (-math.inf, "-inf"), (-0.0001, "0.00"), (2.345, "2.35")]
    assert [number_text(value, 2) for value, _ in values] == [text for _, text in values]


def test_marks_and_groups_in_every_format() -> None:
    headings = (Heading("Method", kind="words"), Heading("Depth"))
    rows = (
        TableRow((Cell("a"), Cell("yes", mark=True)), group="G"),
        TableRow((Cell("b"), Cell("no", mark=True)), group="G"),
        TableRow((Cell("c"), Cell("yes")), group="H", measured=True),
    )
    table = ReportTable("T", headings, rows)
    assert [table_text(table).count(word) for word in ("✓", "✗", "yes", "[G]", "[H]")] == [1, 1, 1, 1, 1]
    assert [markdown_table(table).count(word) for word in ("✓", "✗", "yes", "*G*", "*H*")] == [1, 1, 1, 1, 1]
    latex = latex_table(table)
    assert [latex.count(word) for word in (r"$\surd$", r"$\times$", "yes", r"\textit{G}")] == [1, 1, 1, 1]
    page = page_html(Document("", "", (Section("", tables=(table,)),)))
    assert [page.count(word) for word in (">✓<", ">✗<", ">yes<", ">G<", '<tr class="measured">')] == [1] * 5


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows\[0\] of 'T' must have 2 cells, got 1"):
        ReportTable("T", (Heading("a"), Heading("b")), (TableRow((Cell("1"),)),))
