import pytest
import torch

from diff4splat.pictures import contact_sheet, stack_pictures, text_size_for

WORDS = ["<script>alert(1)</script>", "雨 ä \n x", "a very long label " * 50, ""]


def pictures(rows: int, columns: int, height: int, width: int, dtype=torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(rows, columns, 3, height, width, generator=generator, dtype=dtype)


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(1, 1, 1, 1), (2, 3, 5, 7), (4, 1, 31, 13), (1, 5, 13, 47), (3, 2, 97, 53)],
)
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("words", [False, True])
def test_every_picture_is_where_the_equation_says_bit_for_bit(rows, columns, height, width, gap, words):
    frames = pictures(rows, columns, height, width) * 3 - 1  # also values that are no colours
    labels = {"row_labels": WORDS[:rows], "column_labels": (WORDS * 2)[:columns], "title": WORDS[2]}
    sheet = contact_sheet(frames, gap=gap, **(labels if words else {}))
    covered = torch.zeros(sheet.shape[1:], dtype=torch.bool)
    for row in range(rows):
        for column in range(columns):
            top = sheet.shape[1] - (rows - row) * (height + gap)
            left = sheet.shape[2] - (columns - column) * (width + gap)
            place = slice(top, top + height), slice(left, left + width)
            assert torch.equal(sheet[:, place[0], place[1]], frames[row, column])
            covered[place] = True
    if not words:
        assert sheet.shape == (3, rows * (height + gap) + gap, columns * (width + gap) + gap)
        assert (sheet[:, ~covered] == 1).all()


def test_words_stand_beside_their_pictures():
    frames = torch.ones(2, 3, 3, 41, 59)
    plain = contact_sheet(frames, row_labels=["", ""], column_labels=[""] * 3)
    assert (plain == 1).all()

    def ink(**labels) -> torch.Tensor:
        words = {"row_labels": ["", ""], "column_labels": [""] * 3} | labels
        return (contact_sheet(frames, **words) < 0.5).any(dim=0).nonzero()

    height, width = plain.shape[1:]
    second = ink(row_labels=["", "two"])
    assert second[:, 1].max() < width - 3 * (59 + 4)  # left of all pictures
    assert second[:, 0].min() >= height - 45 and second[:, 0].max() < height - 4  # beside the second row
    middle = ink(column_labels=["", "mid", ""])
    assert middle[:, 0].max() < height - 2 * (41 + 4)  # above all pictures
    left = width - 2 * (59 + 4)
    assert middle[:, 1].min() >= left and middle[:, 1].max() < left + 59
    center = (middle[:, 1].min() + middle[:, 1].max()) / 2
    assert abs(center - (left + 29.5)) <= 2


def test_row_labels_are_read_upwards():
    # an L has its foot at the right of its stem: read upwards, the foot is above the stem's end
    frames = torch.ones(1, 1, 3, 61, 61)
    found = (contact_sheet(frames, row_labels=["L"], text_size=24) < 0.5).any(dim=0).nonzero()
    box = found[:, 0].max() - found[:, 0].min(), found[:, 1].max() - found[:, 1].min()
    assert box[1] > box[0]  # lies on its side
    stem_row = found[:, 0].bincount().argmax()
    assert stem_row > found[:, 0].max() - 4  # the stem is below, the foot stands up at its right end
    foot = found[found[:, 1] == found[:, 1].max()]
    assert len(foot) > (found[:, 1] == found[:, 1].min()).sum()


def test_lists_may_have_empty_places_and_short_rows():
    first, second = pictures(1, 2, 5, 7)[0]
    sheet = contact_sheet([[first, None, second], [None], [second]], gap=2, background=(0.2, 0.4, 0.6))
    assert sheet.shape == (3, 3 * 7 + 2, 3 * 9 + 2)
    assert torch.equal(sheet[:, 2:7, 20:27], second) and torch.equal(sheet[:, 16:21, 2:9], second)
    empty = sheet[:, 9:14, 2:27]
    assert (empty == torch.tensor([0.2, 0.4, 0.6])[:, None, None]).all()


def test_words_are_white_on_dark():
    sheet = contact_sheet(torch.zeros(1, 1, 3, 31, 61), column_labels=["time"], background=(0, 0, 0))
    assert sheet.max() > 0.9


def test_type_and_gradient():
    frames = pictures(1, 2, 5, 7, torch.float64).requires_grad_()
    sheet = contact_sheet(frames, title="a")
    assert sheet.dtype == torch.float64 and not sheet.requires_grad


@pytest.mark.usefixtures("without_shape_checker")
def test_errors():
    frames = pictures(2, 3, 5, 7)
    with pytest.raises(ValueError, match=r"without batch axes, got \[1, 2, 3, 3, 5, 7\]"):
        contact_sheet(frames[None])
    with pytest.raises(ValueError, match=r"without batch axes, got \[3, 3, 5, 7\]"):
        contact_sheet(frames[0])
    with pytest.raises(ValueError, match="at least one picture, got none"):
        contact_sheet([[None], []])
    with pytest.raises(ValueError, match=r"of one size, got \[3, 5, 7\] and \[3, 5, 6\]"):
        contact_sheet([[frames[0, 0], frames[0, 0, :, :, 1:]]])
    with pytest.raises(ValueError, match=r"of one size, got \[1, 5, 7\]"):
        contact_sheet([[frames[0, 0, :1]]])
    with pytest.raises(ValueError, match=r"row_labels must hold one line per row \(2\) or none, got 1"):
        contact_sheet(frames, row_labels=["a"])
    with pytest.raises(ValueError, match=r"column_labels must hold one line per column \(3\) or none, got 2"):
        contact_sheet(frames, column_labels=["a", "b"])
    with pytest.raises(ValueError, match="gap must be at least 0 pixels, got -1"):
        contact_sheet(frames, gap=-1)


def test_stacks_of_any_sizes():
    one, two = torch.zeros(3, 5, 7), torch.full((3, 2, 11), 0.5)
    below = stack_pictures([one, two], gap=3)
    assert below.shape == (3, 10, 11)
    assert (below[:, :5, :7] == 0).all() and (below[:, 8:] == 0.5).all()
    assert (below[:, :5, 7:] == 1).all() and (below[:, 5:8] == 1).all()
    beside = stack_pictures([one, two], across=True)
    assert beside.shape == (3, 5, 18) and (beside[:, :2, 7:] == 0.5).all() and (beside[:, 2:, 7:] == 1).all()
    with pytest.raises(ValueError, match="at least one picture"):
        stack_pictures([])


def test_size_of_letters_grows_with_the_pictures_within_limits():
    assert [text_size_for(1, 1), text_size_for(300, 900), text_size_for(9000, 9000)] == [11, 15, 24]
