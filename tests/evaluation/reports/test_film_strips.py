"""Frames beside each other: which ones, how large, and what is refused."""

import io
from typing import Any

import pytest
import torch
from PIL import Image

from diff4splat.evaluation.reports import film_strip


def grey(count: int, height: int, width: int) -> torch.Tensor:
    """Frame t has the value 20 t."""
    values = (20 * torch.arange(count)).to(torch.uint8)
    return values[:, None, None, None].expand(count, 3, height, width).contiguous()


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    picture = opened(film_strip(grey(11, 13, 17), max_frames=3))
    assert (picture.format, picture.size) == ("JPEG", (3 * 17 + 2 * 4, 13))
    found = [picture.getpixel((8 + step * 21, 6)) for step in range(3)]
    for value, wanted in zip(found, (0, 100, 200), strict=True):
        assert all(abs(part - wanted) <= 2 for part in value)  # JPEG


def test_large_frames_are_made_smaller_and_small_ones_are_left() -> None:
    assert opened(film_strip(grey(1, 300, 100), max_side=150)).size == (50, 150)
    assert opened(film_strip(grey(1, 7, 5), max_side=150)).size == (5, 7)


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        (torch.zeros(0, 3, 5, 7, dtype=torch.uint8), {}, r"got shape \[0, 3, 5, 7\]"),
        (torch.zeros(2, 3, 0, 7, dtype=torch.uint8), {}, "frames must have frames and pixels"),
        (grey(2, 5, 7), {"max_frames": 0}, "max_frames must be from 1 to 100, got 0"),
        (grey(2, 5, 7), {"max_side": 0}, "max_side must be from 1"),
        (grey(2, 5, 7), {"quality": 96}, "quality must be from 1 to 95, got 96"),
    ],
)
def test_refused(frames: torch.Tensor, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        film_strip(frames, **options)
