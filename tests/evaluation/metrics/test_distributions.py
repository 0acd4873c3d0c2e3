"""Distances of sets of clips: other libraries, closed forms, what moves them and what must not."""

import math
import warnings

import numpy as np
import pytest
import torch
from reference import evaluation_distributions as reference

from diff4splat.evaluation import (
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    kernel_subset_deviation,
)

BOTH = [frechet_distance, kernel_distance]


def drawn(clips: int, width: int, seed: int, *, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(clips, width, generator=generator, dtype=torch.float64)


def with_moments(clips: int, mean: torch.Tensor, root: torch.Tensor, seed: int) -> torch.Tensor:
    """Clips whose sample mean and sample covariance are exactly `mean` and `root^T root`."""
    points = drawn(clips, len(mean), seed)
    points = points - points.mean(0)
    white = points @ torch.linalg.inv(torch.linalg.cholesky(points.T @ points / (clips - 1))).T
    return white @ root + mean


@pytest.mark.parametrize(("clips", "real", "width"), [(23, 31, 7), (31, 23, 7)])
def test_frechet_distance_is_that_of_the_matrix_square_root(clips: int, real: int, width: int) -> None:
    x, y = drawn(clips, width, 0, scale=1.3), drawn(real, width, 1, shift=0.4)
    expected = reference.frechet(x.numpy(), y.numpy())
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(3)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    one, other = torch.tensor([[1.0, 2, 3, 4, 5], [2.0, 2, 0.5, 3, 1]], dtype=torch.float64)
    shift = torch.tensor([1.0, 0, 0, -2, 0], dtype=torch.float64)
    x = with_moments(11, torch.zeros(5, dtype=torch.float64), one.diag() @ turn, 4)
    y = with_moments(13, shift, other.diag() @ turn, 5)
    # covariances that commute: the distance is that of the deviations along their common axes
    expected = 5 + float((one - other).square().sum())
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_with_fewer_clips_than_features() -> None:
    """Pitfall: covariances of rank below their size, where roots of matrices lose digits or fail."""
    x, y = drawn(5, 17, 0), drawn(7, 17, 1)
    # a single direction each: tr (S_x S_y)^(1/2) is |cos| of the two times their deviations
    line, other = drawn(1, 17, 2), drawn(1, 17, 3)
    steps, paces = torch.tensor([[-1.0], [0.0], [1.0]]).double(), torch.tensor([[-2.0], [2.0]]).double()
    a, b = float(line.norm()), float(other.norm()) * math.sqrt(8)
    cosine = abs(float((line * other).sum())) / float(line.norm() * other.norm())
    expected = a**2 + b**2 - 2 * a * b * cosine
    assert frechet_distance(steps * line, paces * other) == pytest.approx(expected, rel=1e-12)
    eigenvalues = np.linalg.eigvals(np.cov(x.numpy(), rowvar=False) @ np.cov(y.numpy(), rowvar=False))
    overlap = np.sqrt(np.abs(eigenvalues[np.abs(eigenvalues) > 1e-10])).sum()
    trace = x.var(0).sum() + y.var(0).sum() + (x.mean(0) - y.mean(0)).square().sum()
    assert frechet_distance(x, y) == pytest.approx(float(trace) - 2 * overlap, rel=1e-6)


def test_frechet_distance_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Colours(torch.nn.Module):
        """Means of the colours of each clip."""

        num_features = 3

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return clips.double().mean((1, 3, 4))

    generator = torch.Generator().manual_seed(0)
    clips, real = (torch.rand(n, 2, 3, 5, 7, generator=generator, dtype=torch.float64) for n in (11, 13))
    metric = FrechetInceptionDistance(feature=Colours(), normalize=True).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(0.5 * clips, real=False)
    ours = frechet_distance(Colours()(0.5 * clips), Colours()(real))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-9)


def test_the_covariance_is_that_of_a_sample() -> None:
    """Pitfall: code that divides by the number of clips reports less."""
    x = torch.tensor([[-1.0], [1.0]])
    y = torch.tensor([[-3.0], [3.0]])
    assert frechet_distance(x, y) == pytest.approx(2 * (3 - 1) ** 2)  # divided by n it would be 4
    shifted = drawn(64, 400, 1, shift=0.1)
    points = drawn(64, 400, 0)
    divided_by_n = [p.mean(0) + (p - p.mean(0)) * (63 / 64) ** 0.5 for p in (points, shifted)]
    assert frechet_distance(*divided_by_n) < 0.99 * frechet_distance(points, shifted)


def test_frechet_distance_of_a_small_sample_is_far_too_large() -> None:
    """Pitfall: 160 clips as in the paper; both sets are from one distribution, whose distance is 0."""
    for clips, expected, scatter in ((32, 638, 4.5), (160, 395, 2.6), (512, 158, 0.7)):
        found = [frechet_distance(drawn(clips, 400, 2 * i), drawn(clips, 400, 2 * i + 1)) for i in range(4)]
        assert sum(found) / 4 == pytest.approx(expected, abs=2 * scatter)
    assert frechet_distance(drawn(2048, 400, 0), drawn(2048, 400, 1)) == pytest.approx(40, abs=1)


@pytest.mark.parametrize("clips", [32, 160, 512])
def test_kernel_distance_is_unbiased_at_every_size(clips: int) -> None:
    repeats = 30
    found = [kernel_distance(drawn(clips, 50, 2 * i), drawn(clips, 50, 2 * i + 1)) for i in range(repeats)]
    values = torch.tensor(found, dtype=torch.float64)
    error = float(values.std()) / math.sqrt(repeats)
    assert abs(float(values.mean())) < 3 * error
    assert (values < 0).any()  # pitfall: clamped at 0 it would be biased


@pytest.mark.parametrize("clips", [32, 160, 512])
def test_kernel_distance_has_the_same_mean_at_every_size_for_sets_that_differ(clips: int) -> None:
    # one feature, kernel (x y + 1)^2, x of variance 1 and y of variance 4, both of mean 0:
    # E(x x' + 1)^2 = 1 + var^2, so the distance is (1 + 1) + (1 + 16) - 2 (1 + 4) = 9
    repeats = 60
    found = [
        kernel_distance(drawn(clips, 1, 2 * i), drawn(clips, 1, 2 * i + 1, scale=2), degree=2, gamma=1.0)
        for i in range(repeats)
    ]
    values = torch.tensor(found, dtype=torch.float64)
    assert float(values.mean()) == pytest.approx(9, abs=3 * float(values.std()) / math.sqrt(repeats))


@pytest.mark.parametrize("sizes", [(5, 5), (5, 11), (11, 3)])
@pytest.mark.parametrize(("degree", "gamma", "coefficient"), [(3, None, 1.0), (2, 0.7, 0.0), (1, 1.0, 2.0)])
def test_kernel_distance_is_that_of_loops(sizes, degree, gamma, coefficient) -> None:
    x, y = drawn(sizes[0], 7, 0), drawn(sizes[1], 7, 1, shift=0.5)
    factor = 1 / 7 if gamma is None else gamma
    expected = reference.kernel_discrepancy(x.numpy(), y.numpy(), degree, factor, coefficient)
    found = kernel_distance(x, y, degree=degree, gamma=gamma, coefficient=coefficient)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = drawn(13, 11, 0), drawn(13, 11, 1, shift=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features
        metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=13)
    metric.update(y, real=True)
    metric.update(x, real=False)
    assert kernel_distance(x, y) == pytest.approx(float(metric.compute()[0]), rel=1e-10)


def test_polynomial_of_torchmetrics_is_wrong_for_sets_of_two_sizes() -> None:
    """Why the formula is here: one that divides by the size of the first set only is off."""
    from torchmetrics.image.kid import poly_mmd

    x, y = drawn(5, 7, 0), drawn(11, 7, 1)
    expected = reference.kernel_discrepancy(x.numpy(), y.numpy(), 3, 1 / 7, 1.0)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert abs(float(poly_mmd(x, y)) - expected) > 1


def test_kernel_distance_without_the_number_of_features_is_another_number() -> None:
    """Pitfall: gamma is 1 in the definition, one over the number of features in everybody's code."""
    x, y = drawn(32, 8, 0), drawn(32, 8, 1, shift=0.5)
    assert kernel_distance(x, y) == kernel_distance(x, y, gamma=1 / 8)
    assert kernel_distance(x, y, gamma=1.0) > 50 * kernel_distance(x, y)


def test_large_sets_are_taken_in_pieces() -> None:
    x, y = drawn(2053, 2, 0), drawn(1031, 2, 1, shift=1.0)
    kernels = [(a @ b.T / 2 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    means = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in kernels[:2]]
    expected = float(means[0] + means[1] - 2 * kernels[2].mean())
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("distance", BOTH)
def test_distances_do_not_notice_turned_axes_or_the_order_of_clips(distance) -> None:
    x, y = drawn(23, 7, 0), drawn(19, 7, 1, shift=0.3)
    turn, _ = torch.linalg.qr(drawn(7, 7, 2))
    expected = distance(x, y)
    assert distance(x @ turn, y @ turn) == pytest.approx(expected, rel=1e-10)
    assert distance(x.flip(0), y.roll(5, 0)) == pytest.approx(expected, rel=1e-10)
    assert distance(y, x) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_does_not_notice_a_common_shift_and_the_kernel_does() -> None:
    x, y = drawn(23, 7, 0), drawn(19, 7, 1, shift=0.3)
    assert frechet_distance(x + 1e4, y + 1e4) == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert kernel_distance(x + 1, y + 1) > 1.5 * kernel_distance(x, y)


def test_frechet_distance_grows_with_the_square_of_the_scale() -> None:
    x, y = drawn(23, 7, 0), drawn(19, 7, 1, shift=0.3)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * frechet_distance(x, y), rel=1e-10)


def test_distances_of_a_set_to_itself() -> None:
    x = drawn(23, 7, 0)
    assert 0 <= frechet_distance(x, x) < 1e-12
    # not 0: the unbiased sum leaves out the pairs of a clip with itself
    assert kernel_distance(x, x) < 0


def test_float32_features_are_compared_in_float64() -> None:
    x, y = drawn(23, 7, 0).float(), drawn(19, 7, 1).float() + 1000
    assert frechet_distance(x, y) == frechet_distance(x.double(), y.double())
    assert kernel_distance(x, y) == kernel_distance(x.double(), y.double())


def test_extrapolation_finds_a_distance_that_samples_overstate() -> None:
    truth = 20 * 0.2**2
    sets = [(drawn(499, 20, 2 * i), drawn(499, 20, 2 * i + 1, shift=0.2)) for i in range(10)]
    lines = [frechet_infinity(x, y, generator=torch.Generator().manual_seed(0), num_draws=3) for x, y in sets]
    whole = sum(frechet_distance(x, y) for x, y in sets) / 10
    assert whole == pytest.approx(truth + 0.54, abs=0.1)
    assert sum(line.value for line in lines) / 10 == pytest.approx(truth, abs=0.15)
    for line, (x, y) in zip(lines, sets, strict=True):
        assert line.shares[0] == 0.5 and line.shares[-1] == 1
        assert line.distances[-1] == pytest.approx(frechet_distance(x, y))
        assert line.distances[0] > line.distances[-1]


def test_extrapolation_fits_a_line_over_one_over_the_share() -> None:
    x, y = drawn(23, 5, 0), drawn(19, 5, 1)
    line = frechet_infinity(x, y, generator=torch.Generator().manual_seed(0), num_sizes=5)
    inverse = 1 / line.shares.numpy()
    np.testing.assert_allclose(inverse, [2, 1.75, 1.5, 1.25, 1])
    slope, value = np.polyfit(inverse, line.distances.numpy(), 1)
    assert line.value == pytest.approx(value) and line.slope == pytest.approx(slope)
    off = value + slope * inverse - line.distances.numpy()
    assert line.residual == pytest.approx(np.sqrt((off**2).mean()))


def test_extrapolation_takes_the_mean_of_several_draws() -> None:
    x, y = drawn(11, 3, 0), drawn(7, 3, 1)
    generator = torch.Generator().manual_seed(5)
    line = frechet_infinity(x, y, generator=generator, num_sizes=2, num_draws=3)
    generator.manual_seed(5)
    found = []
    for _ in range(3):  # half of 11 is 5.5, half of 7 is 3.5: both round to even
        halves = [p[torch.randperm(len(p), generator=generator)[:n]] for p, n in ((x, 6), (y, 4))]
        found.append(frechet_distance(*halves))
    assert line.distances.tolist() == pytest.approx([sum(found) / 3, frechet_distance(x, y)])


def test_extrapolation_from_fewer_clips_than_features_is_less_wrong() -> None:
    x, y = drawn(160, 400, 0), drawn(160, 400, 1)
    line = frechet_infinity(x, y, generator=torch.Generator().manual_seed(0), num_sizes=3, num_draws=1)
    assert 100 < line.value < 0.75 * frechet_distance(x, y)  # the truth is 0


def test_extrapolation_follows_from_the_generator() -> None:
    x, y = drawn(23, 5, 0), drawn(19, 5, 1)
    one, same, other = (frechet_infinity(x, y, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert one.value == same.value != other.value


def test_deviation_over_halves_is_the_standard_error() -> None:
    pairs = [(drawn(64, 5, 2 * i), drawn(48, 5, 2 * i + 1, shift=0.8)) for i in range(60)]
    truth = float(torch.tensor([kernel_distance(x, y) for x, y in pairs]).std())
    generator = torch.Generator().manual_seed(0)
    estimates = [kernel_subset_deviation(x, y, generator=generator) for x, y in pairs[:20]]
    assert sum(estimates) / 20 == pytest.approx(truth, rel=0.3)


def test_deviation_is_that_of_the_halves_themselves() -> None:
    x, y = drawn(9, 5, 0), drawn(7, 5, 1)
    found = kernel_subset_deviation(x, y, generator=torch.Generator().manual_seed(0), num_subsets=11)
    generator = torch.Generator().manual_seed(0)
    halves = [
        [p[torch.randperm(len(p), generator=generator)[: len(p) // 2]] for _ in range(11)] for p in (x, y)
    ]
    values = torch.tensor([kernel_distance(a, b) for a, b in zip(*halves, strict=True)], dtype=torch.float64)
    assert found == pytest.approx(float(values.std()), rel=1e-10)


@pytest.mark.parametrize("distance", BOTH)
def test_bad_sets_are_named(distance) -> None:
    good = drawn(5, 3, 0)
    with pytest.raises(ValueError, match=r"features must be of at least 2 clips.*\(1, 3\)"):
        distance(good[:1], good)
    with pytest.raises(ValueError, match=r"reference must be of at least 2 clips.*\(0, 3\)"):
        distance(good, good[:0])
    with pytest.raises(ValueError, match="reference must have the 3 features.*got 2"):
        distance(good, good[:, :2])
    bad = good.clone()
    bad[1, 2], bad[4, 0] = math.nan, math.inf
    with pytest.raises(ValueError, match="features must be finite.* 2 of 5 clips"):
        distance(bad, good)
    with pytest.raises(ValueError, match="reference must be finite"):
        distance(good, bad)


def test_bad_options_are_named() -> None:
    x, generator = drawn(5, 3, 0), torch.Generator()
    with pytest.raises(ValueError, match="degree must be a whole number of at least 1, got 0"):
        kernel_distance(x, x, degree=0)
    with pytest.raises(ValueError, match="gamma must be above 0"):
        kernel_distance(x, x, gamma=0.0)
    with pytest.raises(ValueError, match="gamma must be above 0, got nan"):
        kernel_distance(x, x, gamma=math.nan)
    with pytest.raises(ValueError, match="coefficient must be at least 0"):
        kernel_distance(x, x, coefficient=-1.0)
    with pytest.raises(ValueError, match="num_subsets must be at least 2"):
        kernel_subset_deviation(x, x, generator=generator, num_subsets=1)
    with pytest.raises(ValueError, match="reference must be of at least 4 clips"):
        kernel_subset_deviation(x, x[:3], generator=generator)
    with pytest.raises(ValueError, match="features must be of at least 4 clips"):
        frechet_infinity(x[:3], x, generator=generator)
    with pytest.raises(ValueError, match="num_sizes must be at least 2"):
        frechet_infinity(x, x, generator=generator, num_sizes=1)
    with pytest.raises(ValueError, match="num_draws must be at least 1"):
        frechet_infinity(x, x, generator=generator, num_draws=0)


def test_a_power_that_is_no_whole_number_is_refused(without_shape_checker) -> None:
    # pitfall: products below 0 have no such power, and the distance was NaN
    with pytest.raises(ValueError, match=r"degree must be a whole number of at least 1, got 2\.5"):
        kernel_distance(torch.randn(5, 3), torch.randn(7, 3), degree=2.5)
