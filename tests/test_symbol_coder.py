"""The default `compress`: a codec of three methods gets files, as short as its symbols allow, checked and bounded."""

import random
import zlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from compressors import (
    Compressor,
    CorruptStream,
    InvalidConfig,
    MissingExtra,
    OutputLimitExceeded,
    Vocab,
    files,
    symbol_coder,
    testing,
)
from compressors.base import check_output, checked_symbols

GOLDEN = Path(__file__).parent / "golden/symbols.hex"
TEXT = "def f(x):\n    return x + 1  # naïve — 日本語 🙂\r\n".encode()


@dataclass(frozen=True, kw_only=True)
class Three(Compressor):
    """Vocab, encode, decode and no more: bytes above `offset`, in a vocabulary of any size."""

    name: ClassVar[str] = "three"
    offset: int = 0
    size: int = 256

    @property
    def vocab(self) -> Vocab:
        return Vocab(size=self.size)

    def encode(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.uint8).astype(self.vocab.dtype) + self.vocab.dtype.type(self.offset)

    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        symbols = checked_symbols(self, symbols)
        check_output(self.name, len(symbols), max_output)
        if len(symbols) and not self.offset <= int(symbols.min()) <= int(symbols.max()) < self.offset + 256:
            raise CorruptStream("three: no byte")
        return (symbols - self.vocab.dtype.type(self.offset)).astype(np.uint8).tobytes()


@dataclass(frozen=True, kw_only=True)
class Given(Three):
    """Whose symbols are the pairs of bytes of the document, so that a test says which they are."""

    size: int = 65536

    def encode(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data[: len(data) // 2 * 2], np.uint16)

    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        check_output(self.name, 2 * len(symbols), max_output)
        return symbols.astype(np.uint16).tobytes()


@pytest.mark.parametrize("codec", [Three(), Three(size=1 << 20, offset=70_000)])
def test_three_methods_keep_every_law(codec: Compressor) -> None:
    testing.check(codec)


def test_three_methods_get_files() -> None:
    packed, out = BytesIO(), BytesIO()
    files.compress_stream(Three(), BytesIO(TEXT * 30_000), packed)
    files.decompress_stream(BytesIO(packed.getvalue()), out, codec=Three())
    assert out.getvalue() == TEXT * 30_000


def order0(symbols: np.ndarray) -> float:
    """Bytes that the empirical entropy of the symbols amounts to."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def zipf(random: np.random.Generator, n: int) -> np.ndarray:
    ranks = random.permutation(65536)
    return ranks[np.minimum(random.zipf(1.5, n), 65536) - 1]


@pytest.mark.parametrize("kind", ["text", "zipf", "uniform", "bytes"])
def test_a_megabyte_takes_at_most_two_percent_more_than_its_entropy(kind: str, documents: list[bytes]) -> None:
    random, n = np.random.default_rng(0), 500_000
    codec, data = Given(), b""
    if kind == "text":
        codec, data = Three(), b"".join(documents)[:1_000_000]
    elif kind == "bytes":
        codec, data = Three(), random.bytes(1_000_000)
    else:
        data = (zipf(random, n) if kind == "zipf" else random.integers(0, 65536, n)).astype(np.uint16).tobytes()
    stream = codec.compress(data)
    assert len(stream) < 1.02 * order0(codec.encode(data))
    assert codec.decompress(stream) == data


@pytest.mark.parametrize(("n", "at_most"), [(0, 7), (1, 11), (5, 15), (20, 35), (1000, 640)])
def test_short_documents(n: int, at_most: int) -> None:
    assert len(Three().compress((TEXT * 20)[:n])) <= at_most


def test_anything_cut_lengthened_or_changed_is_refused() -> None:
    codec, data = Three(), TEXT * 9
    stream = codec.compress(data)
    draw = random.Random(0)
    damaged = [stream[:n] for n in range(len(stream))] + [stream + bytes(n) for n in (1, 4, 8)]
    damaged += [stream[:i] + bytes([stream[i] ^ 1 << draw.randrange(8)]) + stream[i + 1 :] for i in range(len(stream))]
    damaged += [draw.randbytes(n) for n in range(200)] + [b"\0" * 8, b"\xff" * 40, Three().compress(data[:-1])[1:]]
    for bad in damaged:
        with pytest.raises(CorruptStream, match="three: "):
            codec.decompress(bad, max_output=10_000)
    with pytest.raises(CorruptStream, match="another codec"):
        Three(offset=1, size=257).decompress(stream)


def test_the_limit_is_respected_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Three().compress(bytes(3_000_000))
    assert len(stream) < 100
    assert Three().decompress(stream, max_output=3_000_000) == bytes(3_000_000)
    monkeypatch.setattr(symbol_coder, "_decoded", None)
    with pytest.raises(OutputLimitExceeded, match="exceeds the limit of 2999999 bytes"):
        Three().decompress(stream, max_output=2_999_999)


@dataclass(frozen=True, kw_only=True)
class Unary(Three):
    def encode(self, data: bytes) -> np.ndarray:
        return np.zeros(100 * len(data) + 65, np.uint8)


def test_what_the_default_cannot_code_is_said() -> None:
    with pytest.raises(InvalidConfig, match="165 symbols for 1 bytes; the default `compress` takes at most 64 a byte"):
        Unary().compress(b"a")
    with pytest.raises(InvalidConfig, match="a vocabulary of 16777216 symbols"):
        Three(size=1 << 24).compress(b"a")


def test_without_constriction_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(MissingExtra, match=r"pip install constriction .*Arm.*musl"):
        Three().compress(b"a")


# -- the format, from docs/reference/symbols.md: nothing of constriction, nothing of ours ----------------------------------


def _read(stream: bytes, size: int) -> tuple[int, list[int]]:
    """(length of the document, its symbols) of a stream, with nothing but Python's integers."""
    recent, known = ((0, False), (64, False), (0, True))[stream[0]]
    at, lengths = 1, []
    for _ in range(2):
        value = shift = 0
        while stream[at] > 127:
            value, shift, at = value | (stream[at] & 127) << shift, shift + 7, at + 1
        lengths.append(value | stream[at] << shift)
        at += 1
    words = [int.from_bytes(stream[i : i + 4], "little") for i in range(at + 4, len(stream), 4)] + [0] * 4
    state = {"range": 2**64 - 1, "code": words.pop(0) << 32 | words.pop(0)}

    def interval(low: int, share: int, scale: int) -> None:
        state["code"] -= scale * low
        state["range"] = scale * share
        if state["range"] < 2**32:
            state["range"] <<= 32
            state["code"] = state["code"] << 32 | (words.pop(0) if words else 0)

    def choose(parts: list[int]) -> int:
        spare = 2**24 - len(parts)
        shares = [part * spare // sum(parts) for part in parts]
        shares[shares.index(max(shares))] += spare - sum(shares)
        ends = [0, *accumulate(share + 1 for share in shares)]
        scale = state["range"] >> 24
        choice = bisect_right(ends, state["code"] // scale) - 1
        interval(ends[choice], ends[choice + 1] - ends[choice], scale)
        return choice

    def uniform(n: int) -> int:
        share, scale = 2**24 // n, state["range"] >> 24
        choice = min(state["code"] // scale // share, n - 1)
        interval(choice * share, share if choice < n - 1 else 2**24 - share * (n - 1), scale)
        return choice

    symbols: list[int] = []
    numbered = list(range(size)) if known else []
    counts, late, digits = [4] * (len(numbered) + 1), [0] * (len(numbered) + 1), [0] * (size.bit_length() + 1)
    while len(symbols) < lengths[1]:
        n_seen = len(symbols)
        n = min(max(32, min(512, n_seen // 32), n_seen // 512), lengths[1] - n_seen)
        parts = [2 * c - 1 + recent * r // 16 for c, r in zip(counts, late, strict=True)]
        parts[0] = min(len(numbered), size - len(numbered))
        numbers = [choose(parts) if numbered else 0 for _ in range(n)]
        bits = [64 * k + 1 + 2048 * (min(2**i, size) - (2 ** (i - 1) if i else 0)) // size if 2 ** (i - 1) < size else 64 * k + 1
                for i, k in enumerate(digits)]  # fmt: skip
        lengths_of = [choose(bits) for number in numbers if number == 0]
        escaped = [(2 ** (k - 1) + uniform(2 ** (k - 1)) if k > 1 else k) for k in lengths_of]
        rest = iter(escaped)
        block = [numbered[number - 1] if number else next(rest) for number in numbers]
        for k in lengths_of:
            digits[k] += 1
        new = sorted(set(escaped))
        numbered += new
        counts += [0] * len(new)
        late += [0] * len(new)
        here = {symbol: i for i, symbol in enumerate(numbered, 1)}
        times = [0] * len(counts)
        for symbol in block:
            times[here[symbol]] += 1
        counts = [c + t for c, t in zip(counts, times, strict=True)]
        late = [r + 16 * t - r // 10 for r, t in zip(late, times, strict=True)]
        symbols += block
    return lengths[0], symbols


def _frozen_documents() -> Iterable[tuple[Three, bytes]]:
    many = np.random.default_rng(1).integers(0, 256, 700).astype(np.uint8).tobytes()
    for codec in (Three(), Three(size=70_000, offset=1000), Given(size=65536)):
        yield from ((codec, data) for data in (b"", b"a", TEXT, TEXT * 12, b"ab" * 600, many))


def test_streams_are_frozen_and_are_what_the_documentation_says(request: pytest.FixtureRequest) -> None:
    """`GOLDEN` holds, for each document above, the stream in hexadecimal digits."""
    streams = [codec.compress(data).hex() for codec, data in _frozen_documents()]
    if request.config.getoption("--rewrite-golden"):
        GOLDEN.write_text("\n".join(streams) + "\n")
    assert GOLDEN.read_text().split() == streams
    for (codec, data), stream in zip(_frozen_documents(), map(bytes.fromhex, streams), strict=True):
        data = data[: len(data) // 2 * 2] if isinstance(codec, Given) else data
        n_bytes, symbols = _read(stream, codec.size)
        assert symbols == codec.encode(data).tolist()
        assert n_bytes in (len(data), len(data) + 1)


def test_the_checksum_is_of_document_and_stream() -> None:
    stream = Three().compress(TEXT)
    head, checksum, words = stream[:3], stream[3:7], stream[7:]
    assert zlib.crc32(TEXT + head + words).to_bytes(4, "little") == checksum
