"""Lines by weighted least squares."""

import numpy as np
import pytest
import torch
from reference.data_metric_depth import least_squares

from diff4splat.geometry import fit_line

LINES, POINTS = 3, 11


def drawn(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y, weights = (
        torch.rand(LINES, POINTS, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3)
    )
    weights[:, 2] = 0
    return 5 + x, y, weights


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_lines_match_the_normal_equations(dtype: torch.dtype, tolerance: float) -> None:
    x, y, weights = drawn(dtype)
    slope, intercept = fit_line(x, y, weights=weights)
    assert slope.dtype == dtype and slope.shape == intercept.shape == (LINES,)
    for line in range(LINES):
        pairs = list(zip(x[line].tolist(), y[line].tolist(), strict=True))
        expected = least_squares(pairs, weights[line].tolist())
        assert (float(slope[line]), float(intercept[line])) == pytest.approx(expected, rel=tolerance)


def test_one_line_per_row_of_weights_is_polyfit() -> None:
    x, y, weights = drawn()
    slope, intercept = fit_line(x[0], y[0], weights=weights)
    for line in range(LINES):
        # numpy multiplies residuals, not their squares, by the weights
        expected = np.polyfit(x[0], y[0], 1, w=weights[line].sqrt())
        np.testing.assert_allclose([slope[line], intercept[line]], expected, rtol=1e-9)
    unweighted = torch.stack(fit_line(x, y))
    torch.testing.assert_close(unweighted, torch.stack(fit_line(x, y, weights=torch.full_like(x, 7.0))))


def test_gradients() -> None:
    x, y, weights = (value.requires_grad_() for value in drawn())
    assert torch.autograd.gradcheck(lambda a, b, c: fit_line(a, b, weights=c), (x, y, weights))


def test_points_above_each_other_have_no_line() -> None:
    y = torch.arange(5.0, dtype=torch.float64)
    for value in (0.1, 1 / 3, 0.0, 1e9):
        slope, intercept = fit_line(torch.full_like(y, value), y)
        assert slope.isnan() and intercept.isnan()
    assert fit_line(y[:1], y[:1])[0].isnan() and fit_line(y, y, weights=0 * y)[0].isnan()
