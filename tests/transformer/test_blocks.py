import numpy as np
import pytest
import torch
from models.parts import weights_of
from reference import transformer_blocks as reference
from reference.finite_differences import slope
from torch import nn

from diff4splat.transformer import FeedForward, Modulation, TransformerBlock

DIM = 12


def stirred(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    for parameter in module.double().parameters():
        parameter.data = parameter.data + 0.3 * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
    return module


def tokens(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 7, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rms(values: torch.Tensor, gain: torch.Tensor | float = 1.0) -> torch.Tensor:
    return values / (values.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain


def test_feed_forward_is_gated() -> None:
    layer = stirred(FeedForward(DIM, 5))
    x = tokens()
    by_loop = [[reference.feed_forward(token, weights_of(layer)) for token in sample] for sample in x.numpy()]
    np.testing.assert_allclose(layer(x).detach().numpy(), by_loop, atol=1e-12)


def test_gradient_of_feed_forward() -> None:
    layer = stirred(FeedForward(3, 5))
    assert torch.autograd.gradcheck(layer, (tokens()[:1, :2, :3].clone().requires_grad_(),))


def test_plain_block_adds_attention_then_feed_forward() -> None:
    block = stirred(TransformerBlock(DIM, num_heads=3, num_key_value_heads=1))
    x, angles = tokens(), torch.randn(7, 2, dtype=torch.float64)
    middle = x + block.attention(rms(x, block.attention_norm.weight), angles)
    expected = middle + block.feed_forward(rms(middle, block.feed_forward_norm.weight))
    torch.testing.assert_close(block(x, angles=angles), expected, atol=1e-12, rtol=0)


def test_modulated_block_scales_shifts_and_gates() -> None:
    block = stirred(TransformerBlock(DIM, num_heads=3, modulated=True))
    x, condition = tokens(), torch.randn(2, 7, 6 * DIM, dtype=torch.float64)
    shift, scale, gate, shift2, scale2, gate2 = (
        condition[..., i * DIM : (i + 1) * DIM] + block.modulation.table[i] for i in range(6)
    )
    middle = x + gate * block.attention(rms(x) * (1 + scale) + shift)
    expected = middle + gate2 * block.feed_forward(rms(middle) * (1 + scale2) + shift2)
    torch.testing.assert_close(block(x, condition=condition), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("context_dim", [None, 5])
@pytest.mark.parametrize("modulated", [False, True])
def test_block_matches_the_loop_with_its_gradient(modulated, context_dim) -> None:
    block = stirred(
        TransformerBlock(
            DIM, num_heads=3, num_key_value_heads=1, context_dim=context_dim, modulated=modulated
        )
    )
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    # six tokens in two runs of three, four words of which two are read
    inputs = {"tokens": randn(1, 6, DIM)}
    if modulated:
        inputs["condition"] = randn(1, 2, 6 * DIM)
    if context_dim is not None:
        inputs["context"] = randn(1, 4, context_dim)
    angles, mask = randn(6, 2), torch.tensor([[True, False, True, True, True, False]])
    words = torch.tensor([[True, False, True, False]]) if context_dim is not None else None
    weights = weights_of(block)

    def by_loop(*arrays: np.ndarray) -> np.ndarray:
        given = {name: array[0] for name, array in zip(inputs, arrays, strict=True)}
        return reference.block(
            given.pop("tokens"),
            weights,
            num_heads=3,
            num_key_value_heads=1,
            angles=angles.numpy(),
            mask=mask[0].tolist(),
            context_mask=None if words is None else words[0].tolist(),
            **given,
        )

    leaves = [value.requires_grad_() for value in inputs.values()]
    given = dict(zip(inputs, leaves, strict=True))
    result = block(given.pop("tokens"), angles=angles, mask=mask, context_mask=words, **given)
    arrays = [leaf.detach().numpy() for leaf in leaves]
    np.testing.assert_allclose(result[0].detach().numpy(), by_loop(*arrays), atol=1e-11)

    probe = randn(6, DIM)
    (result[0] * probe).sum().backward()
    directions = [randn(*leaf.shape) for leaf in leaves]
    got = sum(float((leaf.grad * d).sum()) for leaf, d in zip(leaves, directions, strict=True))
    expected = slope(
        lambda *arrays: float(np.sum(by_loop(*arrays) * probe.numpy())),
        arrays,
        [direction.numpy() for direction in directions],
    )
    assert got == pytest.approx(expected, rel=1e-7)


def test_closed_gates_leave_the_tokens() -> None:
    block = TransformerBlock(DIM, num_heads=3, modulated=True).double()
    x = tokens()
    assert torch.equal(block(x, condition=torch.zeros(2, 7, 6 * DIM, dtype=torch.float64)), x)
    opened = torch.ones(2, 7, 6 * DIM, dtype=torch.float64)
    assert not torch.allclose(block(x, condition=opened), x)


def test_fresh_modulation_passes_the_condition_on() -> None:
    condition = torch.randn(2, 7, 6 * DIM)
    parts = Modulation(DIM)(condition)
    assert len(parts) == 6
    assert torch.equal(torch.cat(parts, dim=-1), condition)


def test_context_is_read_where_the_mask_holds() -> None:
    block = stirred(TransformerBlock(DIM, num_heads=3, context_dim=5))
    x = tokens()
    context = torch.randn(2, 11, 5, dtype=torch.float64)
    mask = (torch.arange(11) < 4).expand(2, 11)
    masked = block(x, context=context, context_mask=mask)
    torch.testing.assert_close(masked, block(x, context=context[:, :4]), atol=1e-12, rtol=0)
    assert not torch.allclose(masked, block(x, context=context))


def test_tokens_out_of_the_mask_are_not_read() -> None:
    block = stirred(TransformerBlock(DIM, num_heads=3))
    x = tokens()
    mask = (torch.arange(7) < 3).expand(2, 7)
    torch.testing.assert_close(block(x, mask=mask)[:, :3], block(x[:, :3]), atol=1e-12, rtol=0)


def test_gradients_reach_tokens_condition_and_context() -> None:
    block = stirred(TransformerBlock(4, num_heads=2, hidden_dim=3, context_dim=3, modulated=True))
    inputs = [torch.randn(1, 3, n, dtype=torch.float64, requires_grad=True) for n in (4, 24, 3)]
    assert torch.autograd.gradcheck(lambda x, c, w: block(x, condition=c, context=w), tuple(inputs))


def test_missing_condition_and_context_are_refused() -> None:
    with pytest.raises(ValueError, match="condition is needed"):
        TransformerBlock(DIM, num_heads=3, modulated=True)(torch.randn(2, 7, DIM))
    with pytest.raises(ValueError, match="context is needed"):
        TransformerBlock(DIM, num_heads=3, context_dim=5)(torch.randn(2, 7, DIM))


def test_hidden_width_is_eight_thirds_rounded_up() -> None:
    assert TransformerBlock(12, num_heads=2).feed_forward.output.in_features == 32
    assert TransformerBlock(96, num_heads=2).feed_forward.output.in_features == 256
    assert TransformerBlock(97, num_heads=1).feed_forward.output.in_features == 288


def test_condition_of_a_run_is_that_of_each_of_its_tokens() -> None:
    block = TransformerBlock(16, num_heads=2, modulated=True).double()
    with torch.no_grad():
        block.modulation.table += torch.randn(6, 16, dtype=torch.float64)
    tokens = torch.randn(2, 15, 16, dtype=torch.float64)
    runs = torch.randn(2, 3, 96, dtype=torch.float64)
    torch.testing.assert_close(
        block(tokens, condition=runs), block(tokens, condition=runs.repeat_interleave(5, dim=1))
    )
    with pytest.raises(ValueError, match="divide the 15 tokens, got 4"):
        block(tokens, condition=torch.randn(2, 4, 96, dtype=torch.float64))
