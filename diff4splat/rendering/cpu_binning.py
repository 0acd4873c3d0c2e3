"""Numba kernel: Gaussians into image tiles, front to back.

Sorting is by counting only, without comparisons; Gaussians of the same depth keep their order. The depth sort
is serial on purpose: it is short, and every parallel section ends by waiting for all threads, which costs
milliseconds each where other programs share the cores.
"""

import numba
import numpy as np

from diff4splat.rendering.cpu_jit import TILE, inlined, kernel

__all__ = ["bin_gaussians"]

_CHUNKS = 16  # a constant, so that the result cannot depend on the number of threads
_DIGIT_BITS = 11
_DIGITS = 1 << _DIGIT_BITS


@inlined
def _depth_order(keys, num_tiles, num_visible):
    """Visible Gaussians by ascending key: radix sort of three digits, stable."""
    order, other = np.empty(num_visible, np.int32), np.empty(num_visible, np.int32)
    places = np.zeros((3, _DIGITS), np.int32)
    mask = np.uint32(_DIGITS - 1)
    place = 0
    for g in range(keys.size):
        if num_tiles[g] > 0:
            order[place] = g
            place += 1
            places[0, keys[g] & mask] += 1
            places[1, (keys[g] >> np.uint32(_DIGIT_BITS)) & mask] += 1
            places[2, keys[g] >> np.uint32(2 * _DIGIT_BITS)] += 1
    for turn in range(3):
        start = 0
        for digit in range(_DIGITS):
            size = places[turn, digit]
            places[turn, digit] = start
            start += size
        shift = np.uint32(_DIGIT_BITS * turn)
        for i in range(num_visible):
            digit = (keys[order[i]] >> shift) & mask
            other[places[turn, digit]] = order[i]
            places[turn, digit] += 1
        order, other = other, order
    return order


@kernel
def bin_gaussians(keys, num_tiles, boxes, tiles_x, tiles_y):
    """Return, for each tile, the Gaussians that touch it in depth order, and where their slots start.

    Outputs: `pairs` (Gaussian indices, tile after tile), `tile_starts` (one more entry than tiles) and
    `slot_starts` (a Gaussian's pairs are numbered from there, along the rows of the tiles it touches).
    """
    slot_starts = np.empty(keys.size, np.int64)
    num_pairs, num_visible = 0, 0
    for g in range(keys.size):
        slot_starts[g] = num_pairs
        num_pairs += num_tiles[g]
        num_visible += num_tiles[g] > 0
    order = _depth_order(keys, num_tiles, num_visible)

    total_tiles = tiles_x * tiles_y
    places = np.zeros((_CHUNKS, total_tiles), np.int64)
    for chunk in numba.prange(_CHUNKS):
        for i in range(num_visible * chunk // _CHUNKS, num_visible * (chunk + 1) // _CHUNKS):
            g = order[i]
            for row in range(boxes[g, 1] // TILE, (boxes[g, 3] - 1) // TILE + 1):
                for column in range(boxes[g, 0] // TILE, (boxes[g, 2] - 1) // TILE + 1):
                    places[chunk, row * tiles_x + column] += 1
    tile_starts = np.empty(total_tiles + 1, np.int64)
    start = 0
    for tile in range(total_tiles):
        tile_starts[tile] = start
        for chunk in range(_CHUNKS):
            size = places[chunk, tile]
            places[chunk, tile] = start
            start += size
    tile_starts[total_tiles] = start
    pairs, pair_slots = np.empty(num_pairs, np.int32), np.empty(num_pairs, np.int32)
    for chunk in numba.prange(_CHUNKS):
        for i in range(num_visible * chunk // _CHUNKS, num_visible * (chunk + 1) // _CHUNKS):
            g = order[i]
            slot = slot_starts[g]
            for row in range(boxes[g, 1] // TILE, (boxes[g, 3] - 1) // TILE + 1):
                for column in range(boxes[g, 0] // TILE, (boxes[g, 2] - 1) // TILE + 1):
                    tile = row * tiles_x + column
                    pairs[places[chunk, tile]] = g
                    pair_slots[places[chunk, tile]] = slot
                    slot += 1
                    places[chunk, tile] += 1
    return pairs, pair_slots, tile_starts, slot_starts
