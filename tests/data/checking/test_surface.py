"""Depth between pixels: exact on planes, of one side at steps, none at edges."""

import pytest
import torch

from diff4splat.data.checking import pixel_corners, surface_depth

HEIGHT, WIDTH = 5, 7


def known() -> torch.Tensor:
    return torch.ones(HEIGHT, WIDTH, dtype=torch.bool)


def at(x: float, y: float) -> torch.Tensor:
    return torch.tensor([[x, y]], dtype=torch.float64)


def test_inverse_depth_is_interpolated_between_the_four() -> None:
    depth = torch.full((HEIGHT, WIDTH), 2.0).double()
    depth[2, 3], depth[2, 4], depth[3, 3], depth[3, 4] = 2.0, 2.02, 2.03, 2.05
    index, weights, inside = pixel_corners(at(3.75, 2.6), HEIGHT, WIDTH)
    assert index.tolist() == [[17, 18, 24, 25]] and inside.all()
    assert weights[0].tolist() == pytest.approx([0.75 * 0.9, 0.25 * 0.9, 0.75 * 0.1, 0.25 * 0.1])
    expected = 1 / (0.675 / 2.0 + 0.225 / 2.02 + 0.075 / 2.03 + 0.025 / 2.05)
    found, good = surface_depth(depth, known(), at(3.75, 2.6))
    assert good.all() and found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("behind", "value"), [(2.05, 2.025), (2.15, 2.0), (2.3, None)])
def test_what_differs_is_of_the_nearest_pixel_or_nothing(behind: float, value: float | None) -> None:
    depth = torch.full((HEIGHT, WIDTH), 2.0).double()
    depth[:, 4:] = behind
    x = 4.0 if behind < 2.06 else 3.9  # the middle, or nearer to the front
    found, good = surface_depth(depth, known(), at(x, 2.5), agree=0.03, edge=0.1)
    assert bool(good) == (value is not None)
    if value is not None:
        assert found.item() == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("wrong", [0.0, -1.0, torch.nan, torch.inf])
def test_nothing_is_taken_beside_what_is_no_depth(wrong: float) -> None:
    depth, mask = torch.full((HEIGHT, WIDTH), 2.0).double(), known()
    depth[1, 1] = wrong
    assert surface_depth(depth, mask, at(2.1, 2.1))[1].tolist() == [False]
    assert surface_depth(depth, mask, at(4.1, 2.1))[1].tolist() == [True]
    mask[1, 4] = False
    assert surface_depth(depth, mask, at(4.1, 2.1))[1].tolist() == [False]


def test_at_the_border_the_last_pixels_count() -> None:
    depth = torch.full((HEIGHT, WIDTH), 2.0).double()
    depth[0, 0] = 2.01
    found, good = surface_depth(depth, known(), at(0.2, 0.3))
    assert good.all() and found.item() == pytest.approx(2.01)
    assert not pixel_corners(at(0.2, 0.3), HEIGHT, WIDTH)[2]
