"""Numba kernels: image tiles from their depth-sorted Gaussians, and the gradient of that.

A tile is cut into blocks of 4x4 pixels, one vector each. A Gaussian visits the blocks that its footprint can
reach and that are not finished, so few lanes are computed in vain.
"""

import numba
import numpy as np

from diff4splat.rendering import reference
from diff4splat.rendering.cpu_jit import TILE, inlined, kernel
from diff4splat.rendering.cpu_vector import (
    store_totals, load_row, LANES, mark, no_marks, store_marks, bits, broadcast, constant, exp2, load, minimum, prefetch, store, total, where, trailing_zeros,
)

__all__ = ["rasterize_backward", "rasterize_forward"]

_SIDE = 4  # pixels of a block along x and y
_ACROSS = TILE // _SIDE
_BLOCKS = _ACROSS * _ACROSS
_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_ALPHA_THRESHOLD = np.float32(reference.ALPHA_THRESHOLD)
_MAX_ALPHA = np.float32(reference.MAX_ALPHA)
_STOP = np.float32(reference.TRANSMITTANCE_STOP)
# primes: neighbouring jobs take tiles far from each other, so that equal shares of jobs mean equal work
_STRIDE, _OTHER_STRIDE = 7919, 7907

_lane_x = constant([lane % _SIDE - 1.5 for lane in range(LANES)])
_lane_y = constant([lane // _SIDE - 1.5 for lane in range(LANES)])
# centres of the blocks of a tile, measured from the centre of its first pixel
_block_x = constant([_SIDE * (i % _ACROSS) + 1.5 for i in range(LANES)])
_block_y = constant([_SIDE * (i // _ACROSS) + 1.5 for i in range(LANES)])

_PLANES = 6  # transmittance (0 = finished), red, green, blue, alpha, depth
_FORWARD = np.uint64(_PLANES * LANES)
_1, _2, _3, _4, _5, _6, _7, _8, _9 = (np.uint64(i * LANES) for i in range(1, 10))
_AHEAD = 8
_CHUNK = 32


@inlined
def _aligned(size):
    """Flat float32 array whose first entry begins a cache line, so that no vector lies across two."""
    space = np.empty(size + 16, np.float32)
    first = (64 - space.ctypes.data % 64) % 64 // 4
    return space[first : first + size]


@inlined
def _inside(boxes, g, left, top):
    """Blocks of the tile that the box of a Gaussian meets, one bit each."""
    first_x = max(boxes[g, 0] - left, 0) // _SIDE
    last_x = (min(boxes[g, 2] - left, TILE) - 1) // _SIDE
    first_y = max(boxes[g, 1] - top, 0) // _SIDE
    last_y = (min(boxes[g, 3] - top, TILE) - 1) // _SIDE
    row = (2 << last_x) - (1 << first_x)
    rows = (16 << (4 * last_y)) - (1 << (4 * first_y))
    return np.uint32(row * _COLUMN & rows)


@inlined
def _forward_tile(rows, boxes, pairs, start, end, left, top, height, width, color, alpha, depth):
    chunk = _aligned(_CHUNK * 48)
    marks = np.empty(16, np.uint32)
    planes = _aligned(_BLOCKS * _PLANES * LANES)
    bottom, right = min(top + TILE, height), min(left + TILE, width)
    for block in range(_BLOCKS):
        x, y = left + block % _ACROSS * _SIDE, top + block // _ACROSS * _SIDE
        base = np.uint64(block) * _FORWARD
        within = (_lane_x() < np.float32(right - x)-np.float32(1.5)) & (_lane_y() < np.float32(bottom - y)-np.float32(1.5))
        store(planes, base, where(within, broadcast(_ONE), broadcast(_ZERO)))
        for i in range(1, _PLANES):
            store(planes, base + np.uint64(i * LANES), broadcast(_ZERO))
    for first in range(start, end, _CHUNK):
        sets = no_marks()
        for j in range(min(_CHUNK, end - first)):
            k = first + j
            prefetch(rows, pairs[min(k + _AHEAD, end - 1)])
            g = np.int64(pairs[k])
            row = load_row(rows, g)
            at = np.uint64(48 * j)
            store(chunk, at, row)
            x, y = np.float32(left) + _HALF - rows[g, 0], np.float32(top) + _HALF - rows[g, 1]
            a, b, c = rows[g, 2], rows[g, 3], rows[g, 4]
            block_x, block_y = _block_x() + x, _block_y() + y
            u, v = block_x * a + block_y * b, block_y * c
            near = (u * u + v * v <= rows[g, 10]) & (block_x * block_x <= rows[g, 11]) & (block_y * block_y <= rows[g, 12])
            store(chunk, at + np.uint64(16), u)
            store(chunk, at + np.uint64(32), v)
            sets = mark(sets, near, j)
        store_marks(marks, sets)
        alive = 0
        for block in range(_BLOCKS):
            base = np.uint64(block) * _FORWARD
            before = load(planes, base)
            if bits(before > _ZERO) == 0:
                continue
            alive = 1
            todo = marks[block]
            if todo == 0:
                continue
            red, green, blue = load(planes, base + _1), load(planes, base + _2), load(planes, base + _3)
            covered, depths = load(planes, base + _4), load(planes, base + _5)
            while todo != 0:
                j = np.uint64(trailing_zeros(todo))
                todo &= todo - np.uint32(1)
                at = j * np.uint64(48)
                s = _lane_x() * chunk[at + np.uint64(2)] + _lane_y() * chunk[at + np.uint64(3)] + chunk[at + np.uint64(16) + np.uint64(block)]
                t = _lane_y() * chunk[at + np.uint64(4)] + chunk[at + np.uint64(32) + np.uint64(block)]
                raw = exp2(_ZERO - s * s - t * t) * chunk[at + np.uint64(5)]
                cover = where(raw >= _ALPHA_THRESHOLD, minimum(raw, broadcast(_MAX_ALPHA)), broadcast(_ZERO))
                weight = before * cover
                after = before - weight
                going = after > _STOP
                weight = where(going, weight, broadcast(_ZERO))
                before = where(going, after, broadcast(_ZERO))
                red = red + weight * chunk[at + np.uint64(6)]
                green = green + weight * chunk[at + np.uint64(7)]
                blue = blue + weight * chunk[at + np.uint64(8)]
                covered = covered + weight
                depths = depths + weight * chunk[at + np.uint64(9)]
            store(planes, base, before)
            store(planes, base + _1, red)
            store(planes, base + _2, green)
            store(planes, base + _3, blue)
            store(planes, base + _4, covered)
            store(planes, base + _5, depths)
        if alive == 0:
            break
    if bottom - top == TILE and right - left == TILE:
        for block in range(_BLOCKS):
            for row in range(_SIDE):
                y, x = top + block // _ACROSS * _SIDE + row, left + block % _ACROSS * _SIDE
                first = block * _PLANES * LANES + row * _SIDE
                for i in range(_SIDE):
                    color[0, y, x + i] = planes[first + LANES + i]
                    color[1, y, x + i] = planes[first + 2 * LANES + i]
                    color[2, y, x + i] = planes[first + 3 * LANES + i]
                    alpha[y, x + i] = planes[first + 4 * LANES + i]
                    depth[y, x + i] = planes[first + 5 * LANES + i]
        return
    for y in range(bottom - top):
        for x in range(right - left):
            i = (y // 4 * 4 + x // 4) * 96 + y % 4 * 4 + x % 4
            color[0, top + y, left + x] = planes[i + 16]
            color[1, top + y, left + x] = planes[i + 32]
            color[2, top + y, left + x] = planes[i + 48]
            alpha[top + y, left + x] = planes[i + 64]
            depth[top + y, left + x] = planes[i + 80]


@kernel
def rasterize_forward(rows, boxes, pairs, tile_starts, tiles_x, color, alpha, depth):
    """Fill colour (3, height, width), alpha and depth times alpha (height, width), over black."""
    height, width = alpha.shape
    tiles = tile_starts.size - 1
    stride = _STRIDE if tiles % _STRIDE else _OTHER_STRIDE
    for job in numba.prange(tiles):
        tile = (job * stride) % tiles
        left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        start, end = tile_starts[tile], tile_starts[tile + 1]
        _forward_tile(rows, boxes, pairs, start, end, left, top, height, width, color, alpha, depth)


_BACKWARD = np.uint64(7 * LANES)
_SUMS = np.uint64(10 * LANES)
_BCHUNK = 32


@inlined
def _add(sums, at, values):
    store(sums, at, load(sums, at) + values)


@inlined
def _backward_tile(
    rows, pairs, pair_slots, start, end, left, top, height, width,
    color, alpha, depth, grad_color, grad_alpha, grad_depth, slots,
):  # fmt: skip
    """Walk front to back as forward did; what lies behind is the total minus what was passed."""
    chunk = _aligned(_BCHUNK * 48)
    sums = _aligned(_BCHUNK * 160)
    marks = np.empty(16, np.uint32)
    # transmittance, gradient-weighted rest behind, gradients of red, green, blue, alpha, depth
    planes = _aligned(_BLOCKS * 7 * LANES)
    planes[:] = _ZERO
    bottom, right = min(top + TILE, height), min(left + TILE, width)
    for y in range(bottom - top):
        for x in range(right - left):
            i, v, u = (y // 4 * 4 + x // 4) * 112 + y % 4 * 4 + x % 4, top + y, left + x
            rest = _ZERO
            for channel in range(3):
                grad = grad_color[channel, v, u]
                planes[i + (2 + channel) * 16] = grad
                rest += grad * color[channel, v, u]
            planes[i] = _ONE
            planes[i + 5 * 16] = grad_alpha[v, u]
            planes[i + 6 * 16] = grad_depth[v, u]
            planes[i + 16] = rest + grad_alpha[v, u] * alpha[v, u] + grad_depth[v, u] * depth[v, u]
    alive = 1
    for first in range(start, end, _BCHUNK):
        size = min(_BCHUNK, end - first)
        if alive == 0:
            for k in range(first, first + size):
                for i in range(10):
                    slots[pair_slots[k], i] = _ZERO
            continue
        sets = no_marks()
        for j in range(size):
            k = first + j
            prefetch(rows, pairs[min(k + _AHEAD, end - 1)])
            g = np.int64(pairs[k])
            row = load_row(rows, g)
            at = np.uint64(48 * j)
            store(chunk, at, row)
            x, y = np.float32(left) + _HALF - rows[g, 0], np.float32(top) + _HALF - rows[g, 1]
            a, b, c = rows[g, 2], rows[g, 3], rows[g, 4]
            block_x, block_y = _block_x() + x, _block_y() + y
            u, v = block_x * a + block_y * b, block_y * c
            near = (u * u + v * v <= rows[g, 10]) & (block_x * block_x <= rows[g, 11]) & (block_y * block_y <= rows[g, 12])
            store(chunk, at + np.uint64(16), u)
            store(chunk, at + np.uint64(32), v)
            sets = mark(sets, near, j)
            for i in range(10):
                store(sums, np.uint64(j * 160 + i * 16), broadcast(_ZERO))
        store_marks(marks, sets)
        alive = 0
        for block in range(_BLOCKS):
            base = np.uint64(block) * _BACKWARD
            before = load(planes, base)
            if bits(before > _ZERO) == 0:
                continue
            alive = 1
            todo = marks[block]
            if todo == 0:
                continue
            rest = load(planes, base + _1)
            d_red, d_green, d_blue = load(planes, base + _2), load(planes, base + _3), load(planes, base + _4)
            d_alpha, d_depth = load(planes, base + _5), load(planes, base + _6)
            while todo != 0:
                j = np.uint64(trailing_zeros(todo))
                todo &= todo - np.uint32(1)
                at = j * np.uint64(48)
                s = _lane_x() * chunk[at + np.uint64(2)] + _lane_y() * chunk[at + np.uint64(3)] + chunk[at + np.uint64(16) + np.uint64(block)]
                t = _lane_y() * chunk[at + np.uint64(4)] + chunk[at + np.uint64(32) + np.uint64(block)]
                raw = exp2(_ZERO - s * s - t * t) * chunk[at + np.uint64(5)]
                cover = where(raw >= _ALPHA_THRESHOLD, minimum(raw, broadcast(_MAX_ALPHA)), broadcast(_ZERO))
                weight = before * cover
                after = before - weight
                going = after > _STOP
                weight = where(going, weight, broadcast(_ZERO))
                value = d_red * chunk[at + np.uint64(6)] + d_green * chunk[at + np.uint64(7)] + d_blue * chunk[at + np.uint64(8)] + d_depth * chunk[at + np.uint64(9)] + d_alpha
                rest = rest - weight * value
                d_cover = before * value - rest / (_ONE - cover)
                moves = (raw <= _MAX_ALPHA) & (weight > _ZERO)
                moment = where(moves, raw * d_cover, broadcast(_ZERO))
                before = where(going, after, broadcast(_ZERO))
                s_moment, t_moment = s * moment, t * moment
                at = j * _SUMS
                _add(sums, at, weight * d_red)
                _add(sums, at + _1, weight * d_green)
                _add(sums, at + _2, weight * d_blue)
                _add(sums, at + _3, weight * d_depth)
                _add(sums, at + _4, moment)
                _add(sums, at + _5, s_moment)
                _add(sums, at + _6, t_moment)
                _add(sums, at + _7, s * s_moment)
                _add(sums, at + _8, s * t_moment)
                _add(sums, at + _9, t * t_moment)
            store(planes, base, before)
            store(planes, base + _1, rest)
        for j in range(size):
            at = np.uint64(j) * _SUMS
            store_totals(slots, np.int64(pair_slots[first + j]), (
                load(sums, at), load(sums, at + _1), load(sums, at + _2), load(sums, at + _3), load(sums, at + _4),
                load(sums, at + _5), load(sums, at + _6), load(sums, at + _7), load(sums, at + _8), load(sums, at + _9),
            ))


@kernel
def rasterize_backward(
    rows, pairs, tile_starts, pair_slots, tiles_x,
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
            rows, pairs, pair_slots, start, end, left, top, height, width,
            color, alpha, depth, grad_color, grad_alpha, grad_depth, slots,
        )  # fmt: skip
