import pytest
import torch
from reference.pictures import coverage_of_a_line

from diff4splat.pictures.lines import draw_line

BENT = [(3.2, 4.1), (11.7, 6.3), (11.9, 16.8), (29.0, 2.0)]


@pytest.mark.parametrize("line_width", [0.7, 1.5, 4.0])
@pytest.mark.parametrize(
    "points", [BENT, BENT[:2], BENT[:1], [*BENT[:2], *BENT[:2]], [(-9.0, 8.0), (40.0, 9.5)]]
)
def test_lines_cover_what_the_loop_over_pixels_says(points, line_width):
    picture = torch.zeros(3, 19, 31, dtype=torch.float64)
    draw_line(picture, torch.tensor(points, dtype=torch.float64), color=(1.0, 0.5, 0.25), width=line_width)
    expected = torch.from_numpy(coverage_of_a_line(points, height=19, width=31, line_width=line_width))
    torch.testing.assert_close(picture[0], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        picture[1:], torch.stack((0.5 * expected, 0.25 * expected)), rtol=0, atol=1e-12
    )


def test_faint_lines_have_no_knots_where_pieces_meet_or_cross():
    points = torch.tensor([[2.5, 5.5], [9.5, 5.5], [16.5, 5.5], [9.5, 5.5], [9.5, 0.5]])
    picture = torch.zeros(3, 11, 21)
    draw_line(picture, points, color=(1.0, 1.0, 1.0), opacity=0.25, width=3.0)
    assert picture.max() == 0.25 and (picture[:, 5, 2:17] == 0.25).all()


def test_colour_and_opacity_run_linearly_between_points():
    points = torch.tensor([[0.5, 3.5], [20.5, 3.5]])
    color = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    picture = torch.zeros(3, 7, 21)
    draw_line(picture, points, color=color, opacity=torch.tensor([1.0, 0.5]), width=1.0)
    share = torch.arange(21) / 20
    opacity = 1 - 0.5 * share
    torch.testing.assert_close(picture[0, 3], opacity * (1 - share))
    torch.testing.assert_close(picture[1, 3], opacity * share)


def test_outline_is_dimmer_and_wider():
    picture = torch.ones(3, 21, 21)
    draw_line(picture, torch.tensor([[10.5, 10.5]]), color=(1.0, 1.0, 1.0), width=4.0, outline=3.0)
    assert (picture[:, 10, 10] == 1).all()
    assert (picture[:, 10, 14] < 0.5).all() and (picture[:, 10, 17] == 1).all()


def test_lines_are_broken_at_points_that_are_none():
    nan = float("nan")
    points = torch.tensor([[2.5, 2.5], [nan, nan], [12.5, 2.5], [15.5, 2.5], [nan, 1.0], [float("inf"), 3.0]])
    picture = torch.zeros(3, 5, 19)
    draw_line(picture, points, color=(1.0, 1.0, 1.0), width=1.0)
    assert picture[0, 2].nonzero()[:, 0].tolist() == [2, 12, 13, 14, 15]


@pytest.mark.parametrize(
    "points", [[[1e30, 5.0]], [[-900.0, -900.0], [-800.0, -700.0]], [[float("nan")] * 2]]
)
def test_lines_beside_the_picture_change_nothing(points):
    picture = torch.zeros(3, 7, 11)
    draw_line(picture, torch.tensor(points), color=(1.0, 1.0, 1.0), outline=1.0)
    assert (picture == 0).all()
