"""Attention with shared key-value heads and positions of tokens in plain numpy float64, token by token."""

import math

import numpy as np


def rms_norm(vector, gain, eps=1e-6):
    return vector / math.sqrt(np.mean(vector**2) + eps) * gain


def rotate(vector, angles):
    """Turn the pair (i, i + half) by angle i."""
    half = len(vector) // 2
    turned = np.zeros_like(vector)
    for i in range(half):
        a, b = vector[i], vector[i + half]
        turned[i] = a * math.cos(angles[i]) - b * math.sin(angles[i])
        turned[i + half] = a * math.sin(angles[i]) + b * math.cos(angles[i])
    return turned


def attention(
    tokens,
    context,
    *,
    query,
    key_value,
    query_gain,
    key_gain,
    output,
    bias,
    num_heads,
    num_key_value_heads,
    angles=None,
    mask=None,
):
    """GQA (Ainslie et al. 2023): query head i reads key-value head floor(i * n_kv / n_q)."""
    dim = tokens.shape[1]
    width = dim // num_heads
    result = np.zeros((len(tokens), dim))
    for position, token in enumerate(tokens):
        mixed = np.zeros(dim)
        for head in range(num_heads):
            shared = head * num_key_value_heads // num_heads
            q = rms_norm(query[head * width : (head + 1) * width] @ token, query_gain)
            if angles is not None:
                q = rotate(q, angles[position])
            logits, values = [], []
            for other, word in enumerate(context):
                if mask is not None and not mask[other]:
                    continue
                k = rms_norm(key_value[shared * width : (shared + 1) * width] @ word, key_gain)
                if angles is not None:
                    k = rotate(k, angles[other])
                first_value = (num_key_value_heads + shared) * width
                values.append(key_value[first_value : first_value + width] @ word)
                logits.append(q @ k / math.sqrt(width))
            weights = np.exp(np.array(logits) - max(logits))
            weights /= weights.sum()
            mixed[head * width : (head + 1) * width] = sum(
                w * v for w, v in zip(weights, values, strict=True)
            )
        result[position] = output @ mixed + bias
    return result


def sinusoidal(value, dim, max_period, scale):
    """Vaswani et al. 2017, Sec. 3.5, cosines first."""
    half = dim // 2
    angles = [scale * value * max_period ** (-i / half) for i in range(half)]
    return np.array([math.cos(a) for a in angles] + [math.sin(a) for a in angles])


def grid_angles(frame, row, column, head_dim, base):
    """Rotary angles of one token of a video grid: a quarter of the pairs for the frame, the rest halved."""
    half = head_dim // 2
    for_frame = max(1, half // 4)
    for_row = (half - for_frame) // 2
    pairs = [(frame, for_frame), (row, for_row), (column, half - for_frame - for_row)]
    return np.array([place * base ** (-i / count) for place, count in pairs for i in range(count)])
