"""The conformance kit: `check(codec)` runs every law of `compressors.base`.

A law that fails raises `LawBroken`, which names the law and the data. A plugin's test is one line:

    def test_my_codec():
        compressors.testing.check(MyCodec(level=3))

Of a one-way view (``lossless = False``) the kit runs the laws that need no decoding, and checks
that the
other methods raise `OneWay`. With ``processes=True`` it also compares with fresh processes under
other
hash seeds; then the codec's class must be importable by the name of its module. `proxyc doctor`
runs the
kit on every registered codec. The laws of files are in `testing_files`, those of threads and
processes
in `testing_processes`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import random

import numpy as np

from compressors.base import Compressor
from compressors.errors import CorruptStream, OneWay


class LawBroken(AssertionError):
    """A codec does not keep the contract; the message names the law and the smallest evidence."""


def samples() -> list[bytes]:
    """Byte strings that have broken codecs: empty, all bytes, invalid UTF-8, NUL tails, odd lengths, long
    runs, noise.
    """
    noise = random.Random(0)
    text = "def f(x):\n    return x + 1  # naïve — 日本語 🙂 \u017f \u00a0\r\n\tI'LL can't\n"
    return [
        b"", b"\0", b"a", b"\xff", b"\r\n", bytes(range(256)), b"ends in NUL\0\0", b"odd",
        text.encode(), text.encode() * 50, text.encode()[:40] + b"\x80\xfe" + text.encode(), text.encode("utf-16"),
        b"\xed\xa0\x80 surrogate \xf4\x90\x80\x80 too high \xc0\x80 overlong", "\ufeff<|endoftext|> <raw>".encode(),
        b"a" * 5000, b" " * 1111, b"^" * 999, b"0123456789" * 77, noise.randbytes(4097),
    ]  # fmt: skip


def check(codec: Compressor, documents: list[bytes] | None = None, *, processes: bool = False) -> None:
    """Raise `LawBroken` unless `codec` keeps every law on `documents`.

    By default the documents are `samples()`, and the laws of files are checked, too; with other
    documents
    they are left out. `processes` adds the laws that start new interpreters.
    """
    from compressors import testing_files, testing_processes  # these state their laws with `law`, from here

    with_files, documents = documents is None, samples() if documents is None else documents
    _mistakes(codec)
    for data in documents:
        _symbols(codec, data)
        if codec.lossless:
            _round_trip(codec, data)
            _damage(codec, data)
        _spans(codec, data)
    if not codec.lossless:
        _one_way(codec)
    _batches(codec, documents)
    _identity(codec, documents)
    _vocabulary(codec)
    testing_processes.check_threads(codec, documents)
    testing_processes.check_fork(codec, documents)
    if codec.lossless and with_files:
        testing_files.check_files(codec)
    if processes:
        testing_processes.check_fresh_processes(codec, documents)


def law(holds: bool, codec: Compressor, text: str, data: object = None, *, found: object = None) -> None:
    """Raise `LawBroken` with the `text` of the law unless it `holds`.

    `data`: the document it fails on; `found`: what the codec gave instead. Both are cut short in
    the message.
    """
    if not holds:
        shown = "" if data is None else f" on {data!r:.100}"
        raise LawBroken(f"{codec.name}: {text}{shown}" + ("" if found is None else f"; found {found!s:.200}"))


def _mistakes(codec: object) -> None:
    """What is often forgotten in a first codec, each named before it fails in some other way."""
    if isinstance(codec, type):
        raise LawBroken(f"{codec.__name__}: found the class, expected a codec: check({codec.__name__}())")
    if not isinstance(codec, Compressor):
        raise LawBroken(f"{codec!r:.100}: found {type(codec).__name__}, expected a compressors.Compressor")
    # A field is annotated and in the dataclass; forgetting the decorator leaves it only annotated.
    fields = {field.name for field in dataclasses.fields(codec)}
    annotated = {name for name, hint in inspect.get_annotations(type(codec)).items() if "ClassVar" not in str(hint)}
    forgot = ", ".join(sorted(annotated - fields))
    law(not forgot, codec, f"{forgot} is not a field: expected @dataclass(frozen=True, kw_only=True) above the class")
    law(isinstance(getattr(codec, "name", None), str), codec, "a codec has a name: expected name: ClassVar[str] = ...")
    size = getattr(codec.vocab, "size", None)
    law(
        isinstance(size, int) and size > 0, codec, "expected vocab to be a Vocab of 1 symbol or more", found=codec.vocab
    )
    symbols = codec.encode(b"a")
    law(isinstance(symbols, np.ndarray), codec, "expected encode to return a numpy array", found=type(symbols).__name__)
    if codec.lossless:
        back = codec.decode(symbols)
        law(isinstance(back, bytes), codec, "expected decode to return bytes", found=type(back).__name__)
        packed = codec.compress(b"a")
        law(isinstance(packed, bytes), codec, "expected compress to return bytes", found=type(packed).__name__)


def _symbols(codec: Compressor, data: bytes) -> None:
    """Law 3, and the half of law 2 that one process can see: shape, dtype, range, the same again."""
    symbols, dtype = codec.encode(data), codec.vocab.dtype
    is_right = symbols.ndim == 1 and symbols.dtype == dtype
    kind = f"{symbols.ndim}-d {symbols.dtype}, expected 1-d {dtype}"
    law(is_right, codec, "symbols are 1-d of dtype vocab.dtype", data, found=kind)
    largest = int(symbols.max()) if symbols.size else 0
    law(
        largest < codec.vocab.size,
        codec,
        "symbols are below vocab.size",
        data,
        found=f"{largest} of {codec.vocab.size}",
    )
    law(np.array_equal(symbols, codec.encode(data)), codec, "encode is a function of its input", data)


def _one_way(codec: Compressor) -> None:
    """A view without a way back says so wherever it is asked for one."""
    calls = (("decode", codec.encode(b"a")), ("compress", b"a"), ("decompress", b"a"))
    for method, argument in calls:
        try:
            getattr(codec, method)(argument)
        except OneWay:
            continue
        law(False, codec, f"{method} of a codec with lossless = False raises OneWay")


def _round_trip(codec: Compressor, data: bytes) -> None:
    """Law 1, exactly: both ways back give the data, within a limit of its length and never beyond it."""
    symbols, packed = codec.encode(data), codec.compress(data)
    back = codec.decode(symbols)
    law(back == data, codec, "decode(encode(data)) == data", data, found=_difference(back, data))
    law(codec.decode(symbols, max_output=len(data)) == data, codec, "max_output=len(data) is enough", data)
    back = codec.decompress(packed)
    law(back == data, codec, "decompress(compress(data)) == data", data, found=_difference(back, data))
    if data:
        for method, coded in (("decode", symbols), ("decompress", packed)):
            beyond = _survives(codec, method, coded, len(data) - 1)
            law(not beyond, codec, f"{method} respects max_output", data)


def _difference(found: bytes, expected: bytes) -> str:
    """Where two byte strings begin to differ."""
    at = next(
        (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), min(len(found), len(expected))
    )
    return f"{len(found)} bytes, expected {len(expected)}; from byte {at} on {found[at : at + 8]!r}, expected {expected[at : at + 8]!r}"


def _spans(codec: Compressor, data: bytes) -> None:
    """Law 4: spans add up to the data; where symbols have fixed pieces, these are the data."""
    spans, symbols = codec.spans(data), codec.encode(data)
    if spans is None:
        return
    law(len(spans) == len(symbols) and int(spans.sum()) == len(data), codec, "spans sum to len(data)", data)
    if codec.vocab.pieces is not None:
        pieces = [codec.vocab.pieces[symbol] for symbol in symbols.tolist()]
        law(b"".join(pieces) == data, codec, "the pieces of the symbols are the data", data)


def _damage(codec: Compressor, data: bytes) -> None:
    """Damaged input decodes to something or raises `CorruptStream`, within the limit; it never does anything else."""
    coded, limit = codec.compress(data), len(data) + 1000
    # Halved, one byte short, one byte long, empty, constant; then one bit flipped at about 40
    # places.
    damaged = [coded[: len(coded) // 2], coded[:-1], coded + b"\0", b"", b"\xff" * 40]
    damaged += [
        coded[:i] + bytes([coded[i] ^ 1 << i % 8]) + coded[i + 1 :] for i in range(0, len(coded), 1 + len(coded) // 40)
    ]
    symbols = codec.encode(data)
    for bad in damaged:
        _survives(codec, "decompress", bad, limit)
    # Valid symbols in an order that `encode` did not write.
    for bad_symbols in (symbols[: len(symbols) // 2], symbols[::-1], np.roll(symbols, 1)):
        _survives(codec, "decode", bad_symbols, limit)
    # The first number that is not a symbol, in a type wide enough to hold it.
    outside = _survives(codec, "decode", np.array([codec.vocab.size], np.int64), limit)
    law(not outside, codec, "a symbol outside the vocabulary raises CorruptStream")


def _survives(codec: Compressor, method: str, bad: object, limit: int) -> bool:
    """Was damaged input decoded to something within the limit? False: it was refused as it should be."""
    try:
        out = getattr(codec, method)(bad, max_output=limit)
    except CorruptStream:
        return False
    except Exception as error:
        raise LawBroken(f"{codec.name}: {method} of damaged input raises {error!r}, not CorruptStream") from error
    law(len(out) <= limit, codec, f"{method} respects max_output", bad)
    return True


def _batches(codec: Compressor, documents: list[bytes]) -> None:
    """Law 5: a batch equals its documents one by one, for any number of threads, and decodes to them."""
    one_by_one = [codec.encode(data) for data in documents]
    for threads in (1, 3):
        batch = codec.encode_batch(documents, threads=threads)
        law(batch.values.dtype == codec.vocab.dtype, codec, "batches have dtype vocab.dtype")
        same = len(batch) == len(documents) and all(np.array_equal(batch[i], row) for i, row in enumerate(one_by_one))
        law(same, codec, f"encode_batch equals one by one ({threads} threads)")
    law(len(codec.encode_batch([])) == 0, codec, "an empty batch is empty")
    if codec.lossless:
        back = codec.decode_batch(codec.encode_batch(documents))
        law(back == documents, codec, "decode_batch gives the documents of encode_batch")


def _identity(codec: Compressor, documents: list[bytes]) -> None:
    """Law 7: pickling, fingerprint, hash and JSON configuration all describe the same codec."""
    twin = pickle.loads(pickle.dumps(codec))
    law(twin == codec and twin.fingerprint == codec.fingerprint, codec, "pickling keeps configuration and fingerprint")
    data = max(documents, key=len)
    law(np.array_equal(twin.encode(data), codec.encode(data)), codec, "a pickled codec encodes alike")
    law(len(codec.fingerprint) == 64, codec, "the fingerprint is 64 hex digits")
    law(hash(codec) == hash(twin), codec, "equal codecs have equal hashes")
    settings = json.loads(json.dumps(codec.config()))
    for field in dataclasses.fields(codec):  # what stands there as its fingerprint has to be given as it is
        if hasattr(value := getattr(codec, field.name), "fingerprint"):
            settings[field.name] = value
    try:
        again: object = type(codec)(**settings)
    except (TypeError, ValueError) as error:
        again = error
    law(again == codec, codec, f"config() as JSON makes an equal codec, not {again!r:.100}")


def _vocabulary(codec: Compressor) -> None:
    """The claims of `Vocab`: one piece for each symbol, and splits that join two earlier symbols."""
    vocab = codec.vocab
    if vocab.pieces is not None:
        law(len(vocab.pieces) == vocab.size, codec, "vocab.pieces has vocab.size entries")
    if vocab.splits is not None and vocab.pieces is not None:
        for symbol, (left, right) in enumerate(vocab.splits.tolist(), start=256):
            whole = vocab.pieces[left] + vocab.pieces[right]
            law(max(left, right) < symbol and vocab.pieces[symbol] == whole, codec, "splits give the piece", symbol)


__all__ = ["LawBroken", "check", "law", "samples"]
