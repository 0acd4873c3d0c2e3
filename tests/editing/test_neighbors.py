"""Neighbours by the tree equal those of loops over all pairs, and so does what is told by them."""

import math
from dataclasses import replace

import pytest
import torch
from gaussians.parts import normal, random_field
from reference import editing_neighbors as reference

from diff4splat.editing import isolated_gaussians, nearest_neighbors, small_clusters


@pytest.mark.parametrize("count, num_neighbors", [(2, 1), (13, 3), (61, 7), (61, 60)])
def test_neighbors_match_the_loop(count, num_neighbors):
    points = normal(count, 3)
    distances, indices = nearest_neighbors(points, num_neighbors)
    expected = reference.nearest(points.numpy(), num_neighbors)
    assert distances.shape == indices.shape == (count, num_neighbors)
    torch.testing.assert_close(distances, torch.from_numpy(expected[0]), atol=1e-12, rtol=0)
    assert indices.tolist() == expected[1].tolist()


def test_points_in_one_place_are_each_other_s_neighbors_and_never_their_own():
    points = torch.cat((torch.zeros(11, 3), torch.ones(5, 3)))
    distances, indices = nearest_neighbors(points, 3)
    assert (distances == 0).all()
    assert (indices != torch.arange(16)[:, None]).all()
    assert ((indices < 11) == (torch.arange(16) < 11)[:, None]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_types_are_kept(dtype):
    distances, indices = nearest_neighbors(normal(7, 3).to(dtype), 2)
    assert distances.dtype == dtype and indices.dtype == torch.int64


@pytest.mark.parametrize("num_neighbors", [0, 7, 100])
def test_too_few_points_are_refused(num_neighbors):
    with pytest.raises(ValueError, match=f"num_neighbors must be from 1 to 6, .* got {num_neighbors}"):
        nearest_neighbors(normal(7, 3), num_neighbors)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_places_that_are_none_are_refused(value):
    points = normal(7, 3)
    points[3, 1] = value
    with pytest.raises(ValueError, match="points must be finite"):
        nearest_neighbors(points, 2)


def speckled(**options):
    """Gaussians of very different sizes."""
    field = random_field(count=83, **options)
    scales = 0.02 * field.canonical.scales**2
    return replace(field, canonical=replace(field.canonical, scales=scales))


@pytest.mark.parametrize("num_neighbors", [4, 5])
def test_isolated_matches_the_loop(num_neighbors):
    field = speckled()
    for time in (None, 0.4):
        state = field.canonical if time is None else field.at(time)
        mask = isolated_gaussians(field, num_neighbors=num_neighbors, ratio=1.5, time=time)
        sizes = state.scales.amax(dim=-1).numpy()
        assert mask.tolist() == reference.isolated(state.means.numpy(), sizes, num_neighbors, 1.5)
        assert 0 < mask.sum() < 83


def test_isolation_at_any_and_all_times():
    field = speckled()
    each = [isolated_gaussians(field, ratio=1.3, time=time.item()) for time in field.times]
    assert torch.equal(isolated_gaussians(field, ratio=1.3, time="any"), torch.stack(each).any(dim=0))
    assert torch.equal(isolated_gaussians(field, ratio=1.3, time="all"), torch.stack(each).all(dim=0))


@pytest.mark.parametrize("num_neighbors, reach", [(4, 0.5), (5, 0.4)])
def test_clusters_match_the_loop(num_neighbors, reach):
    field = speckled()
    means, widths = field.canonical.means.numpy(), field.canonical.scales.amax(dim=-1).numpy()
    sizes = torch.tensor(reference.cluster_sizes(means, widths, num_neighbors, reach))
    assert len(sizes.unique()) > 3, "a trivial case"
    for min_size in (2, 3, 4, 6):
        mask = small_clusters(field, min_size=min_size, num_neighbors=num_neighbors, reach=reach)
        assert torch.equal(mask, sizes < min_size)


def test_a_hundred_thousand_take_seconds_and_no_table_of_all_pairs():
    distances, _ = nearest_neighbors(normal(100_003, 3, dtype=torch.float32), 8)
    assert (distances.diff(dim=-1) >= 0).all() and (distances > 0).all()


@pytest.mark.parametrize(
    ("edit", "options", "message"),
    [
        (isolated_gaussians, {"ratio": 1.0}, "ratio must be a finite number above 1"),
        (isolated_gaussians, {"ratio": math.nan}, "ratio must be a finite number above 1"),
        (isolated_gaussians, {"num_neighbors": 83}, "num_neighbors must be from 1 to 82"),
        (small_clusters, {"reach": 0.0}, "reach must be a finite number above 0"),
        (small_clusters, {"reach": math.nan}, "reach must be a finite number above 0"),
        (small_clusters, {"min_size": 1}, "min_size must be at least 2"),
    ],
)
def test_refused(edit, options, message):
    with pytest.raises(ValueError, match=message):
        edit(random_field(count=83), **options)
    with pytest.raises(ValueError, match="needs one field without batch axes .* got batch shape \\[2\\]"):
        edit(random_field(2))
