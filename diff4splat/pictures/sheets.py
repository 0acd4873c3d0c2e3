"""Pictures of one size in rows and columns, with words beside and above them."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from diff4splat.pictures.words import draw_words, fit_words, line_height, word_width

__all__ = ["contact_sheet", "stack_pictures", "text_size_for"]

Color = tuple[int | float, int | float, int | float]
Cells = Float[Tensor, "row column rgb=3 height width"] | Sequence[Sequence[Tensor | None]]


def contact_sheet(
    frames: Cells,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    gap: int = 4,
    background: Color = (1.0, 1.0, 1.0),
    text_size: int | None = None,
) -> Float[Tensor, "rgb=3 sheet_height sheet_width"]:
    r"""Pictures in rows and columns, each as it is; words stand beside them and cover none.

    In a sheet of $H$ x $W$ pixels with $R$ rows and $C$ columns of pictures of $h$ x $w$, the upper left
    pixel of picture $(r, c)$ is

    $$(H - (R - r)(h + g), \; W - (C - c)(w + g))$$

    with $g$ = `gap`, which also runs around the sheet. Words that are too long end in an ellipsis.

    Args:
        frames: Pictures of one size, sRGB in [0, 1]; in a list of rows, None is an empty place, and rows may
            end early.
        row_labels: Words left of each row, read upwards; none when empty.
        column_labels: Words above each column; none when empty.
        title: Line above everything.
        gap: Pixels between pictures and around them.
        background: Colour between the pictures, sRGB; words are black or white, whichever is seen.
        text_size: Size of the letters, 6 to 200 pixels; fitting to the pictures when omitted.

    Returns:
        The sheet, in the type and on the device of the pictures.

    Raises:
        ValueError: If there is no picture, they differ in size, there are batch axes, or the number of labels
            is another than that of rows or columns.

    Examples:
        >>> import torch
        >>> sheet = contact_sheet(torch.zeros(2, 3, 3, 20, 30), gap=2)
        >>> sheet.shape
        torch.Size([3, 46, 98])
    """
    rows, columns, first = _checked(frames, gap)
    for name, labels, count in (("row", row_labels, len(rows)), ("column", column_labels, columns)):
        if len(labels) not in (0, count):
            raise ValueError(
                f"{name}_labels must hold one line per {name} ({count}) or none, got {len(labels)}."
            )
    height, width = first.shape[-2:]
    size = text_size_for(height, width) if text_size is None else text_size
    line = line_height(size)
    grid_height, grid_width = len(rows) * (height + gap), columns * (width + gap)
    left = gap + (line + gap) * bool(row_labels)
    above = gap + (line + gap) * bool(column_labels)
    heading = (line_height(size + 2) + gap) * bool(title)
    sheet = first.new_empty(3, heading + above + grid_height, left + grid_width)
    sheet[:] = sheet.new_tensor(background)[:, None, None]
    ink: Color = (0.0, 0.0, 0.0) if sum(background) > 1.2 else (1.0, 1.0, 1.0)

    if title:
        words = fit_words(title, size + 2, sheet.shape[2] - 2 * gap)
        draw_words(sheet, words, left=left, top=gap, size=size + 2, color=ink)
    for index, label in enumerate(column_labels):
        words = fit_words(label, size, width)
        start = left + index * (width + gap) + (width - word_width(words, size)) // 2
        draw_words(sheet, words, left=start, top=heading + gap, size=size, color=ink)
    turned = sheet.rot90(-1, (1, 2))  # what is drawn from left to right there is read upwards here
    for index, label in enumerate(row_labels):
        words = fit_words(label, size, height)
        top = heading + above + index * (height + gap)
        start = sheet.shape[1] - top - height + (height - word_width(words, size)) // 2
        draw_words(turned, words, left=start, top=gap, size=size, color=ink)
    if row_labels:
        sheet = turned.rot90(1, (1, 2)).contiguous()
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            if picture is not None:
                top, start = heading + above + row * (height + gap), left + column * (width + gap)
                sheet[:, top : top + height, start : start + width] = picture
    return sheet


def stack_pictures(
    pictures: Sequence[Float[Tensor, "rgb=3 _ _"]],
    *,
    across: bool = False,
    gap: int = 0,
    background: Color = (1.0, 1.0, 1.0),
) -> Float[Tensor, "rgb=3 height width"]:
    """Pictures of any sizes below each other, or side by side, from the left or the top.

    Args:
        pictures: sRGB in [0, 1].
        across: Side by side.
        gap: Pixels between them.
        background: Colour between them, and beside those that are smaller.

    Returns:
        One picture.

    Raises:
        ValueError: If there are none.
    """
    if not pictures:
        raise ValueError("pictures must hold at least one picture, got none.")
    along, beside = (2, 1) if across else (1, 2)
    length = sum(picture.shape[along] for picture in pictures) + gap * (len(pictures) - 1)
    breadth = max(picture.shape[beside] for picture in pictures)
    stacked = pictures[0].new_empty((3, breadth, length) if across else (3, length, breadth))
    stacked[:] = stacked.new_tensor(background)[:, None, None]
    start = 0
    for picture in pictures:
        place = stacked.narrow(along, start, picture.shape[along])
        place.narrow(beside, 0, picture.shape[beside]).copy_(picture)
        start += picture.shape[along] + gap
    return stacked


def text_size_for(height: int, width: int) -> int:
    """Size of letters that can be read beside pictures of some size, and do not outweigh them.

    Args:
        height: Rows of the pictures.
        width: Columns of the pictures.

    Returns:
        From 11 to 24 pixels.
    """
    return min(max(round(0.05 * min(height, width)), 11), 24)


def _checked(frames: Cells, gap: int) -> tuple[list[list[Tensor | None]], int, Tensor]:
    """Rows of pictures, the length of the longest, and one picture."""
    if isinstance(frames, Tensor) and frames.ndim != 5:
        raise ValueError(
            "frames must have shape [row, column, 3, height, width] without batch axes, "
            f"got {list(frames.shape)}."
        )
    rows: list[list[Tensor | None]] = [
        [None if picture is None else picture.detach() for picture in row] for row in frames
    ]
    found = [picture for row in rows for picture in row if picture is not None]
    if not found:
        raise ValueError("frames must hold at least one picture, got none.")
    shape = found[0].shape
    for picture in found:
        if picture.ndim != 3 or len(picture) != 3 or picture.shape != shape or 0 in picture.shape:
            raise ValueError(
                f"frames must be pictures [3, height, width] of one size, got {list(shape)} "
                f"and {list(picture.shape)}."
            )
    if gap < 0:
        raise ValueError(f"gap must be at least 0 pixels, got {gap}.")
    return rows, max(len(row) for row in rows), found[0]
