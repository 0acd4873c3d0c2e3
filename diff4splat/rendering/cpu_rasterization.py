"""Numba kernels: tiles of 16x16 pixels from their depth-sorted Gaussians, and the gradient of that.

The innermost loops have a fixed length of 16, hold no branches and touch float32 alone, so that they compile
to vector code; one float64 scalar in them, or a signed index, costs a factor of several. A test looks for the
vector instructions.
"""

import numba
import numpy as np

from diff4splat.rendering import reference
from diff4splat.rendering.cpu_jit import TILE, inlined, kernel

__all__ = ["rasterize_backward", "rasterize_forward"]

_PIXELS = TILE * TILE
# unsigned: to signed indices numba adds Python's wrap-around of negative values, which stops vector code
_LANES, _PLANE = np.uint64(TILE), np.uint64(TILE * TILE)
_P2, _P3, _P4, _P5, _P6 = (np.uint64(i * TILE * TILE) for i in range(2, 7))
_L2, _L3, _L4, _L5, _L6, _L7 = (np.uint64(i * TILE) for i in range(2, 8))
_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_ALPHA_THRESHOLD = np.float32(reference.ALPHA_THRESHOLD)
_STOP = np.float32(reference.TRANSMITTANCE_STOP)
_LOWEST = np.float32(-126.0)
# minimax polynomial of 2^f on [-1/2, 1/2] with value 1 at 0; relative error 2e-7 in float32
_E1, _E2 = np.float32(0.693147182), np.float32(0.240226462)
_E3, _E4, _E5 = np.float32(0.0555032969), np.float32(0.00961833448), np.float32(0.00133999332)
_CHECK_EVERY = 32  # Gaussians between two looks at whether a tile is finished
# primes: neighbouring jobs take tiles far from each other, so that equal shares of jobs mean equal work
_STRIDE, _OTHER_STRIDE = 7919, 7907


@inlined
def _exp2(power):
    """2^power for power <= 0, float32."""
    clamped = power if power > _LOWEST else _LOWEST
    whole = np.int32(clamped - _HALF)
    f = clamped - np.float32(whole)
    series = ((((_E5 * f + _E4) * f + _E3) * f + _E2) * f + _E1) * f + _ONE
    return series * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@inlined
def _forward_tile(
    rows, boxes, pairs, start, end, left, top, height, width, max_alpha, color, alpha, depth
):  # fmt: skip
    planes = np.zeros(6 * _PIXELS, np.float32)  # transmittance (0 = finished), red, green, blue, alpha, depth
    bottom, right = min(top + TILE, height), min(left + TILE, width)
    for y in range(bottom - top):
        for x in range(right - left):
            planes[y * TILE + x] = _ONE
    for first in range(start, end, _CHECK_EVERY):
        for k in range(first, min(first + _CHECK_EVERY, end)):
            g = pairs[k]
            center_x, center_y = rows[g, 0] - np.float32(left), rows[g, 1] - np.float32(top)
            a, b, c, opacity = rows[g, 2], rows[g, 3], rows[g, 4], rows[g, 5]
            red, green, blue, z = rows[g, 6], rows[g, 7], rows[g, 8], rows[g, 9]
            for y in range(max(boxes[g, 1], top) - top, min(boxes[g, 3], bottom) - top):
                dy = np.float32(y) + _HALF - center_y
                b_dy, t = b * dy, c * dy
                tt = t * t
                base = np.uint64(y) * _LANES
                for lane in range(_LANES):
                    p = base + lane
                    dx = np.float32(np.int32(lane)) + _HALF - center_x
                    s = a * dx + b_dy
                    raw = opacity * _exp2(-(s * s + tt))
                    cover = raw if raw < max_alpha else max_alpha
                    cover = cover if raw >= _ALPHA_THRESHOLD else _ZERO
                    before = planes[p]
                    after = before - before * cover
                    alive = after > _STOP
                    weight = before * cover if alive else _ZERO
                    planes[p] = after if alive else _ZERO
                    planes[p + _PLANE] += weight * red
                    planes[p + _P2] += weight * green
                    planes[p + _P3] += weight * blue
                    planes[p + _P4] += weight
                    planes[p + _P5] += weight * z
        most = _ZERO
        for i in range(_PIXELS):
            most = max(most, planes[i])
        if most == _ZERO:
            break
    for y in range(bottom - top):
        for x in range(right - left):
            i = y * TILE + x
            color[0, top + y, left + x] = planes[i + _PIXELS]
            color[1, top + y, left + x] = planes[i + 2 * _PIXELS]
            color[2, top + y, left + x] = planes[i + 3 * _PIXELS]
            alpha[top + y, left + x] = planes[i + 4 * _PIXELS]
            depth[top + y, left + x] = planes[i + 5 * _PIXELS]


@kernel
def rasterize_forward(rows, boxes, pairs, tile_starts, tiles_x, max_alpha, color, alpha, depth):
    """Fill colour (3, height, width), alpha and depth times alpha (height, width), over black.

    `max_alpha` must be a float32, as every scalar here.
    """
    height, width = alpha.shape
    tiles = tile_starts.size - 1
    stride = _STRIDE if tiles % _STRIDE else _OTHER_STRIDE
    for job in numba.prange(tiles):
        tile = (job * stride) % tiles
        left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        start, end = tile_starts[tile], tile_starts[tile + 1]
        _forward_tile(
            rows, boxes, pairs, start, end, left, top, height, width, max_alpha, color, alpha, depth
        )  # fmt: skip


@inlined
def _backward_tile(
    rows, boxes, pairs, slot_starts, start, end, left, top, height, width, max_alpha,
    color, alpha, depth, grad_color, grad_alpha, grad_depth, slots,
):  # fmt: skip
    """Walk front to back as forward did; what lies behind is the total minus what was passed."""
    # transmittance, gradient-weighted rest behind, gradients of red, green, blue, alpha, depth
    planes = np.zeros(7 * _PIXELS, np.float32)
    lanes = np.empty(8 * TILE, np.float32)
    bottom, right = min(top + TILE, height), min(left + TILE, width)
    for y in range(bottom - top):
        for x in range(right - left):
            i, v, u = y * TILE + x, top + y, left + x
            rest = _ZERO
            for channel in range(3):
                grad = grad_color[channel, v, u]
                planes[i + (2 + channel) * _PIXELS] = grad
                rest += grad * color[channel, v, u]
            planes[i] = _ONE
            planes[i + 5 * _PIXELS] = grad_alpha[v, u]
            planes[i + 6 * _PIXELS] = grad_depth[v, u]
            planes[i + _PIXELS] = rest + grad_alpha[v, u] * alpha[v, u] + grad_depth[v, u] * depth[v, u]
    k = start
    while k < end:
        for _ in range(min(_CHECK_EVERY, end - k)):
            g = pairs[k]
            k += 1
            center_x, center_y = rows[g, 0] - np.float32(left), rows[g, 1] - np.float32(top)
            a, b, c, opacity = rows[g, 2], rows[g, 3], rows[g, 4], rows[g, 5]
            red, green, blue, z = rows[g, 6], rows[g, 7], rows[g, 8], rows[g, 9]
            for i in range(7 * TILE):
                lanes[i] = _ZERO
            first, last = max(boxes[g, 1], top) - top, min(boxes[g, 3], bottom) - top
            # Moments along a column are taken about the row where s is smallest, so that none of them cancel.
            for lane in range(TILE):
                row = center_y - _HALF - a * (np.float32(lane) + _HALF - center_x) / b
                row = row if row < np.float32(last) else np.float32(last)
                lanes[lane + 7 * TILE] = row if row > np.float32(first) else np.float32(first)
            for y in range(first, last):
                dy = np.float32(y) + _HALF - center_y
                b_dy, t = b * dy, c * dy
                tt = t * t
                base = np.uint64(y) * _LANES
                for lane in range(_LANES):
                    p = base + lane
                    dx = np.float32(np.int32(lane)) + _HALF - center_x
                    s = a * dx + b_dy
                    raw = opacity * _exp2(-(s * s + tt))
                    capped = raw if raw < max_alpha else max_alpha
                    hit = raw >= _ALPHA_THRESHOLD
                    cover = capped if hit else _ZERO
                    before = planes[p]
                    after = before - before * cover
                    alive = after > _STOP
                    weight = before * cover if alive else _ZERO
                    planes[p] = after if alive else _ZERO
                    d_red, d_green, d_blue = (
                        planes[p + _P2],
                        planes[p + _P3],
                        planes[p + _P4],
                    )
                    d_alpha, d_depth = planes[p + _P5], planes[p + _P6]
                    value = d_red * red + d_green * green + d_blue * blue + d_depth * z + d_alpha
                    rest = planes[p + _PLANE] - weight * value
                    planes[p + _PLANE] = rest
                    d_cover = before * value - rest / (_ONE - cover)
                    moment = raw * d_cover if alive & hit & (raw <= max_alpha) else _ZERO
                    lanes[lane] += weight * d_red
                    lanes[lane + _LANES] += weight * d_green
                    lanes[lane + _L2] += weight * d_blue
                    lanes[lane + _L3] += weight * d_depth
                    lanes[lane + _L4] += moment
                    above = np.float32(y) - lanes[lane + _L7]
                    lanes[lane + _L5] += moment * above
                    lanes[lane + _L6] += moment * above * above
            m_r, m_g, m_b, m_z, m_0, m_s, m_t = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
            m_ss, m_st, m_tt = _ZERO, _ZERO, _ZERO
            for lane in range(TILE):
                dy = lanes[lane + 7 * TILE] + _HALF - center_y
                s, t = a * (np.float32(lane) + _HALF - center_x) + b * dy, c * dy
                n_0, n_1, n_2 = lanes[lane + 4 * TILE], lanes[lane + 5 * TILE], lanes[lane + 6 * TILE]
                m_r += lanes[lane]
                m_g += lanes[lane + TILE]
                m_b += lanes[lane + 2 * TILE]
                m_z += lanes[lane + 3 * TILE]
                m_0 += n_0
                m_s += s * n_0 + b * n_1
                m_t += t * n_0 + c * n_1
                m_ss += s * s * n_0 + _TWO * s * b * n_1 + b * b * n_2
                m_st += s * t * n_0 + (s * c + t * b) * n_1 + b * c * n_2
                m_tt += t * t * n_0 + _TWO * t * c * n_1 + c * c * n_2
            slot = _slot(boxes, slot_starts, g, left, top)
            slots[slot, 0], slots[slot, 1], slots[slot, 2], slots[slot, 3] = m_r, m_g, m_b, m_z
            slots[slot, 4], slots[slot, 5], slots[slot, 6] = m_0, m_s, m_t
            slots[slot, 7], slots[slot, 8], slots[slot, 9] = m_ss, m_st, m_tt
        most = _ZERO
        for i in range(_PIXELS):
            most = max(most, planes[i])
        if most == _ZERO:
            break
    while k < end:
        slot = _slot(boxes, slot_starts, pairs[k], left, top)
        k += 1
        for i in range(10):
            slots[slot, i] = _ZERO


@inlined
def _slot(boxes, slot_starts, g, left, top):
    """Place of the pair of a Gaussian and a tile among the pairs of the Gaussian."""
    first_column = boxes[g, 0] // TILE
    columns = (boxes[g, 2] - 1) // TILE + 1 - first_column
    return slot_starts[g] + (top // TILE - boxes[g, 1] // TILE) * columns + left // TILE - first_column


@kernel
def rasterize_backward(
    rows, boxes, pairs, tile_starts, slot_starts, tiles_x, max_alpha,
    color, alpha, depth, grad_color, grad_alpha, grad_depth, slots,
):  # fmt: skip
    """Fill one slot of ten sums per pair of Gaussian and tile; `project_backward` says what they are."""
    height, width = alpha.shape
    tiles = tile_starts.size - 1
    stride = _STRIDE if tiles % _STRIDE else _OTHER_STRIDE
    for job in numba.prange(tiles):
        tile = (job * stride) % tiles
        left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        start, end = tile_starts[tile], tile_starts[tile + 1]
        _backward_tile(
            rows, boxes, pairs, slot_starts, start, end, left, top, height, width, max_alpha,
            color, alpha, depth, grad_color, grad_alpha, grad_depth, slots,
        )  # fmt: skip
