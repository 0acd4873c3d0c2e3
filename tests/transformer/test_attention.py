import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from reference import transformer_attention as reference
from torch import nn

from diff4splat.transformer import CrossAttention, SelfAttention, rotary_positions, rotate_by_position

HEADS, WIDTH = 6, 10
DIM = HEADS * WIDTH


def stirred(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in float64 with every parameter random, gains and biases too."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().parameters():
        parameter.data = parameter.data + 0.3 * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
    return module


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loop(layer, tokens, context, **options) -> np.ndarray:
    return reference.attention(
        tokens.numpy(),
        context.numpy(),
        query=layer.query.weight.detach().numpy(),
        key_value=layer.key_value.weight.detach().numpy(),
        query_gain=layer.query_norm.weight.detach().numpy(),
        key_gain=layer.key_norm.weight.detach().numpy(),
        output=layer.output.weight.detach().numpy(),
        bias=layer.output.bias.detach().numpy(),
        num_heads=layer.num_heads,
        num_key_value_heads=layer.num_key_value_heads,
        **options,
    )


@pytest.mark.parametrize("key_value_heads", [6, 3, 2, 1])
@pytest.mark.parametrize("placed", [False, True])
def test_self_attention_matches_the_loop(key_value_heads, placed) -> None:
    layer = stirred(SelfAttention(DIM, HEADS, key_value_heads))
    tokens = randn(2, 7, DIM)
    angles = randn(7, WIDTH // 2, seed=1) if placed else None
    mixed = layer(tokens, angles)
    for sample in range(2):
        expected = by_loop(
            layer, tokens[sample], tokens[sample], angles=None if angles is None else angles.numpy()
        )
        # float64 rounding of a few hundred operations
        np.testing.assert_allclose(mixed[sample].detach().numpy(), expected, atol=1e-12)


def gradients_of(result: torch.Tensor, leaves: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(result, leaves, randn(*result.shape, seed=5))


@pytest.mark.parametrize("key_value_heads", [6, 3, 2, 1])
@pytest.mark.parametrize("written_out", [False, True])
def test_grouped_heads_are_those_of_torch_with_their_gradient(key_value_heads, written_out) -> None:
    """Against `scaled_dot_product_attention`, with its own grouping and with heads repeated by hand."""
    layer = stirred(SelfAttention(DIM, HEADS, key_value_heads))
    tokens, angles = randn(3, 11, DIM).requires_grad_(), randn(11, WIDTH // 2, seed=1)
    query = rearrange(tokens @ layer.query.weight.T, "b n (h d) -> b h n d", h=HEADS)
    key, value = (tokens @ layer.key_value.weight.T).chunk(2, dim=-1)
    key, value = (rearrange(x, "b n (h d) -> b h n d", h=key_value_heads) for x in (key, value))
    query, key = (
        rotate_by_position(x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight, angles)
        for x, norm in ((query, layer.query_norm), (key, layer.key_norm))
    )
    if written_out:
        key, value = (x.repeat_interleave(HEADS // key_value_heads, dim=1) for x in (key, value))
    mixed = F.scaled_dot_product_attention(query, key, value, enable_gqa=not written_out)
    expected = layer.output(rearrange(mixed, "b h n d -> b n (h d)"))
    result = layer(tokens, angles)
    torch.testing.assert_close(result, expected, atol=1e-12, rtol=0)
    leaves = [tokens, *layer.parameters()]
    pairs = zip(gradients_of(result, leaves), gradients_of(expected, leaves), strict=True)
    for got, wanted in pairs:
        torch.testing.assert_close(got, wanted, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["self", "cross"])
def test_as_many_key_value_heads_are_multihead_attention_with_its_gradient(kind, masked) -> None:
    """Against `torch.nn.MultiheadAttention`, which has no norms of queries and keys: they are taken out."""
    context_dim = DIM if kind == "self" else 13
    layer = stirred(SelfAttention(DIM, HEADS) if kind == "self" else CrossAttention(DIM, 13, HEADS))
    layer.query_norm, layer.key_norm = nn.Identity(), nn.Identity()
    twin = nn.MultiheadAttention(DIM, HEADS, kdim=context_dim, vdim=context_dim, batch_first=True).double()
    key, value = layer.key_value.weight.chunk(2)
    with torch.no_grad():
        if kind == "self":
            twin.in_proj_weight.copy_(torch.cat((layer.query.weight, key, value)))
        else:
            for name, weight in (("q", layer.query.weight), ("k", key), ("v", value)):
                getattr(twin, f"{name}_proj_weight").copy_(weight)
        twin.in_proj_bias.zero_()
        twin.out_proj.load_state_dict(layer.output.state_dict())
    tokens = randn(2, 7, DIM).requires_grad_()
    context = tokens if kind == "self" else randn(2, 5, 13, seed=1).requires_grad_()
    mask = torch.arange(context.shape[1]).expand(2, -1) % 3 != 1 if masked else None
    inputs = (tokens,) if kind == "self" else (tokens, context)
    result = layer(*inputs, mask=mask)
    unread = None if mask is None else ~mask
    expected, _ = twin(tokens, context, context, key_padding_mask=unread, need_weights=False)
    torch.testing.assert_close(result, expected, atol=1e-12, rtol=0)

    got = gradients_of(result, [*inputs, layer.query.weight, layer.key_value.weight, layer.output.weight])
    if kind == "self":
        joined = gradients_of(expected, [*inputs, twin.in_proj_weight, twin.out_proj.weight])
        wanted = [*joined[:1], joined[1][:DIM], joined[1][DIM:], joined[2]]
    else:
        parts = [getattr(twin, f"{name}_proj_weight") for name in "qkv"]
        separate = gradients_of(expected, [*inputs, *parts, twin.out_proj.weight])
        wanted = [*separate[:3], torch.cat(separate[3:5]), separate[5]]
    for first, second in zip(got, wanted, strict=True):
        torch.testing.assert_close(first, second, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("key_value_heads", [6, 3])
def test_cross_attention_matches_the_loop(key_value_heads) -> None:
    layer = stirred(CrossAttention(DIM, 13, HEADS, key_value_heads))
    tokens, context = randn(2, 5, DIM), randn(2, 7, 13, seed=1)
    mask = torch.tensor([[True] * 7, [True, False, True, True, False, False, False]])
    read = layer(tokens, context, mask)
    for sample in range(2):
        expected = by_loop(layer, tokens[sample], context[sample], mask=mask[sample].tolist())
        np.testing.assert_allclose(read[sample].detach().numpy(), expected, atol=1e-12)
    torch.testing.assert_close(layer(tokens, context)[0], read[0], atol=1e-12, rtol=0)


def test_what_is_masked_is_as_if_it_were_not_there() -> None:
    layer = stirred(SelfAttention(DIM, HEADS, 2))
    tokens = randn(3, 7, DIM)
    angles = rotary_positions(1, 1, 7, WIDTH).double()
    mask = torch.arange(7) < 5
    masked = layer(tokens, angles, mask.expand(3, 7))
    torch.testing.assert_close(masked[:, :5], layer(tokens[:, :5], angles[:5]), atol=1e-12, rtol=0)


def test_order_of_tokens_without_positions_makes_no_difference() -> None:
    layer = stirred(SelfAttention(DIM, HEADS, 3))
    tokens = randn(2, 7, DIM)
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    torch.testing.assert_close(layer(tokens[:, order]), layer(tokens)[:, order], atol=1e-12, rtol=0)
    angles = rotary_positions(1, 1, 7, WIDTH).double()
    assert (layer(tokens[:, order], angles) - layer(tokens, angles)[:, order]).abs().max() > 1e-3


def test_gradients() -> None:
    layer = stirred(SelfAttention(8, 4, 2))
    tokens, angles = randn(2, 3, 8).requires_grad_(), randn(3, 1, seed=1)
    assert torch.autograd.gradcheck(lambda x: layer(x, angles), (tokens,))
    cross = stirred(CrossAttention(8, 5, 4, 2))
    context = randn(2, 3, 5, seed=2).requires_grad_()
    mask = torch.tensor([[True, True, False], [True, False, True]])
    assert torch.autograd.gradcheck(lambda x, c: cross(x, c, mask), (tokens, context))


def test_half_precision_comes_close() -> None:
    layer = stirred(SelfAttention(DIM, HEADS, 2)).float()
    tokens, angles = randn(2, 7, DIM).float(), randn(7, WIDTH // 2, seed=1).float()
    exact = layer(tokens, angles)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = layer(tokens, angles)
    assert rough.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits: a percent of the largest values
    assert (rough.float() - exact).abs().max() < 0.03 * exact.abs().max()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SelfAttention(10, 3), "num_heads must divide dim=10, got 3"),
        (lambda: SelfAttention(10, 0), "num_heads must divide dim=10, got 0"),
        (lambda: SelfAttention(12, 6, 4), "num_key_value_heads must divide num_heads=6, got 4"),
        (lambda: CrossAttention(12, 5, 6, 0), "num_key_value_heads must divide num_heads=6, got 0"),
    ],
)
def test_numbers_that_do_not_divide_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
