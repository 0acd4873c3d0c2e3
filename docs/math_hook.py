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
    latex = html.unescape(match["latex"]).strip()
    if match["tag"] == "span":
        return convert(latex, display="inline")
    return f'<div class="formula">{convert(latex, display="block")}</div>'
