"""Titles and facts about a scene as text that any page can hold."""

import json
import re
from typing import Any

__all__ = ["shown_text"]

_NOT_IN_PAGES = re.compile("[\0\ud800-\udfff]")  # not in HTML; halves of a pair of UTF-16: not in UTF-8


def shown_text(value: Any) -> str:
    r"""A value of a scene's metadata as a reader would write it; never markup, always encodable.

    Args:
        value: Any value; what is no text is written as JSON.

    Returns:
        The text, with a replacement character for each that no page can hold.

    Examples:
        >>> shown_text("a <b>"), shown_text({"seed": 7}), shown_text("half \udcff") == "half \ufffd"
        ('a <b>', '{"seed": 7}', True)
    """
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return _NOT_IN_PAGES.sub("\ufffd", text)
