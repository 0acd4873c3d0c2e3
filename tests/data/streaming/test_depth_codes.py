"""Depth in 16 bits: the stated error, unknown pixels, and the bytes as the formula says."""

import math

import numpy as np
import pytest

from diff4splat.data.streaming.depth_codes import depth_from_codes, depth_step, depth_to_codes


@pytest.mark.parametrize(("near", "far"), [(1e-3, 2e-3), (0.3, 80.0), (1e-4, 1e6), (1e-30, 1e30), (7.0, 7.0)])
@pytest.mark.parametrize("error", [2.5e-4, 1e-2, 1e-6])
def test_the_error_is_as_stated(near: float, far: float, error: float) -> None:
    draw = np.random.default_rng(1)
    depth = np.exp(draw.uniform(math.log(near), math.log(far), (13, 17)))
    depth[0, 0], depth[-1, -1] = near, far
    mask = draw.random(depth.shape) > 0.3
    step, bound = depth_step(near, far, error)
    found, known = depth_from_codes(depth_to_codes(depth, mask, near=near, step=step), near=near, step=step)
    np.testing.assert_array_equal(known, mask)
    assert found.dtype == np.float32 and not found[~mask].any()
    worst = np.abs(found[mask].astype(np.float64) / depth[mask] - 1).max()
    assert worst <= bound
    room = (far / near) ** (1 / 65534 / 2) - 1  # what the range of codes allows for
    assert bound <= max(error, room) + 2e-7


def test_bytes_are_differences_along_rows() -> None:
    """By hand: codes are 1 + ln(z / near) / step, unknown is 0, and differences are modulo 65536."""
    step, near = 0.01, 2.0
    codes = [[1, 301, 0, 5], [0, 0, 1000, 999]]
    depth = np.array([[near * math.exp(step * (code - 1)) for code in row] for row in codes])
    mask = np.array(codes) > 0
    expected = []
    for row in codes:
        before, differences = 0, []
        for code in row:
            differences.append((code - before) % 65536)
            before = code
        expected.append(differences)
    found = depth_to_codes(depth, mask, near=near, step=step).astype(int)
    assert (256 * found[0] + found[1]).tolist() == expected
    assert depth_from_codes(found.astype(np.uint8), near=near, step=step)[1].tolist() == mask.tolist()
