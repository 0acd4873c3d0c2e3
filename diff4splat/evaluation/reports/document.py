"""A report before it is Markdown, LaTeX or a page: titles, words, tables and figures in order."""

from dataclasses import dataclass
from typing import Literal

from diff4splat.evaluation.reports.table import ReportTable

__all__ = ["Document", "Drawing", "Picture", "Section"]


@dataclass(frozen=True)
class Drawing:
    """A drawing, which only pages show.

    Args:
        caption: Words above it.
        markup: HTML or SVG that is put into the page as it is; made by `plots`, never from outside.
        wide: Whether it takes the whole width of the page.
    """

    caption: str
    markup: str
    wide: bool = False


@dataclass(frozen=True)
class Picture:
    """Pictures below each other, which only pages show.

    Args:
        caption: Words above them.
        strips: What each of them shows, and the picture as a JPEG file.
    """

    caption: str
    strips: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Section:
    """Part of a report.

    Args:
        title: Its heading.
        kind: "warning" for what has to be read first.
        paragraphs: Words.
        items: Words as a list.
        code: Lines of a command; empty for none.
        tables: Tables.
        figures: Drawings and pictures.
    """

    title: str
    kind: Literal["", "warning"] = ""
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    code: str = ""
    tables: tuple[ReportTable, ...] = ()
    figures: tuple[Drawing | Picture, ...] = ()

    @property
    def has_text(self) -> bool:
        """Whether anything is left without the figures; words beside figures alone are about them."""
        return bool(self.items or self.code or self.tables or not self.figures)


@dataclass(frozen=True)
class Document:
    """A report.

    Args:
        title: Its heading.
        sentence: What it is, below the heading.
        sections: Its parts in order.
    """

    title: str
    sentence: str
    sections: tuple[Section, ...]
