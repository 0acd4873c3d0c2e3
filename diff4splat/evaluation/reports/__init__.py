"""Reports of evaluation: the paper's tables, Markdown, LaTeX and pages, of one method and of two."""

from diff4splat.evaluation.protocol.scores import CAPABILITIES
from diff4splat.evaluation.reports.comparison_report import comparison_document, write_comparison
from diff4splat.evaluation.reports.document import Document, Drawing, Picture, Section
from diff4splat.evaluation.reports.evaluation_report import evaluation_document, write_document, write_report
from diff4splat.evaluation.reports.film_strips import film_strip
from diff4splat.evaluation.reports.held_out_section import held_out_section
from diff4splat.evaluation.reports.latex import escape_latex, latex_table, latex_text
from diff4splat.evaluation.reports.markdown import escape_markdown, markdown_table, markdown_text
from diff4splat.evaluation.reports.page import page_html
from diff4splat.evaluation.reports.paper_tables import paper_tables
from diff4splat.evaluation.reports.published import (
    PUBLISHED_TABLES,
    PublishedColumn,
    PublishedRow,
    PublishedTable,
)
from diff4splat.evaluation.reports.table import Cell, Heading, ReportTable, TableRow
from diff4splat.evaluation.reports.terminal import table_text, terminal_text

__all__ = [
    "CAPABILITIES",
    "Cell",
    "Document",
    "Drawing",
    "Heading",
    "PUBLISHED_TABLES",
    "Picture",
    "PublishedColumn",
    "PublishedRow",
    "PublishedTable",
    "ReportTable",
    "Section",
    "TableRow",
    "comparison_document",
    "escape_latex",
    "escape_markdown",
    "evaluation_document",
    "film_strip",
    "held_out_section",
    "latex_table",
    "latex_text",
    "markdown_table",
    "markdown_text",
    "page_html",
    "paper_tables",
    "table_text",
    "terminal_text",
    "write_comparison",
    "write_document",
    "write_report",
]
