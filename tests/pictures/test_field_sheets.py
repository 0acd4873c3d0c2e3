import pytest
import torch
from pictures.scenes import looking, wall_and_ball

from diff4splat.assets import depth_limits
from diff4splat.pictures import depth_map, field_sheet
from diff4splat.pictures.words import line_height
from diff4splat.rendering import render, render_field

TIMES = [0.0, 0.3, 1.0]


def cell(sheet: torch.Tensor, row: int, column: int, rows: int, columns: int, gap: int) -> torch.Tensor:
    top, left = sheet.shape[1] - (rows - row) * (43 + gap), sheet.shape[2] - (columns - column) * (61 + gap)
    return sheet[:, top : top + 43, left : left + 61]


def test_rows_are_views_and_columns_times():
    field = wall_and_ball()
    views = {"path": looking(frames=3), "still": looking().select([0])}
    sheet = field_sheet(field, views, TIMES, gap=3)
    for column, time in enumerate(TIMES):
        seen = render(field.at(time), views["path"].select([column])).color[0]
        torch.testing.assert_close(cell(sheet, 0, column, 2, 3, 3), seen.clamp(0, 1), rtol=0, atol=1e-5)
        seen = render(field.at(time), views["still"]).color[0]
        torch.testing.assert_close(cell(sheet, 1, column, 2, 3, 3), seen.clamp(0, 1), rtol=0, atol=1e-5)


def test_depth_is_that_of_the_first_view_on_one_scale_with_a_bar_below():
    field, path = wall_and_ball(), looking(frames=3)
    plain = field_sheet(field, {"path": path}, TIMES, gap=3)
    sheet = field_sheet(field, {"path": path}, torch.tensor(TIMES), depth=True, gap=3)
    film = render_field(field, path, TIMES)
    known = film.alpha[:, 0] > 0.5
    near, far = depth_limits(film.depth[:, 0], mask=known)
    expected = depth_map(film.depth[:, 0], near=near, far=far, mask=known)
    top = plain.shape[1]
    for column in range(3):
        left = sheet.shape[2] - (3 - column) * 64
        assert torch.equal(sheet[:, top : top + 43, left : left + 61], expected[column])
    assert sheet.shape[1] > top + 46 + line_height(11)
    assert sheet[:, top + 46 :].min() < 0.5


def test_background_and_gradient():
    field = wall_and_ball()
    field.canonical.means.requires_grad_()
    beside = looking(width=301)  # further than the wall reaches
    sheet = field_sheet(field, {"a": beside}, [0.5], background=torch.tensor([0.0, 1.0, 0.0]))
    assert not sheet.requires_grad and (sheet[1] > sheet[0] + 0.9).any()


def test_errors():
    field, path = wall_and_ball(), looking(frames=3)
    with pytest.raises(ValueError, match=r"view 'a' must have one camera, or one per time \(2\), got 3"):
        field_sheet(field, {"a": path}, [0.0, 1.0])
    with pytest.raises(
        ValueError, match=r"view 'a' must be one path without batch axes, got batch axes \[1\]"
    ):
        field_sheet(field, {"a": path.batch(None)}, TIMES)
    with pytest.raises(ValueError, match=r"field must be one scene without batch axes, got batch axes \[1\]"):
        field_sheet(field.batch(None), {"a": path}, TIMES)
    with pytest.raises(ValueError, match="there must be a view and a time, got 0 views, 3 times"):
        field_sheet(field, {}, TIMES)
    with pytest.raises(ValueError, match="there must be a view and a time, got 1 views, 0 times"):
        field_sheet(field, {"a": looking()}, [])
    with pytest.raises(ValueError, match="images of one size, got 43 x 61, 20 x 30"):
        field_sheet(field, {"a": path, "b": looking(height=20, width=30)}, TIMES)
    with pytest.raises(ValueError, match=r"times must lie in \[0, 1\]"):
        field_sheet(field, {"a": path}, [0.0, 0.5, 2.0])
