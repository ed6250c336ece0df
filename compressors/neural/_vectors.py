"""Sums of products, and their learning, on vectors of LLVM's own: the same integers on every processor.

`dot` and `learn` have weights of int32 in 1/2^16 (the mixers), `dot_output` and `learn_output` of int16 in 1/2^8 of what the
network's output layer has (int8).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from compressors.neural._network import _SUMS, _address, _multiply_add

LANES = 8  # inputs of a mixer are padded to a multiple
RATE_SHIFT = 16
_I1, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
_BLOCK = 16


def _filled(builder, value, kind):
    """A vector of `kind` with `value` in every lane."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, kind.count), [_I32(0)] * kind.count))


def _constant(value, kind):
    return ir.Constant(kind, [kind.element(value)] * kind.count)


def _sum(builder, vector):
    """Sum of the lanes."""
    kind = vector.type
    name = f"llvm.vector.reduce.add.v{kind.count}i{kind.element.width}"
    reduce = builder.module.declare_intrinsic(name, (), ir.FunctionType(kind.element, [kind]))
    return builder.call(reduce, [vector])


@intrinsic
def dot(typingctx, weights, first, inputs):
    """Sum of weights[first:first + n] times inputs (n,), both int32, in int64."""

    def generate(context, builder, signature, arguments):
        weights, first, inputs = arguments
        weights_type, _, inputs_type = signature.args
        narrow, wide = ir.VectorType(_I32, LANES), ir.VectorType(_I64, LANES)
        n_blocks = builder.lshr(context.make_array(inputs_type)(context, builder, inputs).nitems, _I64(3))
        total = cgutils.alloca_once_value(builder, ir.Constant(wide, None))
        with cgutils.for_range(builder, n_blocks) as loop:
            at = builder.shl(loop.index, _I64(3))
            w = builder.load(_address(context, builder, weights_type, weights, builder.add(first, at), narrow), align=4)
            x = builder.load(_address(context, builder, inputs_type, inputs, at, narrow), align=4)
            product = builder.mul(builder.sext(w, wide), builder.sext(x, wide))
            builder.store(builder.add(builder.load(total), product), total)
        return _sum(builder, builder.load(total))

    return types.int64(weights, types.int64, inputs), generate


@intrinsic
def learn(typingctx, weights, first, inputs, error):
    """Add inputs (n,) times error, rounded, in 1/2^RATE_SHIFT to weights[first:first + n]; |error| <= 2^19, |inputs| < 2^12."""

    def generate(context, builder, signature, arguments):
        weights, first, inputs, error = arguments
        weights_type, _, inputs_type, _ = signature.args
        kind = ir.VectorType(_I32, LANES)
        n_blocks = builder.lshr(context.make_array(inputs_type)(context, builder, inputs).nitems, _I64(3))
        errors = _filled(builder, builder.trunc(error, _I32), kind)
        half, shift = _constant(1 << (RATE_SHIFT - 1), kind), _constant(RATE_SHIFT, kind)
        with cgutils.for_range(builder, n_blocks) as loop:
            at = builder.shl(loop.index, _I64(3))
            place = _address(context, builder, weights_type, weights, builder.add(first, at), kind)
            x = builder.load(_address(context, builder, inputs_type, inputs, at, kind), align=4)
            step = builder.ashr(builder.add(builder.mul(x, errors), half), shift)
            builder.store(builder.add(builder.load(place, align=4), step), place, align=4)
        return context.get_dummy_value()

    return types.void(weights, types.int64, inputs, types.int64), generate


@intrinsic
def dot_output(typingctx, weights, first, hidden):
    """Sum of weights[first:first + units] times hidden (units,), both int16, in int32."""

    def generate(context, builder, signature, arguments):
        weights, first, hidden = arguments
        weights_type, _, hidden_type = signature.args
        kind = ir.VectorType(_I16, _BLOCK)
        n_blocks = builder.lshr(context.make_array(hidden_type)(context, builder, hidden).nitems, _I64(4))
        total = cgutils.alloca_once_value(builder, ir.Constant(_SUMS, None))
        with cgutils.for_range(builder, n_blocks) as loop:
            at = builder.shl(loop.index, _I64(4))
            w = builder.load(_address(context, builder, weights_type, weights, builder.add(first, at), kind), align=2)
            x = builder.load(_address(context, builder, hidden_type, hidden, at, kind), align=2)
            _multiply_add(builder, total, w, x)
        return _sum(builder, builder.load(total))

    return types.int32(weights, types.int64, hidden), generate


@intrinsic
def learn_output(typingctx, weights, first, hidden, error):
    """Add hidden (units,) times error / 2^11, rounded, to weights[first:first + units], which stay int16; |error| < 2^15."""

    def generate(context, builder, signature, arguments):
        weights, first, hidden, error = arguments
        weights_type, _, hidden_type, _ = signature.args
        kind, wide = ir.VectorType(_I16, _BLOCK), ir.VectorType(_I32, _BLOCK)
        n_blocks = builder.lshr(context.make_array(hidden_type)(context, builder, hidden).nitems, _I64(4))
        errors = builder.sext(_filled(builder, builder.trunc(error, _I16), kind), wide)
        saturate = builder.module.declare_intrinsic("llvm.sadd.sat.v16i16", (), ir.FunctionType(kind, [kind, kind]))
        with cgutils.for_range(builder, n_blocks) as loop:
            at = builder.shl(loop.index, _I64(4))
            place = _address(context, builder, weights_type, weights, builder.add(first, at), kind)
            x = builder.load(_address(context, builder, hidden_type, hidden, at, kind), align=2)
            # Written so that it is one rounding multiplication of 16 bits where the processor has that: x < 2^7.
            sixteen = builder.sext(builder.shl(x, _constant(4, kind)), wide)
            step = builder.ashr(builder.mul(sixteen, errors), _constant(14, wide))
            step = builder.ashr(builder.add(step, _constant(1, wide)), _constant(1, wide))
            sum_ = builder.call(saturate, [builder.load(place, align=2), builder.trunc(step, kind)])
            builder.store(sum_, place, align=2)
        return context.get_dummy_value()

    return types.void(weights, types.int64, hidden, types.int64), generate
