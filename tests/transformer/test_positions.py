import numpy as np
import pytest
import torch
from reference import transformer_attention as reference

from diff4splat.transformer import rotary_positions, rotate_by_position, sinusoidal_embedding


@pytest.mark.parametrize(("max_period", "scale"), [(10_000.0, 1_000.0), (1000.0, 30.0)])
def test_sinusoidal_code_matches_the_loop(max_period, scale) -> None:
    values = torch.tensor([[0.0, 0.13, 0.5], [0.71, -0.2, 1.0]])
    codes = sinusoidal_embedding(values, 14, max_period=max_period, scale=scale)
    assert codes.shape == (2, 3, 14) and codes.dtype == torch.float32
    expected = [[reference.sinusoidal(float(v), 14, max_period, scale) for v in row] for row in values]
    # angles of up to 1000 radians in float32
    np.testing.assert_allclose(codes.numpy(), expected, atol=2e-4)


def test_sinusoidal_code_keeps_the_type() -> None:
    assert sinusoidal_embedding(torch.ones(3, dtype=torch.float64), 6).dtype == torch.float64
    assert sinusoidal_embedding(torch.ones(3, dtype=torch.bfloat16), 6).dtype == torch.bfloat16


def test_sinusoidal_code_of_float64_is_that_exact() -> None:
    values = torch.tensor([0.13, 0.997], dtype=torch.float64)
    codes = sinusoidal_embedding(values, 14)
    expected = [reference.sinusoidal(v, 14, 10_000.0, 1_000.0) for v in values.tolist()]
    np.testing.assert_allclose(codes.numpy(), expected, atol=1e-11)


def test_gradients() -> None:
    values = torch.tensor([0.13, 0.5, 0.99], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: sinusoidal_embedding(v, 6, scale=30.0), (values,))
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    angles = torch.randn(3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotate_by_position, (pairs, angles))


def test_rotary_angles_match_the_loop() -> None:
    angles = rotary_positions(2, 3, 5, 22, base=50.0)
    expected = [
        reference.grid_angles(f, r, c, 22, 50.0) for f in range(2) for r in range(3) for c in range(5)
    ]
    assert angles.shape == (30, 11)
    np.testing.assert_allclose(angles.numpy(), expected, rtol=1e-6)


def test_rotation_matches_the_loop_and_keeps_lengths() -> None:
    values = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    angles = torch.randn(7, 5, dtype=torch.float64)
    turned = rotate_by_position(values, angles)
    for i in range(2):
        for j in range(3):
            for n in range(7):
                expected = reference.rotate(values[i, j, n].numpy(), angles[n].numpy())
                np.testing.assert_allclose(turned[i, j, n].numpy(), expected, atol=1e-14)
    torch.testing.assert_close(turned.norm(dim=-1), values.norm(dim=-1))


def test_dot_products_depend_on_the_difference_of_positions_alone() -> None:
    grid = rotary_positions(5, 5, 5, 16).double().reshape(5, 5, 5, 8)
    query, key = torch.randn(16, dtype=torch.float64), torch.randn(16, dtype=torch.float64)

    def product(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
        turned = [rotate_by_position(x[None], grid[p][None])[0] for x, p in ((query, a), (key, b))]
        return float(turned[0] @ turned[1])

    # angles are float32: their rounding is all that differs
    assert product((0, 1, 2), (1, 3, 2)) == pytest.approx(product((3, 2, 0), (4, 4, 0)), abs=1e-5)
    assert product((0, 0, 0), (0, 0, 0)) == pytest.approx(float(query @ key), abs=1e-12)
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert abs(product((0, 0, 0), other) - float(query @ key)) > 1e-3, "every axis counts"


def test_odd_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="dim must be even, got 7"):
        sinusoidal_embedding(torch.zeros(3), 7)
    with pytest.raises(ValueError, match="head_dim must be even, got 9"):
        rotary_positions(1, 2, 3, 9)


def test_trained_weights_rely_on_a_base_of_one_hundred() -> None:
    slowest = rotary_positions(2, 1, 1, 32)[1, 3].item()  # the last of the four pairs of the frame axis
    assert slowest == pytest.approx(100 ** (-3 / 4), rel=1e-6)
