"""The kernel that tells what every byte costs under the neural codec, for people to look at; nothing is coded
with it.
"""

import numpy as np

from compressors.kernels import kernel
from compressors.neural._mixed_code import prepare
from compressors.neural._mixing import decide, start_byte, start_half, update
from compressors.neural._network import advance, gather


@kernel
def costs(data, bits, sight, state, network, ahead, decision, memory, tables):
    """Fill bits (n,) float64 with -log2 of the probability that the coder gives each byte of data (n,) uint8.

    The steps are those of `_mixed_code.code`; sight and what follows it come new, as there.
    """
    for i in range(len(data)):
        prepare(data, i, 1, sight, state, network, ahead, 0, memory, tables)
        gather(ahead.rows[0], network)
        advance(network)
        keys, counters, node = ahead.keys[0], ahead.counters[0], np.int64(1)
        start_byte(i, ahead.matches[0], data[i - 1] if i else 0, decision, memory, tables)
        bits[i] = 0.0
        for shift in range(7, -1, -1):
            if shift == 7 or shift == 3:
                start_half(node, keys, decision, memory)
            bit = (np.int64(data[i]) >> shift) & 1
            p = decide(node, shift, counters, counters[2], network, decision, memory, tables)
            bits[i] -= np.log2(p / 65536.0) if bit else np.log2(1.0 - p / 65536.0)
            update(node, shift, bit, network, decision, memory, tables)
            node = 2 * node + bit
