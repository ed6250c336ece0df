"""What a view does to a text: its pieces, their symbols, what an edit changes, what every byte costs.

`Cut.of(codec, text)` cuts a text as a codec does. `terminal.drawn` prints cuts, `page.page` makes one
offline HTML page.
"""

from compressors.show.cut import Cut, changed_symbols, visible

__all__ = ["Cut", "changed_symbols", "visible"]
