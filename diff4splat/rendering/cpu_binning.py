"""Numba kernel: Gaussians into image tiles, front to back.

Sorting is by counting only (no comparisons), cut into chunks whose number does not depend on the threads;
ties in depth keep the order of the Gaussians.
"""

import numba
import numpy as np

from diff4splat.rendering.cpu_jit import TILE, kernel

__all__ = ["bin_gaussians"]

_CHUNKS = 16
_DIGIT_BITS = 11
_DIGITS = 1 << _DIGIT_BITS


@kernel
def bin_gaussians(keys, num_tiles, boxes, tiles_x, tiles_y):
    """Return, for each tile, the Gaussians that touch it in depth order, and where their slots start.

    Outputs: `pairs` (Gaussian indices, tile after tile), `tile_starts` (one more entry than tiles) and
    `slot_starts` (a Gaussian's pairs are numbered from there, along the rows of the tiles it touches).
    """
    count = keys.size
    slot_starts = np.empty(count, np.int64)
    offsets = np.zeros(_CHUNKS + 1, np.int64)
    visible = np.zeros(_CHUNKS + 1, np.int64)
    for chunk in numba.prange(_CHUNKS):
        slots, seen = 0, 0
        for g in range(count * chunk // _CHUNKS, count * (chunk + 1) // _CHUNKS):
            slots += num_tiles[g]
            seen += num_tiles[g] > 0
        offsets[chunk + 1] = slots
        visible[chunk + 1] = seen
    for chunk in range(_CHUNKS):
        offsets[chunk + 1] += offsets[chunk]
        visible[chunk + 1] += visible[chunk]
    num_pairs, num_visible = offsets[_CHUNKS], visible[_CHUNKS]

    order = np.empty(num_visible, np.int32)
    other = np.empty(num_visible, np.int32)
    for chunk in numba.prange(_CHUNKS):
        slot, place = offsets[chunk], visible[chunk]
        for g in range(count * chunk // _CHUNKS, count * (chunk + 1) // _CHUNKS):
            slot_starts[g] = slot
            slot += num_tiles[g]
            if num_tiles[g] > 0:
                order[place] = g
                place += 1

    digits = np.empty((_CHUNKS, _DIGITS), np.int32)
    for turn in range(3):
        shift = np.uint32(_DIGIT_BITS * turn)
        for chunk in numba.prange(_CHUNKS):
            digits[chunk, :] = 0
            for i in range(num_visible * chunk // _CHUNKS, num_visible * (chunk + 1) // _CHUNKS):
                digits[chunk, (keys[order[i]] >> shift) & np.uint32(_DIGITS - 1)] += 1
        place32 = 0
        for digit in range(_DIGITS):
            for chunk in range(_CHUNKS):
                size = digits[chunk, digit]
                digits[chunk, digit] = place32
                place32 += size
        for chunk in numba.prange(_CHUNKS):
            for i in range(num_visible * chunk // _CHUNKS, num_visible * (chunk + 1) // _CHUNKS):
                digit = (keys[order[i]] >> shift) & np.uint32(_DIGITS - 1)
                other[digits[chunk, digit]] = order[i]
                digits[chunk, digit] += 1
        order, other = other, order

    total_tiles = tiles_x * tiles_y
    places = np.empty((_CHUNKS, total_tiles), np.int64)
    for chunk in numba.prange(_CHUNKS):
        places[chunk, :] = 0
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
            size64 = places[chunk, tile]
            places[chunk, tile] = start
            start += size64
    tile_starts[total_tiles] = start
    pairs = np.empty(num_pairs, np.int32)
    for chunk in numba.prange(_CHUNKS):
        for i in range(num_visible * chunk // _CHUNKS, num_visible * (chunk + 1) // _CHUNKS):
            g = order[i]
            for row in range(boxes[g, 1] // TILE, (boxes[g, 3] - 1) // TILE + 1):
                for column in range(boxes[g, 0] // TILE, (boxes[g, 2] - 1) // TILE + 1):
                    tile = row * tiles_x + column
                    pairs[places[chunk, tile]] = g
                    places[chunk, tile] += 1
    return pairs, tile_starts, slot_starts
