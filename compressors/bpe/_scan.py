"""The kernel that takes a chunk of text through all three steps at once: classes, pieces, ids.

After each kernel a thread must get Python's lock back, and waits where another thread holds it. One kernel a chunk in
place of three makes two threads 1.07 times as fast on 5 MB of Python.

`encoder.Encoder` calls `encode` where a `cutting.Scanner` cuts.
"""

import numpy as np

from compressors.bpe import _classify, _encode, _split
from compressors.kernels import kernel

_classes, _pieces, _ids = _classify.blocks, _split.split, _encode.encode


@kernel
def encode(text, offsets, scan, tables, whole, cache, spill, used, work, links, heap, out, rows, keys):
    """Ids of documents text[offsets[d]:offsets[d + 1]] into `out`; returns their number.

    scan: as `cutting.Scanner.arguments` gives it. All else as for `_encode.encode`.
    """
    pages, classes, masks, heads, place, blocks, family, size, carry, starts, first_piece, tokens = scan
    _classes(text, offsets, pages, classes, masks, heads, place, blocks)
    count = np.int64(_pieces(text, offsets, masks, heads, place, blocks, family, size, carry, starts, first_piece))
    pieces = starts[: count + 1]
    return _ids(
        text, pieces, first_piece, tokens, tables, whole, cache, spill, used, work, links, heap, out, rows, keys
    )
