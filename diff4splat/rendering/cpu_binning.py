"""Numba functions: Gaussians into image tiles, front to back.

Sorting is by counting only, without comparisons; Gaussians of the same depth keep their order. Frames lie one
after another in all arrays: Gaussian g of frame f is entry f n + g, its tiles follow those of frame f - 1.
"""

import numpy as np

from diff4splat.rendering.cpu_jit import inlined

__all__ = ["NUM_CHUNKS", "count_tiles", "fill_tiles", "place_tiles", "sort_by_depth"]

NUM_CHUNKS = 16
"""Parts of a frame that are counted apart: a constant, so that nothing depends on the number of threads."""

_DIGIT_BITS = 11
_DIGITS = 1 << _DIGIT_BITS


@inlined
def sort_by_depth(frame, keys, num_tiles, space, order, slot_starts, sizes):
    """The visible Gaussians of a frame by ascending key, and where the pairs of each Gaussian start.

    `sizes` (frames, 2) gets the numbers of visible Gaussians and of pairs. A pair is a Gaussian and a tile
    that it touches; those of a Gaussian are numbered along the rows of the tiles. `space` (frames, 2, count)
    is for the work.
    """
    count = keys.size // sizes.shape[0]
    low, index_mask = np.uint64(_DIGITS - 1), np.uint64(0xFFFFFFFF)
    items, other = space[frame, 0], space[frame, 1]  # key, then index
    places = np.zeros((3, _DIGITS), np.int32)
    size, pairs = 0, 0
    for i in range(frame * count, (frame + 1) * count):
        slot_starts[i] = pairs
        if num_tiles[i] > 0:
            key = np.uint64(keys[i])
            items[size] = (key << np.uint64(32)) | np.uint64(i)
            places[0, key & low] += 1
            places[1, (key >> np.uint64(_DIGIT_BITS)) & low] += 1
            places[2, key >> np.uint64(2 * _DIGIT_BITS)] += 1
            size += 1
            pairs += num_tiles[i]
    for turn in range(3):
        start = 0
        for digit in range(_DIGITS):
            amount = places[turn, digit]
            places[turn, digit] = start
            start += amount
        shift = np.uint64(32 + _DIGIT_BITS * turn)
        for i in range(size):
            digit = (items[i] >> shift) & low
            other[places[turn, digit]] = items[i]
            places[turn, digit] += 1
        items, other = other, items
    for i in range(size):
        order[frame * count + i] = np.int32(items[i] & index_mask)
    sizes[frame, 0], sizes[frame, 1] = size, pairs


@inlined
def _range(job, order, sizes):
    """Frame of a job, and its part of the order."""
    frame, chunk = job // NUM_CHUNKS, job % NUM_CHUNKS
    first, size = frame * (order.size // sizes.shape[0]), sizes[frame, 0]
    return frame, first + size * chunk // NUM_CHUNKS, first + size * (chunk + 1) // NUM_CHUNKS


@inlined
def count_tiles(job, order, sizes, spans, tiles_x, places):
    """Count the pairs per tile of a frame and chunk: `places` (frames, chunks, tiles)."""
    frame, first, last = _range(job, order, sizes)
    counts = places[frame, job % NUM_CHUNKS]
    for k in range(first, last):
        i = order[k]
        for row in range(spans[i, 1], spans[i, 3]):
            for column in range(spans[i, 0], spans[i, 2]):
                counts[row * tiles_x + column] += 1


@inlined
def place_tiles(frame, sizes, places, tile_starts):
    """Turn the counts of a frame into places of first pairs; those of the tiles into `tile_starts`."""
    total_tiles = places.shape[2]
    start = 0
    for earlier in range(frame):
        start += sizes[earlier, 1]
    for tile in range(total_tiles):
        tile_starts[frame * total_tiles + tile] = start
        for chunk in range(NUM_CHUNKS):
            amount = places[frame, chunk, tile]
            places[frame, chunk, tile] = start
            start += amount
    if frame == sizes.shape[0] - 1:
        tile_starts[sizes.shape[0] * total_tiles] = start


@inlined
def fill_tiles(job, order, sizes, spans, slot_starts, tiles_x, places, pairs):
    """Fill in the pairs of a frame and chunk, each tile front to back.

    A pair is its Gaussian and its number among the pairs of all Gaussians, Gaussian after Gaussian.
    """
    frame, first, last = _range(job, order, sizes)
    free = places[frame, job % NUM_CHUNKS]
    before = 0
    for earlier in range(frame):
        before += sizes[earlier, 1]
    for k in range(first, last):
        i = order[k]
        slot = before + slot_starts[i]
        for row in range(spans[i, 1], spans[i, 3]):
            for column in range(spans[i, 0], spans[i, 2]):
                tile = row * tiles_x + column
                pairs[free[tile], 0], pairs[free[tile], 1] = i, slot
                free[tile] += 1
                slot += 1
