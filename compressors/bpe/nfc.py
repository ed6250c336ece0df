"""Is text in Unicode's normalization form C? Decided by the normalizer of `tokenizers`, asked only where it may not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compressors.errors import InputError


def checked(documents: Iterable[bytes]) -> Iterator[bytes]:
    """`documents`, of which each must be in NFC. Raises `InputError` with the number of the first that is not."""
    from tokenizers import normalizers

    composed = normalizers.NFC()
    for i, document in enumerate(documents):
        if not document.isascii():
            text = bytes(document).decode("utf-8", "ignore")
            if composed.normalize_str(text) != text:
                raise InputError(
                    f"bpe: document {i} is not in NFC, which its tokenizer would bring it into; normalise it first, or "
                    "keep such text as it is: `proxyc convert --not-nfc keep`"
                )
        yield document
