"""The network of one position after the other: what changed since the last is added to the sums of the hidden layer.

Sums of integers are the same in any order, so this is exact. One byte later 32 % of the pairs of inputs of `best` are
what they were (17 % in `fast`). Vectors are LLVM's own, so that they compile on any processor; a product of sign-extended
integers whose even and odd lanes are added becomes vpmaddwd on x86. A hidden layer of `best` took 2850 ns with weights of
int16 and sums over rows (128-bit vectors, weights from the second-level cache), and takes a third of it; vectors of 512 bits,
and all units in one run over the pairs, take a fifth less than 256 bits and 64 units at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from compressors._machine_words import prefetch
from compressors.kernels import inlined

BLOCK = 16  # hidden units are padded to a multiple
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_SUMS = ir.VectorType(_I32, 8)
_WIDE = ir.VectorType(_I32, 16)  # a register of AVX-512; elsewhere two or four


class Network(NamedTuple):
    """The integer network, and what is kept from position to position."""

    start: npt.NDArray[np.int64]  # (features,) of each table in the flat one
    width: npt.NDArray[np.int64]  # (features,) entries of a row
    table: npt.NDArray[np.int8]
    weight1: npt.NDArray[np.int8]  # flat (pairs of inputs, units, 2)
    weight2: npt.NDArray[np.int8]  # flat (256, units)
    bias2: npt.NDArray[np.int32]
    x: npt.NDArray[np.int8]  # (2 * pairs,) inputs of this position
    last: npt.NDArray[np.int8]  # and of the one before
    delta: npt.NDArray[np.int16]  # the difference
    pairs: npt.NDArray[np.int32]  # the same memory, two inputs at a time
    changed: npt.NDArray[np.int64]  # pairs that are not zero
    sums: npt.NDArray[np.int32]  # (units,)
    hidden: npt.NDArray[np.int16]  # (units,)

    @classmethod
    def new(
        cls, start: npt.NDArray[np.int64], width: npt.NDArray[np.int64], table: npt.NDArray[np.int8],
        weight1: npt.NDArray[np.int8], bias1: npt.NDArray[np.int32], weight2: npt.NDArray[np.int8],
        bias2: npt.NDArray[np.int32],
    ) -> Network:  # fmt: skip
        """Of a document of which nothing was seen: all inputs are zero, the sums are the bias."""
        n_units, n_pairs = len(weight2) // 256, (int(width.sum()) + 1) // 2
        x, last, delta = np.zeros(2 * n_pairs, np.int8), np.zeros(2 * n_pairs, np.int8), np.zeros(2 * n_pairs, np.int16)
        pairs, changed = delta.view(np.int32), np.zeros(n_pairs, np.int64)
        sums, hidden = np.zeros(n_units, np.int32), np.zeros(n_units, np.int16)
        sums[: len(bias1)] = bias1
        return cls(start, width, table, weight1, weight2, bias2, x, last, delta, pairs, changed, sums, hidden)


def by_pairs(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Weights (hidden, inputs) as a flat (pairs of inputs, units, 2), padded with zeros to even inputs, whole blocks."""
    hidden, inputs = weight.shape
    padded = np.pad(weight, ((0, -hidden % BLOCK), (0, inputs % 2)))
    return np.ascontiguousarray(padded.reshape(len(padded), -1, 2).transpose(1, 0, 2)).reshape(-1)


def by_nodes(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Weights (256, hidden) as a flat (256, units), padded with zeros."""
    return np.pad(weight, ((0, 0), (0, -weight.shape[1] % BLOCK))).reshape(-1)


def _address(context, builder, kind, array, index, vector):
    """Pointer to array[index] as one to a vector (or a word)."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _multiply_add(builder, total, weights, inputs):
    """Add to `total`, n int32 in memory, the products of 2n int8 and 2n int16, the two of each lane together."""
    n = weights.type.count // 2
    wide = ir.VectorType(_I32, 2 * n)
    product = builder.mul(builder.sext(weights, wide), builder.sext(inputs, wide))
    masks = [ir.Constant(ir.VectorType(_I32, n), [_I32(2 * lane + odd) for lane in range(n)]) for odd in (0, 1)]
    halves = [builder.shuffle_vector(product, product, mask) for mask in masks]
    builder.store(builder.add(builder.load(total), builder.add(*halves)), total)


def _adder(n_units):
    """A function for `n_units` units, whose sums stay in registers while it runs over the pairs of inputs."""

    @intrinsic
    def add_products(typingctx, weight, changed, n_changed, pairs, sums, first):
        def generate(context, builder, signature, arguments):
            weight, changed, n_changed, pairs, sums, first = arguments
            weight_type, changed_type, _, pairs_type, sums_type, _ = signature.args
            stride = builder.shl(context.make_array(sums_type)(context, builder, sums).nitems, _I64(1))
            places = [
                _address(context, builder, sums_type, sums, builder.add(first, _I64(unit)), _WIDE)
                for unit in range(0, n_units, 16)
            ]
            totals = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in places]
            with cgutils.for_range(builder, n_changed) as loop:
                pair = builder.load(_address(context, builder, changed_type, changed, loop.index, _I64), align=8)
                two = builder.load(_address(context, builder, pairs_type, pairs, pair, _I32), align=4)
                one = builder.insert_element(ir.Constant(_WIDE, ir.Undefined), two, _I32(0))
                all_ = builder.shuffle_vector(one, one, ir.Constant(_WIDE, [_I32(0)] * 16))
                inputs = builder.bitcast(all_, ir.VectorType(_I16, 32))
                row = builder.add(builder.mul(pair, stride), builder.shl(first, _I64(1)))
                for k, total in enumerate(totals):
                    at = builder.add(row, _I64(32 * k))
                    place = _address(context, builder, weight_type, weight, at, ir.VectorType(_I8, 32))
                    _multiply_add(builder, total, builder.load(place, align=1), inputs)
            for place, total in zip(places, totals, strict=True):
                builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()

        return types.void(weight, changed, types.int64, pairs, sums, types.int64), generate

    return add_products


# All units of `best`, and of `fast`, in one run over the pairs.
_add_128, _add_48, _add_block = _adder(128), _adder(48), _adder(BLOCK)


@intrinsic
def _dot(typingctx, weight, first, hidden):
    """Sum over the units of hidden (units,) int16 times weight[first:first + units] int8."""

    def generate(context, builder, signature, arguments):
        weight, first, hidden = arguments
        weight_type, _, hidden_type = signature.args
        blocks = builder.lshr(context.make_array(hidden_type)(context, builder, hidden).nitems, _I64(4))
        total = cgutils.alloca_once_value(builder, ir.Constant(_SUMS, None))
        with cgutils.for_range(builder, blocks) as loop:
            at = builder.shl(loop.index, _I64(4))
            weights = _address(context, builder, weight_type, weight, builder.add(first, at), ir.VectorType(_I8, 16))
            inputs = _address(context, builder, hidden_type, hidden, at, ir.VectorType(_I16, 16))
            _multiply_add(builder, total, builder.load(weights, align=1), builder.load(inputs, align=2))
        kind = ir.FunctionType(_I32, [_SUMS])
        reduce = builder.module.declare_intrinsic("llvm.vector.reduce.add.v8i32", (), kind)
        return builder.call(reduce, [builder.load(total)])

    return types.int32(weight, types.int64, hidden), generate


@intrinsic
def _copy8(typingctx, source, i, target, j):
    """target[j:j + 8] = source[i:i + 8], bytes."""

    def generate(context, builder, signature, arguments):
        source, i, target, j = arguments
        value = builder.load(_address(context, builder, signature.args[0], source, i, _I64), align=1)
        builder.store(value, _address(context, builder, signature.args[2], target, j, _I64), align=1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), generate


@inlined
def fetch(hashes, sight, network):
    """Ask for the rows of the contexts: a table of `best` has 786 kB."""
    for f in range(len(sight.contexts)):
        row = np.int64(hashes[sight.contexts[f]] >> np.uint64(64 - sight.bits[f]))
        prefetch(network.table, network.start[f] + row * network.width[f])


@inlined
def gather(rows, network):
    """The rows of all features, one after the other, become the inputs."""
    table, x = network.table, network.x
    at = 0
    for f in range(len(rows)):
        n = network.width[f]
        first = network.start[f] + np.int64(rows[f]) * n
        if n >= 8 and n <= 16:  # its first and its last eight bytes, which may overlap: no loop, nothing read beyond it
            _copy8(table, first, x, at)
            _copy8(table, first + n - 8, x, at + n - 8)
        else:
            for d in range(n):
                x[at + d] = table[first + d]
        at += n


@inlined
def advance(network):
    """Sums and hidden units of the new inputs, from the sums of the inputs before them."""
    x, last, delta, pairs, changed = network.x, network.last, network.delta, network.pairs, network.changed
    sums, hidden = network.sums, network.hidden
    for k in range(len(x)):
        delta[k] = np.int16(np.int16(x[k]) - np.int16(last[k]))
        last[k] = x[k]
    n = 0
    for k in range(len(pairs)):  # no branch: whether a pair changed is hard to predict
        changed[n] = k
        n += np.int64(pairs[k] != np.int32(0))
    first = 0
    while first + 128 <= len(sums):
        _add_128(network.weight1, changed, n, pairs, sums, first)
        first += 128
    while first + 48 <= len(sums):
        _add_48(network.weight1, changed, n, pairs, sums, first)
        first += 48
    while first < len(sums):
        _add_block(network.weight1, changed, n, pairs, sums, first)
        first += BLOCK
    for j in range(len(sums)):
        unit = np.int32(np.int32(sums[j] + np.int32(8)) >> np.int32(4))
        hidden[j] = np.int16(min(max(unit, np.int32(0)), np.int32(127)))


@inlined
def logit(node, network):
    """What the network says of one decision: nats in 1/1024."""
    return np.int64(network.bias2[node]) + np.int64(_dot(network.weight2, node * len(network.hidden), network.hidden))
