import numpy as np
import pytest

numba = pytest.importorskip("numba")
cpu_vector = pytest.importorskip("diff4splat.rendering.cpu_vector")
from diff4splat.rendering.cpu_vector import (  # noqa: E402
    bits,
    broadcast,
    constant,
    exp2,
    load,
    load_block,
    mark,
    minimum,
    no_marks,
    prefetch,
    store,
    store_block,
    store_marks,
    store_totals,
    total,
    trailing_zeros,
    where,
)  # fmt: skip

ZERO = np.uint64(0)
ramp = constant([3.0 * i - 20 for i in range(16)])


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@numba.njit
def arithmetic(a, b, scalar, out):
    x, y = load(a, ZERO), load(b, ZERO)
    store(out[0], ZERO, x + y)
    store(out[1], ZERO, x - scalar)
    store(out[2], ZERO, scalar * y)
    store(out[3], ZERO, scalar / x)
    store(out[4], ZERO, minimum(x, y))
    store(out[5], ZERO, where((x < y) & (x >= scalar), x, broadcast(scalar)))
    store(out[6], ZERO, ramp())
    return bits(x > y), bits(x <= scalar), total(x)


def test_operators_work_lane_by_lane():
    a, b, out = numbers(16), numbers(16, seed=1), np.empty((7, 16), np.float32)
    scalar = np.float32(-0.3)
    greater, least, sum_ = arithmetic(a, b, scalar, out)
    expected = (a + b, a - scalar, scalar * b, scalar / a, np.minimum(a, b))
    np.testing.assert_allclose(out[:5], expected, rtol=3e-7)
    np.testing.assert_array_equal(out[5], np.where((a < b) & (a >= scalar), a, scalar))
    np.testing.assert_array_equal(out[6], 3 * np.arange(16) - 20)
    assert greater == sum(1 << i for i in range(16) if a[i] > b[i])
    assert least == sum(1 << i for i in range(16) if a[i] <= scalar)
    assert sum_ == pytest.approx(a.astype(np.float64).sum(), abs=1e-5)


@numba.njit
def power(a, out):
    store(out, ZERO, exp2(load(a, ZERO)))


def test_exp2():
    out = np.empty(16, np.float32)
    for values in np.concatenate([-np.linspace(0, 64, 1600), -(2.0 ** np.arange(-20, 6, 0.13))])[
        :1792
    ].reshape(-1, 16):
        power(values.astype(np.float32), out)
        np.testing.assert_allclose(out, 2.0 ** values.astype(np.float32).astype(np.float64), rtol=4e-7)
    power(np.array([0, -64, -65, -1e30, -np.inf, np.nan] + [0] * 10, np.float32), out)
    np.testing.assert_array_equal(out[:6], [1] + 5 * [2.0**-64])


@numba.njit
def blocks(image, first, stride, copy):
    prefetch(image, 0)
    store_block(
        copy, np.uint64(first), np.uint64(stride), load_block(image, np.uint64(first), np.uint64(stride))
    )


def test_blocks_of_images():
    image = numbers(11, 13)
    copy = np.zeros_like(image)
    blocks(image.reshape(-1), 5 * 13 + 7, 13, copy.reshape(-1))
    np.testing.assert_array_equal(copy[5:9, 7:11], image[5:9, 7:11])
    copy[5:9, 7:11] = 0
    assert not copy.any()


@numba.njit
def totals(values, out, row):
    v = (
        load(values[0], ZERO), load(values[1], ZERO), load(values[2], ZERO), load(values[3], ZERO),
        load(values[4], ZERO), load(values[5], ZERO), load(values[6], ZERO),
    )  # fmt: skip
    store_totals(out, row, v)


def test_sums_of_several_vectors():
    values, out = numbers(7, 16), np.zeros((3, 7), np.float32)
    totals(values, out, 1)
    np.testing.assert_allclose(out[1], values.astype(np.float64).sum(axis=1), atol=2e-6)
    assert not out[[0, 2]].any()


@numba.njit
def marks(values, out):
    sets = no_marks()
    for i in range(values.shape[0]):
        sets = mark(sets, load(values[i], ZERO) > np.float32(0), i)
    store_marks(out, sets)
    return trailing_zeros(out[0])


def test_sets_of_numbers():
    values, out = numbers(32, 16), np.empty(16, np.uint32)
    lowest = marks(values, out)
    for lane in range(16):
        assert out[lane] == sum(1 << i for i in range(32) if values[i, lane] > 0)
    assert values[lowest, 0] > 0 and (values[:lowest, 0] <= 0).all()
