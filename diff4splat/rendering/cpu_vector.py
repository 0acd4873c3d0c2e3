"""Sixteen float32 numbers as one value inside numba kernels.

Operators work lane by lane, between two vectors or a vector and a float32. LLVM turns them into the widest
instructions of the machine: one AVX-512 register, two of AVX2, four of SSE or NEON. Loops over arrays would
have to be vectorised by the compiler, which a signed index or a branch prevents in silence; here there is no
loop to begin with.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from diff4splat.rendering.cpu_jit import inlined

__all__ = [
    "LANES",
    "bits",
    "broadcast",
    "constant",
    "exp2",
    "load",
    "load_block",
    "mark",
    "minimum",
    "no_marks",
    "prefetch",
    "store",
    "store_block",
    "store_marks",
    "store_totals",
    "total",
    "trailing_zeros",
    "where",
]

LANES = 16
_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(_FLOAT, LANES)
_FLAGS = ir.VectorType(ir.IntType(1), LANES)
_INTS = ir.VectorType(_INT, LANES)
# as fast as numba's own float operations here; neither "nnan" nor "ninf": comparisons must stay exact
_FAST = ("contract", "reassoc", "nsz", "arcp")


class _Floats(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Floats")


class _Flags(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Flags")


class _Sets(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Sets")


@register_model(_Floats)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


@register_model(_Flags)
class _FlagsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLAGS)


@register_model(_Sets)
class _SetsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _INTS)


_floats, _flags, _sets = _Floats(), _Flags(), _Sets()


def _splat(builder: Any, value: Any) -> Any:
    """One number in every lane."""
    empty = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    one = builder.insert_element(empty, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, empty, _INTS([0] * LANES))


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, element: Any) -> Any:
    """Pointer to a vector at an index of an array that is contiguous."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(element))


def _operator(which: Any, build: Callable[..., Any], result: types.Type) -> None:
    """Define an operator between vectors, and between a vector and a float32."""

    @type_callable(which)
    def kind_of(context):
        def kind(a, b):
            vectors = [isinstance(t, _Floats | _Flags) for t in (a, b)]
            known = [v or t == types.float32 for v, t in zip(vectors, (a, b), strict=True)]
            return result if any(vectors) and all(known) else None

        return kind

    def code(context, builder, signature, args):
        pairs = zip(args, signature.args, strict=True)
        return build(builder, *(_splat(builder, v) if t == types.float32 else v for v, t in pairs))

    for kinds in ((_floats, _floats), (_floats, types.float32), (types.float32, _floats), (_flags, _flags)):
        lower_builtin(which, *kinds)(code)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=_FAST), _floats)
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_FAST), _floats)
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=_FAST), _floats)
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b, flags=_FAST), _floats)
_operator(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), _flags)
_operator(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), _flags)
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), _flags)
_operator(operator.ge, lambda builder, a, b: builder.fcmp_ordered(">=", a, b), _flags)
_operator(operator.and_, lambda builder, a, b: builder.and_(a, b), _flags)


@intrinsic
def broadcast(typingctx, value):
    """The same float32 in every lane."""

    def code(context, builder, signature, args):
        return _splat(builder, args[0])

    return _floats(types.float32), code


def constant(values: list[float]) -> Any:
    """A function for kernels, without arguments, that gives these sixteen numbers."""

    @intrinsic
    def given(typingctx):
        def code(context, builder, signature, args):
            return _FLOATS([float(v) for v in values])

        return _floats(), code

    return given


@intrinsic
def where(typingctx, flags, a, b):
    """Lanes of `a` where the flag is set, else of `b`."""

    def code(context, builder, signature, args):
        return builder.select(*args)

    return _floats(_flags, _floats, _floats), code


@inlined
def minimum(a, b):
    """The smaller number per lane; `b` where one is NaN."""
    return where(a < b, a, b)


@intrinsic
def bits(typingctx, flags):
    """Flags as the lowest bits of an integer, that of lane 0 first."""

    def code(context, builder, signature, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), _INT)

    return types.uint32(_flags), code


@intrinsic
def trailing_zeros(typingctx, value):
    """Index of the lowest bit that is set, of a number that is not 0."""

    def code(context, builder, signature, args):
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), _LONG)

    return types.uint64(types.uint32), code


@intrinsic
def load(typingctx, array, index):
    """Sixteen numbers of a contiguous float32 array, from a flat index on."""

    def code(context, builder, signature, args):
        return builder.load(_place(context, builder, signature.args[0], *args, _FLOATS), align=4)

    return _floats(array, types.uint64), code


@intrinsic
def store(typingctx, array, index, values):
    """Write sixteen numbers into a contiguous float32 array, from a flat index on."""

    def code(context, builder, signature, args):
        builder.store(args[2], _place(context, builder, signature.args[0], *args[:2], _FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(array, types.uint64, _floats), code


@intrinsic
def load_block(typingctx, image, first, stride):
    """Four numbers of each of four rows of an image, from a flat index on; a stride leads to the next row."""

    def code(context, builder, signature, args):
        image, place, stride = args
        four, eight = ir.VectorType(_FLOAT, 4), ir.VectorType(_INT, 8)(list(range(8)))
        rows = []
        for _ in range(4):
            rows.append(
                builder.load(_place(context, builder, signature.args[0], image, place, four), align=4)
            )
            place = builder.add(place, stride)
        halves = [builder.shuffle_vector(rows[i], rows[i + 1], eight) for i in (0, 2)]
        return builder.shuffle_vector(*halves, _INTS(list(range(LANES))))

    return _floats(image, types.uint64, types.uint64), code


@intrinsic
def store_block(typingctx, image, first, stride, values):
    """The counterpart of `load_block`."""

    def code(context, builder, signature, args):
        image, place, stride, values = args
        for row in range(4):
            some = ir.VectorType(_INT, 4)([4 * row + i for i in range(4)])
            piece = builder.shuffle_vector(values, values, some)
            builder.store(
                piece, _place(context, builder, signature.args[0], image, place, piece.type), align=4
            )
            place = builder.add(place, stride)
        return context.get_dummy_value()

    return types.void(image, types.uint64, types.uint64, _floats), code


@intrinsic
def total(typingctx, values):
    """Sum over the lanes, always in the same order."""

    def code(context, builder, signature, args):
        return builder.extract_element(_totals(builder, [args[0]]), ir.Constant(_INT, 0))

    return types.float32(_floats), code


@intrinsic
def store_totals(typingctx, array, row, vectors):
    """Write the sums over the lanes of some vectors into a row of an array that has one column for each."""

    def code(context, builder, signature, args):
        array, row, vectors = args
        count = len(signature.args[2])
        sums = _totals(builder, [builder.extract_value(vectors, i) for i in range(count)])
        place = builder.mul(row, ir.Constant(_LONG, count))
        done = 0
        for width in (16, 8, 4, 2, 1):
            if count & width:
                some = ir.VectorType(_INT, width)(list(range(done, done + width)))
                piece = builder.shuffle_vector(sums, sums, some)
                builder.store(
                    piece, _place(context, builder, signature.args[0], array, place, piece.type), align=4
                )
                place = builder.add(place, ir.Constant(_LONG, width))
                done += width
        return context.get_dummy_value()

    return types.void(array, types.int64, vectors), code


def _totals(builder: Any, parts: list[Any]) -> Any:
    """Sums of up to sixteen vectors, one per lane.

    Halves are added to halves of two vectors at a time, so that a sum costs three instructions and not eight.
    """
    group = LANES
    while group > 1:
        group //= 2
        low = [2 * group * (i // group) + i % group for i in range(LANES)]
        halves = [_INTS([i + shift for i in low]) for shift in (0, group)]
        pairs = [(parts[i], parts[min(i + 1, len(parts) - 1)]) for i in range(0, len(parts), 2)]
        parts = [builder.fadd(*(builder.shuffle_vector(a, b, half) for half in halves)) for a, b in pairs]
    return parts[0]


@intrinsic
def no_marks(typingctx):
    """Sixteen empty sets of numbers from 0 to 31."""

    def code(context, builder, signature, args):
        return _INTS([0] * LANES)

    return _sets(), code


@intrinsic
def mark(typingctx, sets, flags, number):
    """The sets with a number put into those whose flag is set."""

    def code(context, builder, signature, args):
        bit = _splat(builder, builder.shl(ir.Constant(_INT, 1), builder.trunc(args[2], _INT)))
        return builder.or_(args[0], builder.select(args[1], bit, _INTS([0] * LANES)))

    return _sets(_sets, _flags, types.int64), code


@intrinsic
def store_marks(typingctx, array, sets):
    """Write sixteen sets into a uint32 array, a bit per number."""

    def code(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], args[0], ir.Constant(_LONG, 0), _INTS)
        builder.store(args[1], place, align=4)
        return context.get_dummy_value()

    return types.void(array, _sets), code


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for a cache line of a contiguous array before it is read."""

    def code(context, builder, signature, args):
        pointer = _place(context, builder, signature.args[0], *args, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), (pointer.type, _INT, _INT, _INT))
        ask = builder.module.declare_intrinsic("llvm.prefetch", (pointer.type,), kind)
        builder.call(ask, (pointer, *(ir.Constant(_INT, v) for v in (0, 3, 1))))  # to read, into all caches
        return context.get_dummy_value()

    return types.void(array, types.int64), code


@intrinsic
def _truncated(typingctx, values):
    """Numbers without their fractions, and what to add to the bits of a float to multiply it by 2^that."""

    def code(context, builder, signature, args):
        integers = builder.fptosi(args[0], _INTS)
        shift = builder.shl(integers, _INTS([23] * LANES))
        parts = [builder.sitofp(integers, _FLOATS), builder.bitcast(shift, _FLOATS)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(_floats, 2)(_floats), code


@intrinsic
def _add_to_bits(typingctx, values, shift):
    """Add the bits of numbers as if they were integers."""

    def code(context, builder, signature, args):
        return builder.bitcast(builder.add(*(builder.bitcast(v, _INTS) for v in args)), _FLOATS)

    return _floats(_floats, _floats), code


# minimax polynomial of 2^f on [-1/2, 1/2] with value 1 at 0; relative error 1.5e-7
_E1, _E2 = np.float32(0.6931468844), np.float32(0.2402228862)
_E3, _E4, _E5 = np.float32(0.0555097722), np.float32(0.0096698981), np.float32(0.0013179809)
_LOWEST, _HALF, _ONE = np.float32(-64.0), np.float32(0.5), np.float32(1.0)


@inlined
def exp2(power):
    """2^power per lane, for powers <= 0; those below -64, and NaN, count as -64."""
    power = where(power > _LOWEST, power, broadcast(_LOWEST))
    whole, shift = _truncated(power - _HALF)
    f = power - whole
    series = ((((f * _E5 + _E4) * f + _E3) * f + _E2) * f + _E1) * f + _ONE
    return _add_to_bits(series, shift)
