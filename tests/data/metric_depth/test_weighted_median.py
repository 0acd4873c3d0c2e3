"""The median of numbers that count differently."""

import numpy as np
import torch

from diff4splat.data.metric_depth.weighted_median import weighted_median


def test_whole_weights_repeat_values() -> None:
    draw = np.random.default_rng(0)
    for count in (1, 2, 5, 8):
        values, weights = draw.normal(size=(7, count)), draw.integers(0, 4, size=(7, count))
        weights[:, 0] += 1
        expected = [np.median(np.repeat(v, w)) for v, w in zip(values, weights, strict=True)]
        got = weighted_median(torch.tensor(values), torch.tensor(weights, dtype=torch.float64) * 0.3)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_what_does_not_count_may_be_anything() -> None:
    values = torch.tensor([torch.nan, 3.0, 1.0, -torch.inf])
    assert float(weighted_median(values, torch.tensor([0.0, 1, 1, 0]))) == 2.0
    assert weighted_median(values, torch.zeros(4)).isnan() and weighted_median(torch.zeros(0)).isnan()
