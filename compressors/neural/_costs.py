"""The kernel that tells what every byte costs under the neural codec, for people to look at; nothing is coded
with it.
"""

import numpy as np

from compressors.kernels import kernel
from compressors.neural._code import _learn, _limited, _mixed, _prepare
from compressors.neural._network import advance, gather, logit


@kernel
def costs(data, bits, sight, state, network, mixing, ahead):
    """Fill bits (n,) float64 with -log2 of the probability that the coder gives each byte of data (n,) uint8.

    The steps are those of `_code.code`; sight and what follows it come new, as there.
    """
    for i in range(len(data)):
        _prepare(data, i, 0, sight, state, network, mixing.counters, ahead, 0)
        gather(ahead.rows[0], network)
        advance(network)
        keys, w, node = ahead.keys[0], mixing.weights[ahead.matches[0] >> 8], 1
        bits[i] = 0.0
        for shift in range(7, -1, -1):
            bit = (np.int64(data[i]) >> shift) & 1
            mixing.inputs[0] = _limited((logit(node, network) + 2) >> 2)
            p = _mixed(node, keys, mixing, w)
            bits[i] -= np.log2(p / 65536.0) if bit else np.log2(1.0 - p / 65536.0)
            _learn(bit, p, mixing, w)
            node = 2 * node + np.int64(bit)
