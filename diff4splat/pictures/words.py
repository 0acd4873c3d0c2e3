"""Words on pictures, in the font that comes with Pillow: the same on every machine."""

import math
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["draw_words", "fit_words", "line_height", "plain_words", "word_mask", "word_width"]

_LONGEST = 400  # characters; no picture is wide enough for more
_SMALLEST, _LARGEST = 6, 200
_FINE = 4  # letters are drawn so much larger and made small: their distances are then not whole pixels
_NO_CHARACTER = "\uffff"


def line_height(size: int) -> int:
    """Rows of one line of words, from the top of the highest letter to the foot of the lowest.

    Args:
        size: Size of the letters, pixels.

    Returns:
        Pixels.
    """
    return sum(_metrics(size))


def word_width(text: str, size: int) -> int:
    """Columns that words take in one line.

    Args:
        text: Any words; they are made plain first.
        size: Size of the letters, pixels.

    Returns:
        Pixels; 0 for no words.
    """
    plain = plain_words(text, size)
    return math.ceil(_font(size).getlength(plain) / _FINE) + 2 if plain else 0


def plain_words(text: str, size: int = 16) -> str:
    """Words in one line, in letters that the font has where it has something close.

    Line breaks and other control characters become spaces, and letters lose the accents that the font has
    not; what it has nothing for is drawn as an empty box. Nothing is read as markup.

    Args:
        text: Any words.
        size: Size of the letters, pixels.

    Returns:
        At most 400 characters.
    """
    known = []
    for letter in unicodedata.normalize("NFC", " ".join(text[: 4 * _LONGEST].split()))[:_LONGEST]:
        if unicodedata.category(letter) in ("Cc", "Cf", "Mn"):
            continue
        if _is_drawn(letter, size):
            known.append(letter)
            continue
        bare = [c for c in unicodedata.normalize("NFKD", letter) if unicodedata.category(c) != "Mn"]
        known.extend(bare if bare and all(_is_drawn(c, size) for c in bare) else ["\ufffd"])
    return "".join(known)


def fit_words(text: str, size: int, width: int) -> str:
    """As many of the words as fit, with an ellipsis where some are left out.

    Args:
        text: Any words.
        size: Size of the letters, pixels.
        width: Columns that there are.

    Returns:
        Plain words; empty if not even the ellipsis fits.
    """
    plain = plain_words(text, size)
    if word_width(plain, size) <= width:
        return plain
    kept, lost = 0, len(plain)
    while lost - kept > 1:
        middle = (kept + lost) // 2
        fits = word_width(plain[:middle].rstrip() + "…", size) <= width
        kept, lost = (middle, lost) if fits else (kept, middle)
    shortened = plain[:kept].rstrip() + "…"
    return shortened if word_width(shortened, size) <= width else ""


def word_mask(text: str, size: int) -> Float[Tensor, "height width"]:
    """How much of each pixel the letters of one line cover.

    Args:
        text: Any words; they are made plain first.
        size: Size of the letters, from 6 to 200 pixels.

    Returns:
        Shares in [0, 1], float32, `line_height` rows by `word_width` columns.

    Raises:
        ValueError: If `size` is out of range.
    """
    from PIL import Image, ImageDraw

    ascent, descent = _metrics(size)
    plain = plain_words(text, size)
    width = word_width(plain, size)
    if not plain:
        return torch.zeros(ascent + descent, 0)
    canvas = Image.new("L", (_FINE * width, _FINE * (ascent + descent)))
    place = (_FINE, _FINE * ascent)
    ImageDraw.Draw(canvas).text(place, plain, fill=255, font=_font(size), anchor="ls")
    return torch.from_numpy(np.array(canvas.reduce(_FINE), dtype=np.float32) / 255)


def draw_words(
    picture: Float[Tensor, "rgb=3 height width"],
    text: str,
    *,
    left: int,
    top: int,
    size: int,
    color: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Draw one line of words into a picture, in place; what lies outside is cut off.

    Args:
        picture: Changed in place.
        text: Any words; they are made plain first.
        left: Column of the left edge of the words.
        top: Row of the upper edge of the line.
        size: Size of the letters, pixels.
        color: Of the letters, sRGB in [0, 1].
    """
    mask = word_mask(text, size)
    height, width = picture.shape[-2:]
    rows, columns = slice(max(top, 0), max(top + len(mask), 0)), slice(max(left, 0), left + mask.shape[1])
    target = picture[:, rows, columns]
    if target.numel() == 0:
        return
    above, before = max(-top, 0), max(-left, 0)
    shares = mask[above : above + target.shape[1], before : before + target.shape[2]].to(picture)
    target += shares * (picture.new_tensor(color)[:, None, None] - target)


@cache
def _font(size: int) -> "FreeTypeFont | ImageFont":
    """The font, `_FINE` times as large."""
    from PIL import ImageFont

    if not _SMALLEST <= size <= _LARGEST:
        raise ValueError(f"size must be from {_SMALLEST} to {_LARGEST} pixels, got {size}.")
    return ImageFont.load_default(_FINE * size)


@cache
def _metrics(size: int) -> tuple[int, int]:
    """Rows above and below the line that letters stand on."""
    ascent, descent = _font(size).getmetrics()  # type: ignore[union-attr]
    return math.ceil(ascent / _FINE), math.ceil(descent / _FINE)


@cache
def _is_drawn(letter: str, size: int) -> bool:
    """Whether the font has a letter, and does not draw an empty box for it."""
    font = _font(size)
    try:
        return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(_NO_CHARACTER))
    except UnicodeError:  # half of a pair of UTF-16
        return False
