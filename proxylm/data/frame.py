"""What stands around a text, known here only:

    bos <raw> bytes </raw> eos                      a document, or <comp> symbols </comp> for a compressed one
    bos <raw> bytes </raw> <comp> symbols </comp> eos    both views of one text, in either order

The first two ids are the *opening*. What follows is the *body*: a model predicts each id of it, but for opening marks inside.
A stretch of a body is always shown behind an opening, so that a position knows its view. `bos` and `eos` belong to no view.
"""

from __future__ import annotations

from proxylm.data.alphabet import BOS, COMP_CLOSE, COMP_OPEN, EOS, RAW_CLOSE, RAW_OPEN

# Ids before a body, between its views, and behind it. Compiled into the kernels of `proxylm.data.row_plan`.
OPENING, SWITCH, CLOSING = 2, 2, 2
END = RAW_CLOSE  # what a model that writes bytes predicts where the text ends


def opening(*, compressed: bool = False) -> list[int]:
    """The ids before a body that begins with bytes, or with symbols."""
    return [BOS, COMP_OPEN if compressed else RAW_OPEN]


def closing(*, compressed: bool = False) -> list[int]:
    """The ids behind a body that ends with bytes, or with symbols."""
    return [COMP_CLOSE if compressed else RAW_CLOSE, EOS]


def switch(*, compressed: bool) -> list[int]:
    """The ids from a view, compressed or not, to the other one."""
    return [COMP_CLOSE, RAW_OPEN] if compressed else [RAW_CLOSE, COMP_OPEN]
