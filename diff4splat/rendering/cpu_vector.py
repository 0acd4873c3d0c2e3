"""Sixteen float32 numbers as one value inside numba kernels, for code that must not depend on auto-vectorising.

`Floats` holds one number per lane, `Flags` one truth value. Operators work lane by lane, between two vectors
or a vector and a float32 scalar. LLVM turns them into the widest instructions of the machine: one AVX-512
register, two of AVX2, four of SSE or NEON. numba cannot lose the vector form, because there is no loop.
"""

import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic, models, overload, register_model

__all__ = ["LANES", "bits", "broadcast", "constant", "exp2", "load", "load_row", "maximum", "mark", "minimum", "no_marks", "prefetch", "store", "store_marks", "store_totals", "total", "trailing_zeros", "where"]

LANES = 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _FLAGS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(ir.IntType(1), LANES), ir.VectorType(_INT, LANES)


class Floats(types.Type):
    """Type of sixteen float32 numbers."""

    def __init__(self):
        super().__init__(name="Floats")


class Flags(types.Type):
    """Type of sixteen truth values."""

    def __init__(self):
        super().__init__(name="Flags")


class Integers(types.Type):
    """Type of sixteen 32-bit integers."""

    def __init__(self):
        super().__init__(name="Integers")


_floats, _flags, _integers = Floats(), Flags(), Integers()


@register_model(Floats)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _FLOATS)


@register_model(Flags)
class _FlagsModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _FLAGS)


@register_model(Integers)
class _IntegersModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _INTS)


@intrinsic
def no_marks(typingctx):
    """Sixteen empty sets of numbers from 0 to 31."""

    def code(context, builder, signature, args):
        return ir.Constant(_INTS, [0] * LANES)

    return _integers(), code


@intrinsic
def mark(typingctx, sets, flags, number):
    """Put a number into the sets whose flag is set."""

    def code(context, builder, signature, args):
        bit = builder.shl(ir.Constant(_INT, 1), builder.trunc(args[2], _INT))
        one = builder.insert_element(ir.Constant(_INTS, ir.Undefined), bit, ir.Constant(_INT, 0))
        wide = builder.shuffle_vector(one, ir.Constant(_INTS, ir.Undefined), ir.Constant(_INTS, [0] * LANES))
        return builder.or_(args[0], builder.select(args[1], wide, ir.Constant(_INTS, [0] * LANES)))

    return _integers(_integers, _flags, types.int64), code


@intrinsic
def store_marks(typingctx, array, sets):
    """Write sixteen sets as the bits of a uint32 array."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store(args[1], builder.bitcast(data, ir.PointerType(_INTS)), align=4)
        return context.get_dummy_value()

    return types.void(array, _integers), code


def _splat(builder, value):
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


@intrinsic
def broadcast(typingctx, value):
    """The same float32 in every lane."""

    def code(context, builder, signature, args):
        return _splat(builder, args[0])

    return _floats(types.float32), code


def _operator(which: Any, build: Callable[..., Any], result: types.Type) -> None:
    """Make an operator work between vectors, and between a vector and a float32."""

    @intrinsic
    def apply(typingctx, a, b):
        def code(context, builder, signature, args):
            wide = [v if t == _floats or t == _flags else _splat(builder, v) for v, t in zip(args, signature.args)]
            return build(builder, *wide)

        kinds = [t if t in (_floats, _flags) else types.float32 for t in (a, b)]
        return result(*kinds), code

    @overload(which)
    def choose(a, b):
        given = (a, b)
        if any(isinstance(t, Floats | Flags) for t in given) and all(
            isinstance(t, Floats | Flags) or t == types.float32 for t in given
        ):
            return lambda a, b: apply(a, b)
        return None


_FAST = ("contract", "reassoc", "nsz", "arcp")
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
def where(typingctx, flags, a, b):
    """Lanes of `a` where `flags` holds, else of `b`."""

    def code(context, builder, signature, args):
        return builder.select(*args)

    return _floats(_flags, _floats, _floats), code


@numba.njit
def minimum(a, b):
    """The smaller one per lane; `b` where either is NaN."""
    return where(a < b, a, b)


@numba.njit
def maximum(a, b):
    """The larger one per lane; `b` where either is NaN."""
    return where(a > b, a, b)


@intrinsic
def bits(typingctx, flags):
    """Truth values as the lowest bits of an integer, lane 0 first."""

    def code(context, builder, signature, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), _INT)

    return types.uint32(_flags), code


@intrinsic
def total(typingctx, values):
    """Sum over the lanes, always in the same order."""

    def code(context, builder, signature, args):
        kind = ir.FunctionType(_FLOAT, (_FLOAT, _FLOATS))
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        add = builder.module.declare_intrinsic(name, fnty=kind)
        return builder.call(add, (ir.Constant(_FLOAT, 0.0), args[0]), fastmath=("reassoc",))

    return types.float32(_floats), code


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    place = builder.gep(data, [index])
    return builder.bitcast(place, ir.PointerType(_FLOATS))


@intrinsic
def load(typingctx, array, index):
    """Sixteen numbers of a flat float32 array, from `index` on; nothing is checked."""

    def code(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], args[0], args[1]), align=4)

    return _floats(array, types.uint64), code


@intrinsic
def store(typingctx, array, index, values):
    """Write sixteen numbers into a flat float32 array, from `index` on; nothing is checked."""

    def code(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.uint64, _floats), code


def constant(values):
    """Return a kernel function without arguments that gives these sixteen numbers."""
    numbers = [float(v) for v in values]

    @intrinsic
    def given(typingctx):
        def code(context, builder, signature, args):
            return ir.Constant(_FLOATS, numbers)

        return _floats(), code

    return given


@intrinsic
def _whole(typingctx, values):
    """Towards zero, as a float, and its power of two minus that of 0 as what to add to the bits of a float."""

    def code(context, builder, signature, args):
        integers = builder.fptosi(args[0], _INTS)
        shift = builder.shl(integers, ir.Constant(_INTS, [23] * LANES))
        pair = context.make_tuple(
            builder, signature.return_type, [builder.sitofp(integers, _FLOATS), builder.bitcast(shift, _FLOATS)]
        )
        return pair

    return types.Tuple((_floats, _floats))(_floats), code


@intrinsic
def _scaled(typingctx, values, shift):
    """Add integers, given as floats of the same bits, to the bits of floats."""

    def code(context, builder, signature, args):
        one, other = (builder.bitcast(v, _INTS) for v in args)
        return builder.bitcast(builder.add(one, other), _FLOATS)

    return _floats(_floats, _floats), code


# minimax polynomial of 2^f on [-1/2, 1/2] with value 1 at 0; relative error 1.5e-7
_E1, _E2 = np.float32(0.6931468844), np.float32(0.2402228862)
_E3, _E4, _E5 = np.float32(0.0555097722), np.float32(0.0096698981), np.float32(0.0013179809)
_LOWEST, _HALF, _ONE = np.float32(-64.0), np.float32(0.5), np.float32(1.0)


@numba.njit
def exp2(power):
    """2^power per lane, for powers <= 0; those below -125 count as -125."""
    power = where(power > _LOWEST, power, broadcast(_LOWEST))
    whole, shift = _whole(power - _HALF)
    f = power - whole
    series = ((((f * _E5 + _E4) * f + _E3) * f + _E2) * f + _E1) * f + _ONE
    return _scaled(series, shift)


@intrinsic
def trailing_zeros(typingctx, value):
    """Index of the lowest bit that is set; the value must not be 0."""

    def code(context, builder, signature, args):
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), code


@intrinsic
def prefetch(typingctx, rows, index):
    """Ask for the cache line of a row of a 2D array before it is read."""

    def code(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        offset = builder.mul(builder.sext(args[1], ir.IntType(64)), builder.extract_value(array.strides, 0))
        pointer = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset])
        kind = ir.FunctionType(ir.VoidType(), (pointer.type, _INT, _INT, _INT))
        ask = builder.module.declare_intrinsic("llvm.prefetch", (pointer.type,), kind)
        builder.call(ask, (pointer, *(ir.Constant(_INT, v) for v in (0, 3, 1))))
        return context.get_dummy_value()

    return types.void(rows, types.int32), code


@intrinsic
def load_row(typingctx, rows, index):
    """The sixteen numbers of a row of an array of shape (n, 16)."""

    def code(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.gep(array.data, [builder.mul(args[1], ir.Constant(ir.IntType(64), LANES))])
        return builder.load(builder.bitcast(place, ir.PointerType(_FLOATS)), align=4)

    return _floats(rows, types.int64), code


@intrinsic
def store_totals(typingctx, array, row, vectors):
    """Write the sums over the lanes of up to sixteen vectors into a row of a 2D array with as many columns.

    Halves are added to halves, of two vectors at a time, so that a sum costs two instructions and not seven.
    """

    def code(context, builder, signature, args):
        parts = [builder.extract_value(args[2], i) for i in range(len(vectors))]
        count, group = len(parts), LANES
        undefined = ir.Constant(_FLOATS, ir.Undefined)
        while group > 1:
            group //= 2
            low = [2 * group * (i // group) + i % group for i in range(LANES)]
            masks = [ir.Constant(_INTS, [i + shift for i in low]) for shift in (0, group)]
            pairs = [(parts[i], parts[i + 1] if i + 1 < len(parts) else undefined) for i in range(0, len(parts), 2)]
            parts = [builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks)) for a, b in pairs]
        target = context.make_array(signature.args[0])(context, builder, args[0]).data
        first = builder.mul(args[1], ir.Constant(ir.IntType(64), count))
        done = 0
        for width in (16, 8, 4, 2, 1):
            if count & width:
                some = ir.VectorType(_INT, width)(list(range(done, done + width)))
                piece = builder.shuffle_vector(parts[0], undefined, some)
                place = builder.gep(target, [builder.add(first, ir.Constant(ir.IntType(64), done))])
                builder.store(piece, builder.bitcast(place, ir.PointerType(piece.type)), align=4)
                done += width
        return context.get_dummy_value()

    return types.void(array, types.int64, vectors), code
