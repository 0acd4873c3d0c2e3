"""Numba functions: image tiles from their depth-sorted Gaussians, and the gradient of that.

A tile is cut into sixteen blocks of 4x4 pixels, one vector each. Its Gaussians come in chunks of 32: one
vector operation finds the blocks that a Gaussian can reach, then each block takes those that reach it, front
to back, with all of its sums in registers. A block that is finished takes no more.

Images are flat arrays. A row is described in `cpu_projection`.
"""

import numpy as np

from diff4splat.rendering import reference
from diff4splat.rendering.cpu_jit import TILE, inlined
from diff4splat.rendering.cpu_vector import (
    LANES,
    bits,
    broadcast,
    constant,
    exp2,
    load,
    load_block,
    mark,
    minimum,
    no_marks,
    prefetch,
    store,
    store_block,
    store_marks,
    store_totals,
    total,
    trailing_zeros,
    where,
)

__all__ = ["SUMS", "inspect_tile", "new_scratch", "rasterize_tile", "rasterize_tile_backward"]

SUMS = 10
"""Sums per pair of Gaussian and tile that backward writes; `cpu_projection` says what they are."""

_SIDE = 4
_ACROSS = TILE // _SIDE
_BLOCKS = _ACROSS * _ACROSS
_CHUNK = 32  # bits of a set
_AHEAD = 8  # Gaussians between asking for a row and reading it
_ZERO, _HALF, _ONE, _MIDDLE = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(1.5)
_ALPHA_THRESHOLD = np.float32(reference.ALPHA_THRESHOLD)
_STOP = np.float32(reference.TRANSMITTANCE_STOP)

# unsigned: numba lets signed indices wrap around, which costs instructions at each
_1, _2, _3, _4, _5, _6, _7, _8, _9 = (np.uint64(i * LANES) for i in range(1, 10))
_FORWARD, _BACKWARD, _INSPECT, _SUMS, _ENTRY = (np.uint64(i * LANES) for i in (6, 8, 4, SUMS, 3))
_STEEP, _SHEAR, _FLAT, _OPACITY = (np.uint64(i) for i in (2, 3, 4, 5))
_RED, _GREEN, _BLUE, _DEPTH = (np.uint64(i) for i in (6, 7, 8, 9))
# places of the pixels of a block from its middle, and of the blocks of a tile from its first pixel
_lane_x = constant([lane % _SIDE - 1.5 for lane in range(LANES)])
_lane_y = constant([lane // _SIDE - 1.5 for lane in range(LANES)])
_block_x = constant([_SIDE * (i % _ACROSS) + 1.5 for i in range(LANES)])
_block_y = constant([_SIDE * (i // _ACROSS) + 1.5 for i in range(LANES)])


@inlined
def _aligned(size):
    """Flat float32 array whose first entry begins a cache line, so that no vector lies in two."""
    space = np.empty(size + 16, np.float32)
    first = (64 - space.ctypes.data % 64) % 64 // 4
    return space[first : first + size]


@inlined
def new_scratch():
    """What a thread needs to draw tiles: a chunk, its marks, a block, planes of all blocks, partial sums."""
    marks = np.empty(LANES, np.uint32)
    chunk, edge = _aligned(_CHUNK * 3 * LANES), _aligned(LANES)
    return chunk, marks, edge, _aligned(_BLOCKS * 8 * LANES), _aligned(_CHUNK * SUMS * LANES)


@inlined
def _extent(tile, block, tiles_x, tiles_y, height, width):
    """First pixel of a block in a stack of images, and how many columns and rows of it lie in its image."""
    x = tile % tiles_x * TILE + block % _ACROSS * _SIDE
    y = tile // tiles_x % tiles_y * TILE + block // _ACROSS * _SIDE
    return x, y, max(min(_SIDE, width - x), 0), max(min(_SIDE, height - y), 0)


@inlined
def _inside(columns, rows):
    """Pixels of a block that lie in the image."""
    return (_lane_x() < np.float32(columns) - _MIDDLE) & (_lane_y() < np.float32(rows) - _MIDDLE)


@inlined
def _read(image, first, width, columns, rows, scratch):
    """A block of an image; 0 outside."""
    if columns == _SIDE and rows == _SIDE:
        return load_block(image, np.uint64(first), np.uint64(width))
    for i in range(LANES):
        scratch[i] = _ZERO
    for row in range(rows):
        for column in range(columns):
            scratch[row * _SIDE + column] = image[first + row * width + column]
    return load(scratch, np.uint64(0))


@inlined
def _write(image, first, width, columns, rows, values, scratch):
    if columns == _SIDE and rows == _SIDE:
        store_block(image, np.uint64(first), np.uint64(width), values)
        return
    store(scratch, np.uint64(0), values)
    for row in range(rows):
        for column in range(columns):
            image[first + row * width + column] = scratch[row * _SIDE + column]


@inlined
def _read_chunk(rows, pairs, first, size, end, left, top, chunk, marks):
    """Copy rows next to each other and mark, for each block, those that can reach it.

    An entry of `chunk` is a row and the two terms of its footprint in the middles of the blocks.
    """
    sets = no_marks()
    for j in range(size):
        prefetch(rows, np.int64(pairs[min(first + j + _AHEAD, end - 1), 0]) * LANES)
        at, entry = np.uint64(pairs[first + j, 0]) * np.uint64(LANES), np.uint64(j) * _ENTRY
        row = load(rows, at)
        store(chunk, entry, row)
        x = _block_x() + (np.float32(left) + _HALF - chunk[entry])
        y = _block_y() + (np.float32(top) + _HALF - chunk[entry + np.uint64(1)])
        s, t = x * chunk[entry + _STEEP] + y * chunk[entry + _SHEAR], y * chunk[entry + _FLAT]
        store(chunk, entry + _1, s)
        store(chunk, entry + _2, t)
        near = (x * x <= chunk[entry + np.uint64(11)]) & (y * y <= chunk[entry + np.uint64(12)])
        sets = mark(sets, near & (s * s + t * t <= chunk[entry + np.uint64(10)]), j)
    store_marks(marks, sets)


@inlined
def _footprint(chunk, entry, block):
    """The two terms of a footprint at the pixels of a block, and opacity times the footprint."""
    s = _lane_x() * chunk[entry + _STEEP] + _lane_y() * chunk[entry + _SHEAR] + chunk[entry + _1 + block]
    t = _lane_y() * chunk[entry + _FLAT] + chunk[entry + _2 + block]
    return s, t, exp2(_ZERO - s * s - t * t) * chunk[entry + _OPACITY]


@inlined
def _cover(raw, max_alpha):
    return where(raw >= _ALPHA_THRESHOLD, minimum(raw, broadcast(max_alpha)), broadcast(_ZERO))


@inlined
def _absorbed(before, cover):
    """Light that a Gaussian takes and light that it leaves; none of both where it would leave too little."""
    weight = before * cover
    after = before - weight
    alive = after > _STOP
    return where(alive, weight, broadcast(_ZERO)), where(alive, after, broadcast(_ZERO))


@inlined
def rasterize_tile(
    tile, scratch, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha, background,
    expected, color, alpha, depth,
):  # fmt: skip
    """Fill a tile of colour (frames, 3, height, width), alpha and depth (frames, height, width).

    Planes: transmittance (0 = finished), red, green, blue, alpha, depth.
    """
    chunk, marks, edge, planes, _ = scratch
    for block in range(_BLOCKS):
        base = np.uint64(block) * _FORWARD
        _, _, columns, lines = _extent(tile, block, tiles_x, tiles_y, height, width)
        store(planes, base, where(_inside(columns, lines), broadcast(_ONE), broadcast(_ZERO)))
        for plane in range(1, 6):
            store(planes, base + np.uint64(plane * LANES), broadcast(_ZERO))
    left, top = tile % tiles_x * TILE, tile // tiles_x % tiles_y * TILE
    end = tile_starts[tile + 1]
    for first in range(tile_starts[tile], end, _CHUNK):
        _read_chunk(rows, pairs, first, min(_CHUNK, end - first), end, left, top, chunk, marks)
        if not _forward_chunk(chunk, marks, planes, max_alpha):
            break
    frame = tile // (tiles_x * tiles_y)
    for block in range(_BLOCKS):
        base = np.uint64(block) * _FORWARD
        x, y, columns, lines = _extent(tile, block, tiles_x, tiles_y, height, width)
        if columns == 0 or lines == 0:
            continue
        covered, depths = load(planes, base + _4), load(planes, base + _5)
        behind = _ONE - covered
        for channel in range(3):
            values = load(planes, base + np.uint64((1 + channel) * LANES)) + behind * background[channel]
            place = ((frame * 3 + channel) * height + y) * width + x
            _write(color, place, width, columns, lines, values, edge)
        if expected:
            seen = covered > _ZERO
            depths = where(seen, depths / where(seen, covered, broadcast(_ONE)), broadcast(_ZERO))
        place = (frame * height + y) * width + x
        _write(alpha, place, width, columns, lines, covered, edge)
        _write(depth, place, width, columns, lines, depths, edge)


@inlined
def _forward_chunk(chunk, marks, planes, max_alpha):
    """Composite a chunk onto its tile; false if all of the tile was finished before."""
    going_on = False
    for number in range(_BLOCKS):
        block, todo = np.uint64(number), marks[number]
        base = block * _FORWARD
        before = load(planes, base)
        if bits(before > _ZERO) == 0:
            continue
        going_on = True
        if todo == 0:
            continue
        red, green, blue = load(planes, base + _1), load(planes, base + _2), load(planes, base + _3)
        covered, depths = load(planes, base + _4), load(planes, base + _5)
        while todo != 0:
            entry = trailing_zeros(todo) * _ENTRY
            todo &= todo - np.uint32(1)
            _, _, raw = _footprint(chunk, entry, block)
            weight, before = _absorbed(before, _cover(raw, max_alpha))
            red = red + weight * chunk[entry + _RED]
            green = green + weight * chunk[entry + _GREEN]
            blue = blue + weight * chunk[entry + _BLUE]
            covered = covered + weight
            depths = depths + weight * chunk[entry + _DEPTH]
        store(planes, base, before)
        store(planes, base + _1, red)
        store(planes, base + _2, green)
        store(planes, base + _3, blue)
        store(planes, base + _4, covered)
        store(planes, base + _5, depths)
    return going_on


@inlined
def rasterize_tile_backward(
    tile, scratch, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha, background,
    expected, color, alpha, depth, grad_color, grad_alpha, grad_depth, sums, grad_background,
):  # fmt: skip
    """Fill `SUMS` sums per pair of Gaussian and tile, at the pair's slot, and the background's per tile.

    Walks front to back as forward did; what lies behind is the total minus what was passed. Planes:
    transmittance, gradient-weighted rest behind, gradients of red, green, blue, alpha, depth; and the depth
    that the last is relative to, which takes the cancelling part out of the gradient of expected depth.
    """
    chunk, marks, edge, planes, partial = scratch
    behind_red, behind_green, behind_blue = broadcast(_ZERO), broadcast(_ZERO), broadcast(_ZERO)
    frame = tile // (tiles_x * tiles_y)
    for block in range(_BLOCKS):
        base = np.uint64(block) * _BACKWARD
        x, y, columns, lines = _extent(tile, block, tiles_x, tiles_y, height, width)
        inside = _inside(columns, lines)
        store(planes, base, where(inside, broadcast(_ONE), broadcast(_ZERO)))
        place, size = (frame * height + y) * width + x, height * width
        covered = _read(alpha, place, width, columns, lines, edge)
        depths = _read(depth, place, width, columns, lines, edge)
        d_alpha = _read(grad_alpha, place, width, columns, lines, edge)
        d_depth = _read(grad_depth, place, width, columns, lines, edge)
        place += 2 * frame * size
        d_red = _read(grad_color, place, width, columns, lines, edge)
        d_green = _read(grad_color, place + size, width, columns, lines, edge)
        d_blue = _read(grad_color, place + 2 * size, width, columns, lines, edge)
        d_behind = d_red * background[0] + d_green * background[1] + d_blue * background[2]
        clear = where(inside, _ONE - covered, broadcast(_ZERO))
        rest = d_red * _read(color, place, width, columns, lines, edge)
        rest = rest + d_green * _read(color, place + size, width, columns, lines, edge)
        rest = rest + d_blue * _read(color, place + 2 * size, width, columns, lines, edge)
        rest = rest - d_behind * clear
        behind_red, behind_green = behind_red + d_red * clear, behind_green + d_green * clear
        behind_blue = behind_blue + d_blue * clear
        d_alpha = d_alpha - d_behind
        rest = rest + d_alpha * covered
        if expected:
            seen = covered > _ZERO
            d_depth = where(seen, d_depth / where(seen, covered, broadcast(_ONE)), broadcast(_ZERO))
        else:
            rest, depths = rest + d_depth * depths, broadcast(_ZERO)
        store(planes, base + _1, rest)
        store(planes, base + _2, d_red)
        store(planes, base + _3, d_green)
        store(planes, base + _4, d_blue)
        store(planes, base + _5, d_alpha)
        store(planes, base + _6, d_depth)
        store(planes, base + _7, depths)
    grad_background[tile, 0] = total(behind_red)
    grad_background[tile, 1] = total(behind_green)
    grad_background[tile, 2] = total(behind_blue)
    left, top = tile % tiles_x * TILE, tile // tiles_x % tiles_y * TILE
    end = tile_starts[tile + 1]
    going_on = True
    for first in range(tile_starts[tile], end, _CHUNK):
        size = min(_CHUNK, end - first)
        for i in range(size * SUMS):
            store(partial, np.uint64(i * LANES), broadcast(_ZERO))
        if going_on:
            _read_chunk(rows, pairs, first, size, end, left, top, chunk, marks)
            going_on = _backward_chunk(chunk, marks, planes, max_alpha, partial)
        for j in range(size):
            at = np.uint64(j) * _SUMS
            vectors = (
                load(partial, at), load(partial, at + _1), load(partial, at + _2), load(partial, at + _3),
                load(partial, at + _4), load(partial, at + _5), load(partial, at + _6),
                load(partial, at + _7), load(partial, at + _8), load(partial, at + _9),
            )  # fmt: skip
            store_totals(sums, np.int64(pairs[first + j, 1]), vectors)


@inlined
def _backward_chunk(chunk, marks, planes, max_alpha, partial):
    """Pass a chunk, adding to the partial sums of its Gaussians; false if the tile was finished before."""
    going_on = False
    for number in range(_BLOCKS):
        block, todo = np.uint64(number), marks[number]
        base = block * _BACKWARD
        before = load(planes, base)
        if bits(before > _ZERO) == 0:
            continue
        going_on = True
        if todo == 0:
            continue
        rest = load(planes, base + _1)
        d_red, d_green, d_blue = load(planes, base + _2), load(planes, base + _3), load(planes, base + _4)
        d_alpha, d_depth, offset = load(planes, base + _5), load(planes, base + _6), load(planes, base + _7)
        while todo != 0:
            j = trailing_zeros(todo)
            todo &= todo - np.uint32(1)
            entry = j * _ENTRY
            s, t, raw = _footprint(chunk, entry, block)
            cover = _cover(raw, max_alpha)
            weight, after = _absorbed(before, cover)
            value = d_red * chunk[entry + _RED] + d_green * chunk[entry + _GREEN]
            value = value + d_blue * chunk[entry + _BLUE] + d_alpha
            value = value + d_depth * (broadcast(chunk[entry + _DEPTH]) - offset)
            rest = rest - weight * value
            d_cover = before * value - rest / (_ONE - cover)
            moves = (weight > _ZERO) & (raw <= max_alpha)
            moment = where(moves, raw * d_cover, broadcast(_ZERO))
            before = after
            s_moment, t_moment = s * moment, t * moment
            at = j * _SUMS
            _add(partial, at, weight * d_red)
            _add(partial, at + _1, weight * d_green)
            _add(partial, at + _2, weight * d_blue)
            _add(partial, at + _3, weight * d_depth)
            _add(partial, at + _4, moment)
            _add(partial, at + _5, s_moment)
            _add(partial, at + _6, t_moment)
            _add(partial, at + _7, s * s_moment)
            _add(partial, at + _8, s * t_moment)
            _add(partial, at + _9, t * t_moment)
        store(planes, base, before)
        store(planes, base + _1, rest)
    return going_on


@inlined
def _add(array, at, values):
    store(array, at, load(array, at) + values)


@inlined
def inspect_tile(
    tile, scratch, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha, num_gaussians,
    contributing, strongest,
):  # fmt: skip
    """Fill a tile of the number of contributing Gaussians and of the strongest one's index.

    Planes: transmittance, number, largest weight, index.
    """
    chunk, marks, edge, planes, _ = scratch
    frame = tile // (tiles_x * tiles_y)
    for block in range(_BLOCKS):
        base = np.uint64(block) * _INSPECT
        _, _, columns, lines = _extent(tile, block, tiles_x, tiles_y, height, width)
        store(planes, base, where(_inside(columns, lines), broadcast(_ONE), broadcast(_ZERO)))
        store(planes, base + _1, broadcast(_ZERO))
        store(planes, base + _2, broadcast(_ZERO))
        store(planes, base + _3, broadcast(np.int32(-1).view(np.float32)))
    left, top = tile % tiles_x * TILE, tile // tiles_x % tiles_y * TILE
    end = tile_starts[tile + 1]
    for first in range(tile_starts[tile], end, _CHUNK):
        _read_chunk(rows, pairs, first, min(_CHUNK, end - first), end, left, top, chunk, marks)
        for number in range(_BLOCKS):
            block, todo = np.uint64(number), marks[number]
            base = block * _INSPECT
            before, count = load(planes, base), load(planes, base + _1)
            largest, index = load(planes, base + _2), load(planes, base + _3)
            while todo != 0:
                j = trailing_zeros(todo)
                todo &= todo - np.uint32(1)
                _, _, raw = _footprint(chunk, j * _ENTRY, block)
                weight, before = _absorbed(before, _cover(raw, max_alpha))
                count = count + where(weight > _ZERO, broadcast(_ONE), broadcast(_ZERO))
                stronger = weight > largest
                largest = where(stronger, weight, largest)
                g = np.int32(pairs[first + np.int64(j), 0] - frame * num_gaussians)
                index = where(stronger, broadcast(g.view(np.float32)), index)  # bits, not a number
            store(planes, base, before)
            store(planes, base + _1, count)
            store(planes, base + _2, largest)
            store(planes, base + _3, index)
    for number in range(_BLOCKS):
        base = np.uint64(number) * _INSPECT
        x, y, columns, lines = _extent(tile, number, tiles_x, tiles_y, height, width)
        place = (frame * height + y) * width + x
        _write(contributing, place, width, columns, lines, load(planes, base + _1), edge)
        _write(strongest, place, width, columns, lines, load(planes, base + _3), edge)
