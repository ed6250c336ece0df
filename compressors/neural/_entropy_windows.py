"""The kernel of policy `entropy`: how uncertain the model is at every byte, and how far a window of W bits reaches."""

import numpy as np

from compressors.kernels import inlined, kernel
from compressors.neural._code import _learn, _limited, _mixed, _prepare
from compressors.neural._network import advance, gather, logit

_0, _1, _16, _48 = np.uint64(0), np.uint64(1), np.uint64(16), np.uint64(48)


@inlined
def _uncertainty(network, keys, mixing, w, binary, reach):
    """Entropy of the next byte in 1/256 bit: that of every decision, times how likely it is to be reached."""
    # reach[node]: probability of coming to this node of the tree of a byte's eight bits, in 2^-32.
    total = _0
    reach[1] = _1 << np.uint64(32)
    for node in range(1, 256):
        mixing.inputs[0] = _limited((logit(node, network) + 2) >> 2)
        p = np.uint64(_mixed(node, keys, mixing, w))
        here = reach[node] >> _16
        total += here * np.uint64(binary[p >> np.uint64(4)])
        reach[2 * node + 1] = here * p
        reach[2 * node] = reach[node] - reach[2 * node + 1]
    return np.uint32(total >> _16)


@kernel
def follow(data, before, bits, entropy, binary, reach, sight, state, network, mixing, ahead):
    """Read data (n,) uint8 as one document; (bytes taken, symbol) of what follows the first `before` bytes.

    bits > 0: stop before the byte after whose coding fewer than one in 2^bits of all numbers would be left, though not
    before the first; the symbol is the lowest number of `bits` bits in what is left. bits = 0: read all. entropy (n,)
    uint32, or (0,) if it is not wanted: filled, in 1/256 bit. binary (4096,): entropy of one decision by probability.
    reach (512,) uint64 is work space; what follows it comes new, as for `_code.code`.
    """
    # The coder's interval [low, low + span) is held to 48 bits; a cell is what one number of `bits`
    # bits stands for.
    shift_to_cell = _48 - np.uint64(bits)
    cell = _1 << shift_to_cell
    low, span, symbol = _0, _1 << _48, _0
    for i in range(len(data)):
        _prepare(data, i, 0, sight, state, network, mixing.counters, ahead, 0)
        gather(ahead.rows[0], network)
        advance(network)
        keys, w, node = ahead.keys[0], mixing.weights[ahead.matches[0] >> 8], 1
        if len(entropy):
            entropy[i] = _uncertainty(network, keys, mixing, w, binary, reach)
        for shift in range(7, -1, -1):
            bit = (np.int64(data[i]) >> shift) & 1
            mixing.inputs[0] = _limited((logit(node, network) + 2) >> 2)
            p = _mixed(node, keys, mixing, w)
            bound = (span >> _16) * np.uint64(p)
            if bit:
                span = bound
            else:
                low, span = low + bound, span - bound
            _learn(bit, p, mixing, w)
            node = 2 * node + bit
        # Bytes before the window are read, not coded: the interval starts full.
        if bits == 0 or i < before:
            low, span = _0, _1 << _48
        elif span >= cell:
            symbol = (low + cell - _1) >> shift_to_cell
        elif i == before:  # a byte that is so unlikely shares its symbol with others
            return np.int64(1), low >> shift_to_cell
        else:
            return np.int64(i - before), symbol
    return np.int64(len(data) - before), symbol
