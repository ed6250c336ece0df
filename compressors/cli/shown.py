"""Text from outside, names of files and messages of plugins, made harmless on a terminal."""

from __future__ import annotations


def shown(text: object, *, keep: str = "") -> str:
    """`text` on one line; control characters, escape sequences and bytes outside UTF-8 as Python writes them.

    keep: characters that stay as they are, e.g. line ends.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text)
    )
