"""Machine words: the few operations that Numba lacks. All are inlined into the kernels of this package.

Each is an `intrinsic`: a function that gives Numba the LLVM instructions to use. The arguments are
arrays and indices; nothing checks bounds, so callers leave room behind their arrays.
"""

import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def word(typingctx, text, i):
    """The eight bytes text[i:i+8], the first lowest."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        word = builder.load(pointer, align=1)
        return word if sys.byteorder == "little" else builder.bswap(word)

    return types.uint64(text, i), generate


@intrinsic
def prefetch(typingctx, array, i):
    """Ask for the cache line of array[i]."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(fetch, [builder.bitcast(builder.gep(data, [arguments[1]]), byte), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, i), generate


@intrinsic
def lowest(typingctx, bits):
    """Index of the lowest set bit; 64 if there is none."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def highest(typingctx, bits):
    """Index of the highest set bit; -1 (as uint64) if there is none."""

    def generate(context, builder, signature, arguments):
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

    return types.uint64(types.uint64), generate


@intrinsic
def popcount(typingctx, bits):
    """Number of set bits."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def put_lanes(typingctx, out, i, value):
    """Write bits 0-19, 20-39, 40-59 of `value` to out[i:i+3], and what is above them to out[i+3], in one store."""

    def generate(context, builder, signature, arguments):
        target = signature.args[0]
        data = context.make_array(target)(context, builder, arguments[0]).data
        long, vector = ir.IntType(64), ir.VectorType(ir.IntType(64), 4)
        lanes = ir.Constant(vector, ir.Undefined)
        for lane in range(4):
            lanes = builder.insert_element(lanes, arguments[2], ir.IntType(32)(lane))
        lanes = builder.lshr(lanes, ir.Constant(vector, [long(shift) for shift in (0, 20, 40, 60)]))
        lanes = builder.and_(lanes, ir.Constant(vector, [long((1 << 20) - 1)] * 4))
        narrow = ir.VectorType(context.get_value_type(target.dtype), 4)
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), narrow.as_pointer())
        builder.store(builder.trunc(lanes, narrow), pointer, align=1)
        return context.get_dummy_value()

    return types.void(out, i, types.uint64), generate


@intrinsic
def copy_block(typingctx, source, i, target, j):
    """Copy the 16 bytes source[i:i+16] to target[j:j+16]; a loop would be checked for overlaps, and not become one move."""

    def generate(context, builder, signature, arguments):
        block = ir.VectorType(ir.IntType(8), 16).as_pointer()
        places = []
        for kind, array, at in zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True):
            data = context.make_array(kind)(context, builder, array).data
            places.append(builder.bitcast(builder.gep(data, [at]), block))
        builder.store(builder.load(places[0], align=1), places[1], align=1)
        return context.get_dummy_value()

    return types.void(source, i, target, j), generate
