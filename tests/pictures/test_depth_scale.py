import math

import pytest
import torch

from diff4splat.assets import depth_limits, depth_to_color, position_to_color
from diff4splat.pictures import depth_bar, depth_map, depth_picture
from diff4splat.pictures.depth_scale import _DARK_STRIPE, _number, _round_depths, bar_colors, stripes


def ramp(height: int = 67, width: int = 151) -> torch.Tensor:
    return torch.linspace(1.5, 7.0, height * width).reshape(height, width)


def test_the_map_is_that_of_depth_to_color_pixel_by_pixel_above_the_bar():
    depth = ramp()
    picture = depth_picture(depth)
    assert picture.shape[0] == 3 and picture.shape[2] == 151 and picture.shape[1] > 67 + 10
    assert torch.equal(picture[:, :67], depth_to_color(depth))


@pytest.mark.parametrize(("near", "far"), [(0.5, 0.75), (1.0, 9.0), (2.0, 2000.0)])
def test_the_bar_has_the_colours_of_the_map_at_the_depths_that_it_says(near, far):
    width, size = 501, 12
    bar = depth_bar(near, far, width=width, text_size=size)
    left, right = size // 2, width - size // 2
    share = (torch.arange(right - left) + 0.5) / (right - left)
    depth = 1 / ((1 - share) / near + share / far)
    expected = depth_to_color(depth.double()[None], near=near, far=far)[:, 0].float()
    torch.testing.assert_close(bar[:, size // 2 + 1, left:right], expected, rtol=0, atol=2e-3)


def test_the_bar_is_monotone():
    luminance = (bar_colors(300).T @ torch.tensor([0.2126, 0.7152, 0.0722])).tolist()
    assert luminance == sorted(luminance, reverse=True)
    assert (bar_colors(7, one=True) == position_to_color(torch.ones(()))[:, None]).all()


@pytest.mark.parametrize(("near", "far"), [(0.013, 0.0172), (1.0, 9.0), (2.31, 4.47), (0.4, 90000.0)])
def test_round_depths_lie_between_the_limits(near, far):
    ranks = _round_depths(near, far)
    assert all(near < value < far and math.isfinite(value) for rank in ranks for value in rank)
    assert sum(len(rank) for rank in ranks) > 3
    assert all(rank == sorted(set(rank)) for rank in ranks)


def test_numbers_have_the_digits_that_matter():
    assert [_number(v, s) for v, s in ((2.304, 0.04), (2304.4, 40.0), (0.5, 0.001), (12345678.0, 1e5))] == [
        "2.3",
        "2300",
        "0.5",
        "1.23e+07",
    ]


def test_unknown_is_striped_grey_and_said():
    depth = ramp()
    holes = depth.clone()
    holes[:5, :3] = torch.tensor([0.0, math.nan, math.inf])
    holes[5, :3] = -1.0
    picture, whole = depth_picture(holes), depth_picture(depth)
    grey = stripes(67, 151)[:6, :3]
    assert (picture[:, :6, :3] == grey).all()
    assert {round(v, 2) for v in grey.unique().tolist()} == {0.62, 0.74}
    # there is no room for the word beside the scale, so it stands below
    assert picture.shape[1] > whole.shape[1] and picture[:, whole.shape[1] :].min() < 0.5
    wide = depth_bar(1.0, 9.0, width=300, text_size=11, unknown=True)
    assert wide.shape == depth_bar(1.0, 9.0, width=300, text_size=11).shape
    assert (wide == _DARK_STRIPE).sum() > 50
    mask = torch.ones(67, 151, dtype=torch.bool)
    mask[:6, :3] = False
    assert torch.equal(depth_picture(depth, mask=mask), picture)


def test_limits_that_cut_are_marked():
    depth = ramp()
    kept = depth_picture(depth, near=1.0, far=9.0)
    cut = depth_picture(depth, near=2.0, far=9.0)
    same = depth_bar(1.0, 9.0, width=151, text_size=11)
    assert torch.equal(kept[:, 67:], same)
    assert torch.equal(cut[:, 67:], depth_bar(2.0, 9.0, width=151, text_size=11, below=True))
    assert not torch.equal(cut[:, 67:], depth_bar(2.0, 9.0, width=151, text_size=11))


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -1.0])
def test_nothing_known_is_all_stripes_and_said_in_words(value):
    picture = depth_picture(torch.full((31, 173), value))
    assert torch.equal(picture[:, :31], stripes(31, 173).expand(3, -1, -1))
    assert picture[:, 31:].min() < 0.5  # words
    assert torch.isfinite(picture).all()


def test_one_depth_everywhere_is_one_colour_and_one_number():
    picture = depth_picture(torch.full((31, 173), 3.0))
    assert (picture[:, :31] == picture[:, :1, :1]).all()
    bar = depth_bar(3.0, 3.0, width=173, text_size=11)
    assert torch.equal(picture[:, 31:], bar)
    torch.testing.assert_close(bar[:, 6, 20], picture[:, 0, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (53, 2), (3, 400)])
def test_any_size_has_its_map_and_a_narrow_one_no_scale(height, width):
    picture = depth_picture(torch.full((height, width), 2.0))
    assert picture.shape[2] == width
    assert (picture.shape[1] > height) == (width >= 8 * 11)


def test_maps_of_a_clip_share_their_limits():
    clip = torch.stack((ramp(), 2 * ramp()))
    maps = depth_map(clip[None])
    near, far = depth_limits(clip)
    assert maps.shape == (1, 2, 3, 67, 151)
    assert torch.equal(maps[0], depth_to_color(clip, near=near, far=far))


def test_depth_in_half_precision_and_doubles():
    for dtype in (torch.float64, torch.bfloat16):
        assert depth_picture(ramp().to(dtype)).dtype == dtype


def test_errors():
    with pytest.raises(ValueError, match="near and far"):
        depth_picture(ramp(), near=5.0, far=2.0)
    with pytest.raises(ValueError, match=r"depth must have pixels, got shape \[0, 7\]"):
        depth_picture(torch.zeros(0, 7))
    for near, far in ((0.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="0 < near <= far"):
            depth_bar(near, far, width=100)
