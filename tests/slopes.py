"""Values and gradients of modules against loops in numpy."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from reference.finite_differences import slope
from torch import Tensor


def check_slope(
    results: Sequence[Tensor],
    by_loop: Callable[..., Sequence[np.ndarray]],
    moving: Sequence[Tensor],
    *,
    atol: float,
    rel: float,
) -> None:
    """The first sample of each result is that of the loop, and the gradient by `moving` is the loop's slope.

    `by_loop` takes the values of `moving` as float64 arrays. What has no gradient has slope zero.
    """
    arrays = [value.detach().double().numpy() for value in moving]
    expected = by_loop(*arrays)
    for result, array in zip(results, expected, strict=True):
        np.testing.assert_allclose(result[0].detach().numpy(), array, atol=atol)
    draw = np.random.default_rng(0)
    probes = [draw.normal(size=array.shape) for array in expected]
    directions = [draw.normal(size=array.shape) for array in arrays]
    sum((r[0] * torch.from_numpy(p)).sum() for r, p in zip(results, probes, strict=True)).backward()
    got = sum(
        float((value.grad.double() * torch.from_numpy(direction)).sum())
        for value, direction in zip(moving, directions, strict=True)
        if value.grad is not None
    )
    difference = slope(
        lambda *moved: sum(float(np.sum(v * p)) for v, p in zip(by_loop(*moved), probes, strict=True)),
        arrays,
        directions,
    )
    assert got == pytest.approx(difference, rel=rel)
