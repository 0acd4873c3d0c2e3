import pytest
import torch

from diff4splat.assets.keyframes import choose_keyframes, fill_keyframes

TIMES = torch.tensor([0.0, 0.1, 0.3, 0.4, 0.7, 0.9, 1.0], dtype=torch.float64)


def one(values: list[float], tolerance: float = 0.01) -> list[int]:
    """Keys of one Gaussian whose second channel holds still."""
    line = torch.tensor(values, dtype=torch.float64)
    stacked = torch.stack((line, torch.zeros_like(line)), dim=-1)[:, None]
    keys = choose_keyframes(TIMES, stacked, torch.full((1, 2), tolerance, dtype=torch.float64))
    return keys.is_key[0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0] * 7, []),
        ([0.009] * 7, []),  # within the tolerance of zero
        ([0.5] * 7, [0]),  # held from the first time on
        ((2 * TIMES).tolist(), [6]),  # straight from zero
        ((2 * TIMES + 1).tolist(), [0, 6]),
        ([0.0, 0.0, 0.0, 0.0, 0.3, 0.5, 0.6], [3, 6]),  # starts to move at the fourth time
        ([0.0, 0.1, 0.3, 0.4, 0.4, 0.4, 0.4], [3]),  # stops there
        ([0.0, 0.1, 0.3, 0.4, 0.1, -0.1, -0.2], [3, 6]),  # turns back there
        ([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [1, 2, 3, 4, 5, 6]),
    ],
)
def test_keys_stand_where_lines_bend(values, expected):
    assert one(values) == expected


def test_every_value_comes_back_within_the_tolerance_of_its_gaussian():
    generator = torch.Generator().manual_seed(7)
    values = 0.1 * torch.randn(7, 1009, 3, generator=generator).cumsum(0)
    tolerance = 0.3 * torch.rand(1009, 3, generator=generator) + 0.05
    keys = choose_keyframes(TIMES, values, tolerance)
    assert len(keys.values) == keys.is_key.sum() < 0.8 * 7 * 1009
    filled = fill_keyframes(TIMES, keys.is_key, keys.values.double() * keys.step)
    assert ((filled - values).abs() <= tolerance * (1 + 1e-9)).all()


@pytest.mark.parametrize(("largest", "dtype"), [(1.0, torch.int8), (50.0, torch.int16), (1e4, torch.float32)])
def test_type_is_the_smallest_that_keeps_the_tolerance(largest, dtype):
    values = largest * torch.randn(7, 11, 3, generator=torch.Generator().manual_seed(7)).clamp(-1, 1)
    keys = choose_keyframes(TIMES, values, torch.full((11, 3), 0.02))
    assert keys.values.dtype == dtype
    stored = keys.values.double() * (keys.step or 1.0)
    assert ((fill_keyframes(TIMES, keys.is_key, stored) - values).abs() <= 0.02).all()


def test_chunks_do_not_show(monkeypatch):
    values = torch.randn(7, 103, 3, generator=torch.Generator().manual_seed(7))
    tolerance = torch.full((103, 3), 0.4)
    whole = choose_keyframes(TIMES, values, tolerance)
    monkeypatch.setattr("diff4splat.assets.keyframes._CHUNK", 10)
    parts = choose_keyframes(TIMES, values, tolerance)
    assert torch.equal(whole.is_key, parts.is_key) and torch.equal(whole.values, parts.values)


def test_one_time():
    keys = choose_keyframes(TIMES[:1], torch.tensor([[[0.0, 0.0], [1.0, 2.0]]]), torch.full((2, 2), 0.1))
    assert keys.is_key.tolist() == [[False], [True]]
    filled = fill_keyframes(TIMES[:1], keys.is_key, keys.values * keys.step)
    torch.testing.assert_close(filled, torch.tensor([[[0.0, 0.0], [1.0, 2.0]]]), rtol=0, atol=0.01)
