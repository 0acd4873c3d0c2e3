"""Transformer blocks of one sample in plain numpy float64, token by token."""

import numpy as np
from reference.layers import linear, part, rms_norm, silu
from reference.transformer_attention import attention


def feed_forward(token, weights):
    """W3 (silu(W1 x) * W2 x), with biases."""
    both = linear(token, weights["gate_value.weight"], weights["gate_value.bias"])
    half = len(both) // 2
    return linear(silu(both[:half]) * both[half:], weights["output.weight"], weights["output.bias"])


def attend(tokens, context, weights, num_heads, num_key_value_heads, **options):
    return attention(
        tokens,
        context,
        query=weights["query.weight"],
        key_value=weights["key_value.weight"],
        query_gain=weights["query_norm.weight"],
        key_gain=weights["key_norm.weight"],
        output=weights["output.weight"],
        bias=weights["output.bias"],
        num_heads=num_heads,
        num_key_value_heads=num_key_value_heads,
        **options,
    )


def block(
    tokens,
    weights,
    *,
    num_heads,
    num_key_value_heads,
    angles=None,
    mask=None,
    condition=None,
    context=None,
    context_mask=None,
):
    """x + A(x), then x + C(x) where a context is given, then x + F(x); each reads normalised tokens.

    With a condition, `[run, 6 dim]`, A and F read (1 + scale) n(x) + shift, and a gate multiplies what they
    add.
    """
    count, dim = tokens.shape
    heads = (num_heads, num_key_value_heads)
    shift, scale, gate, shift_ff, scale_ff, gate_ff = np.zeros((6, count, dim))
    gate, gate_ff = np.ones((2, count, dim))
    if condition is not None:
        run = count // len(condition)
        vectors = [condition[index // run].reshape(6, dim) for index in range(count)]
        vectors = np.array([six + weights["modulation.table"] for six in vectors])
        shift, scale, gate, shift_ff, scale_ff, gate_ff = vectors.transpose(1, 0, 2)
    normed = rms_norm(tokens, weights.get("attention_norm.weight", 1.0)) * (1 + scale) + shift
    mixed = attend(normed, normed, part(weights, "attention."), *heads, angles=angles, mask=mask)
    tokens = tokens + gate * mixed
    if context is not None:
        normed = rms_norm(tokens, weights["context_norm.weight"])
        words = part(weights, "context_attention.")
        tokens = tokens + attend(normed, context, words, *heads, mask=context_mask)
    normed = rms_norm(tokens, weights.get("feed_forward_norm.weight", 1.0)) * (1 + scale_ff) + shift_ff
    layer = part(weights, "feed_forward.")
    return tokens + gate_ff * np.array([feed_forward(token, layer) for token in normed])
