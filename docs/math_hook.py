"""MkDocs hook: formulas become MathML while the pages are built, so that reading them loads nothing."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[\(\[](?P<latex>.*?)\\[\)\]]</(?P=tag)>', flags=re.DOTALL
)


def on_post_page(output: str, **_: Any) -> str:
    """Page with each `arithmatex` element replaced by MathML."""
    return _FORMULA.sub(_mathml, output)


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match["tag"] == "div" else "inline"
    return convert(html.unescape(match["latex"]).strip(), display=display)
