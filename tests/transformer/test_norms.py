import warnings

import numpy as np
import pytest
import torch
from reference.layers import rms_norm
from torch import nn

from diff4splat.transformer import RMSNorm


def norm() -> RMSNorm:
    layer = RMSNorm(7, eps=1e-6)
    with torch.no_grad():
        layer.weight += 0.3 * torch.randn(7, generator=torch.Generator().manual_seed(0))
    return layer


def tokens() -> torch.Tensor:
    return torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_norm_matches_the_loop() -> None:
    layer = norm().double()
    result = layer(tokens()).detach().numpy()
    expected = rms_norm(tokens().numpy(), layer.weight.detach().numpy())
    np.testing.assert_allclose(result, expected, atol=1e-14)


def test_gradients() -> None:
    assert torch.autograd.gradcheck(norm().double(), (tokens().requires_grad_(),))


@pytest.mark.parametrize("affine", [True, False])
def test_equal_types_give_what_torch_gives(affine) -> None:
    layer, twin = (kind(7, eps=1e-6, elementwise_affine=affine) for kind in (RMSNorm, nn.RMSNorm))
    for dtype in (torch.float32, torch.bfloat16):
        given = tokens().to(dtype)
        assert torch.equal(layer.to(dtype)(given), twin.to(dtype)(given))


def test_narrow_tokens_are_widened_to_the_gains_without_a_warning() -> None:
    layer, given = norm(), tokens().bfloat16()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = layer(given)
    assert result.dtype == torch.float32
    assert torch.equal(result, layer(given.float()))


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
def test_wide_tokens_are_not_narrowed_to_the_gains() -> None:
    layer, wide = norm(), tokens()
    gains = layer.weight.detach().double()
    expected = gains * wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    result = layer(wide)
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, expected, atol=1e-12, rtol=0)
