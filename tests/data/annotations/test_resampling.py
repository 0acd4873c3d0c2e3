"""Maps brought to other sizes: against loops, and no depth between things that stand apart."""

import math

import numpy as np
import pytest
import torch

from diff4splat.data.annotations.resampling import FramePlacement, resample_depth, resample_nearest

DRAWS = np.random.default_rng(3)


@pytest.mark.parametrize("full", [(5, 7), (5.5, 7.7), (11, 13)])
@pytest.mark.parametrize("size", [(5, 7), (3, 2), (17, 19)])
def test_the_nearest_pixel(size: tuple[int, int], full: tuple[float, float]) -> None:
    height, width = 5, 7
    maps = torch.from_numpy(DRAWS.random((2, height, width)))
    found, inside = resample_nearest(maps, FramePlacement(*size, *full))
    assert found.shape == (2, *size)
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = (row + 0.5) * full[0] / size[0], (column + 0.5) * full[1] / size[1]
            assert bool(inside[row, column]) == (y < height and x < width)
            there = maps[:, min(math.floor(y), height - 1), min(math.floor(x), width - 1)]
            assert torch.equal(found[:, row, column], there)


def test_nothing_changes_at_the_same_size() -> None:
    maps = torch.from_numpy(DRAWS.random((2, 5, 7)))
    mask = maps > 0.3
    for way in ("nearest", "bilinear"):
        depth, known = resample_depth(maps, mask, FramePlacement(5, 7, 5, 7), way)
        assert torch.equal(known, mask) and torch.equal(depth[known], maps[mask])


def test_bilinear_is_exact_on_what_is_linear() -> None:
    rows, columns = np.mgrid[:5, :7] + 0.5
    maps = torch.from_numpy(100 + 0.3 * rows + 0.2 * columns)[None]
    depth, known = resample_depth(
        maps, torch.ones(1, 5, 7, dtype=torch.bool), FramePlacement(15, 21, 5, 7), "bilinear"
    )
    assert known.all()
    for row in range(2, 13):  # not beyond the centres of the outermost pixels
        for column in range(2, 19):
            expected = 100 + 0.3 * (row + 0.5) / 3 + 0.2 * (column + 0.5) / 3
            assert abs(float(depth[0, row, column]) - expected) < 1e-12


def test_bilinear_makes_no_depth_across_an_edge_or_from_unknown_pixels() -> None:
    maps = torch.full((1, 6, 6), 2.0)
    maps[:, :, 3:] = 2.1  # 5 % further: another thing
    mask = torch.ones(1, 6, 6, dtype=torch.bool)
    maps[:, 1, 1], mask[:, 1, 1] = 2.02, False  # alike, but not known
    depth, known = resample_depth(maps, mask, FramePlacement(13, 17, 6, 6), "bilinear")
    values = depth[known]
    assert ((values == 2.0) | (values == maps[0, 0, 3])).all()
    nearest, of_nearest = resample_depth(maps, mask, FramePlacement(13, 17, 6, 6), "nearest")
    assert torch.equal(known, of_nearest) and not known.all() and (depth[~known] == 0).all()
    assert torch.equal(depth, nearest)


def test_bilinear_reads_disparity_of_any_sign() -> None:
    maps = torch.tensor([[[-10.0, -9.8], [-10.0, -9.8]]])
    depth, _ = resample_depth(
        maps, torch.ones(1, 2, 2, dtype=torch.bool), FramePlacement(2, 3, 2, 2), "bilinear"
    )
    assert depth[0, 0].tolist() == pytest.approx([-10, -9.9, -9.8], abs=1e-4)
