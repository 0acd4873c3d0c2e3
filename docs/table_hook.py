"""MkDocs hook: names in tables break between words, not within them, so that wide tables can be read."""

import re
from typing import Any

_CELL = re.compile(r"<td>.*?</td>", flags=re.DOTALL)
_CODE = re.compile(r"<code>([^<]*)</code>")
_END_OF_WORD = re.compile(r"(::|[/_]|\.(?!py|\d))(?=\w)")


def on_post_page(output: str, **_: Any) -> str:
    """Page with places to break after the words of each name in a table."""
    return _CELL.sub(lambda cell: _CODE.sub(_breakable, cell[0]), output)


def _breakable(match: re.Match[str]) -> str:
    words = _END_OF_WORD.sub(r"\1<wbr>", match[1])
    return f'<code class="breakable">{words}</code>'
