"""Text from outside, names of files and messages of plugins, made harmless on a terminal."""

from __future__ import annotations


def shown(text: object) -> str:
    """`text` on one line; control characters, escape sequences and bytes outside UTF-8 as Python writes them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
