import pytest
import torch

from diff4splat.pictures.words import (
    draw_words,
    fit_words,
    line_height,
    plain_words,
    word_mask,
    word_width,
)


@pytest.mark.parametrize("size", [6, 11, 17, 24, 53])
def test_masks_have_the_size_that_is_said_and_letters_grow(size):
    mask = word_mask("Agj|", size)
    assert mask.shape == (line_height(size), word_width("Agj|", size))
    assert mask.min() == 0 and mask.max() > 0.6
    assert size <= line_height(size) <= 2 * size
    assert (mask[:, 0] == 0).all() and (mask[:, -1] == 0).all()  # nothing is cut off at the sides


def test_no_words_are_no_columns():
    assert word_width("", 11) == word_width(" \n\t", 11) == 0 and word_mask("", 11).shape[1] == 0


def test_any_text_survives_in_one_line():
    assert plain_words("a\nb\tc\x00d\u200be") == "a b cde"
    assert plain_words("café Ä") == "cafe A"  # the font has no accents
    assert plain_words("<b>&amp;</b>") == "<b>&amp;</b>"
    assert plain_words("雨 \ud83d") == "\ufffd \ufffd"
    assert len(plain_words("x" * 10**6)) == 400
    assert word_mask("雨 \ud83d 😀 <script>", 13).sum() > 0


@pytest.mark.parametrize("width", [0, 3, 17, 61, 113, 500])
def test_words_that_fit_are_kept_and_others_end_in_an_ellipsis(width):
    text = "a label that is long"
    fitted = fit_words(text, 13, width)
    assert word_width(fitted, 13) <= width
    if word_width(text, 13) <= width:
        assert fitted == text
    else:
        assert fitted == "" or (fitted.endswith("…") and text.startswith(fitted[:-1]))
        prefixes = (text[:count].rstrip() for count in range(len(text)))
        longer = next(prefix for prefix in prefixes if len(prefix) >= max(len(fitted), 1)) + "…"
        assert word_width(longer if fitted else "…", 13) > width


def test_words_are_drawn_where_they_are_put_and_cut_at_the_border():
    picture = torch.ones(3, 40, 60)
    draw_words(picture, "Hi", left=7, top=11, size=13)
    mask = word_mask("Hi", 13)
    inside = picture[:, 11 : 11 + len(mask), 7 : 7 + mask.shape[1]]
    torch.testing.assert_close(inside, (1 - mask).expand(3, -1, -1))
    picture[:, 11 : 11 + len(mask), 7 : 7 + mask.shape[1]] = 1
    assert (picture == 1).all()
    small = torch.ones(3, 9, 5)
    draw_words(small, "Hi", left=-3, top=-4, size=13)
    torch.testing.assert_close(small, (1 - mask[4:13, 3:8]).expand(3, -1, -1))
    draw_words(small, "Hi", left=100, top=0, size=13)
    draw_words(small, "Hi", left=0, top=-100, size=13)


@pytest.mark.parametrize("size", [5, 201])
def test_sizes_that_are_refused(size):
    with pytest.raises(ValueError, match=f"size must be from 6 to 200 pixels, got {size}"):
        word_mask("a", size)
