"""Every registered codec keeps the laws; and the kit that says so does find a codec that breaks one."""

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from compressors import Compressor, CorruptStream, Ragged, Vocab, testing_processes
from compressors.gzip import Gzip
from compressors.identity import Identity
from compressors.testing import LawBroken, check, samples
from compressors.testing_files import check_files

COUNTER = itertools.count(1)


def test_a_registered_codec_keeps_every_law(codec: Compressor) -> None:
    check(codec, processes=True)


def test_laws_hold_on_real_text(codec: Compressor, documents: list[bytes]) -> None:
    check(codec, documents[:2])


def test_the_samples_hold_what_breaks_codecs() -> None:
    found = samples()
    assert b"" in found
    assert {bytes([b]) for b in range(256)} == {bytes([b]) for b in b"".join(found)}
    assert any(data.endswith(b"\0") for data in found)
    with pytest.raises(UnicodeDecodeError):
        b"\n".join(found).decode()


class Framed(Identity):
    """A correct codec whose compressed form can be damaged: the base of those below."""

    def compress(self, data: bytes) -> bytes:
        return bytes([len(data) % 251]) + data

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        if not data or data[0] != len(data[1:]) % 251:
            raise CorruptStream("framed: damaged")
        return super().decompress(data[1:], max_output=max_output)


class LosesNul(Framed):
    def encode(self, data: bytes) -> np.ndarray:
        return super().encode(data.rstrip(b"\0"))


class LosesOnlyInFiles(Framed):
    def compress(self, data: bytes) -> bytes:
        return super().compress(data.replace(b"\r\n", b"\n"))


class DependsOnACounter(Framed):
    @property
    def vocab(self) -> Vocab:
        return Vocab(size=256)

    def encode(self, data: bytes) -> np.ndarray:
        return np.append(super().encode(data), np.uint8(next(COUNTER) % 256))

    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        return super().decode(symbols[:-1], max_output=max_output)


class WrongDtype(Framed):
    def encode(self, data: bytes) -> np.ndarray:
        return super().encode(data).astype(np.uint16)


class BeyondTheVocabulary(Framed):
    @property
    def vocab(self) -> Vocab:
        return Vocab(size=128)


class WrongSpans(Framed):
    def spans(self, data: bytes) -> np.ndarray:
        return np.zeros(len(data), np.int64)


class TooFewSpans(Framed):
    def spans(self, data: bytes) -> np.ndarray:
        return np.array([len(data)], np.int64)


class WrongPieces(Framed):
    @property
    def vocab(self) -> Vocab:
        return Vocab(size=256, pieces=tuple(bytes([255 - b]) for b in range(256)))


class BatchDiffers(Framed):
    def encode_batch(self, documents: Iterable[bytes], *, threads: int = 1) -> Ragged:
        return super().encode_batch([b" " + data for data in documents], threads=threads)


class BatchDependsOnThreads(Framed):
    def encode_batch(self, documents: Iterable[bytes], *, threads: int = 1) -> Ragged:
        return super().encode_batch(list(documents)[:: 1 if threads == 1 else -1], threads=threads)


class IgnoresTheLimit(Framed):
    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        return super().decode(symbols)


class IgnoresTheLimitInFiles(Framed):
    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        return super().decompress(data)


class AcceptsForeignSymbols(Framed):
    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        return super().decode(np.minimum(symbols, 255), max_output=max_output)


class CrashesOnEmptyInput(Framed):
    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        first, rest = data[0], data[1:]  # IndexError on b""
        return super().decompress(bytes([first]) + rest, max_output=max_output)


class CrashesOnDamage(Framed):
    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        try:
            return super().decompress(data, max_output=max_output)
        except CorruptStream as error:
            raise ValueError("could not read") from error


class CrashesOnDamagedSymbols(Framed):
    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        if symbols.size and int(symbols.max()) > 255:
            raise IndexError("index 256 is out of bounds")
        return super().decode(symbols, max_output=max_output)


class UnequalAfterPickling(Framed):
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class FingerprintOfTheObject(Framed):
    @property
    def fingerprint(self) -> str:
        return f"{id(self):064x}"


class WrongSplits(Framed):
    _pieces = (*(bytes([b]) for b in range(256)), b"ab")

    @property
    def vocab(self) -> Vocab:
        return Vocab(size=257, pieces=self._pieces, splits=np.array([[98, 97]], np.uint32))

    def encode(self, data: bytes) -> np.ndarray:
        return super().encode(data).astype(np.uint16)

    def decode(self, symbols: np.ndarray, *, max_output: int | None = None) -> bytes:
        if symbols.size and int(symbols.max()) > 255:
            raise CorruptStream("no such symbol")
        return Identity().decode(symbols, max_output=max_output)


class DiffersInAChild(Framed):
    _parent = os.getpid()

    def compress(self, data: bytes) -> bytes:
        return super().compress(data if os.getpid() == self._parent else data + b"!")


class HangsInAChild(DiffersInAChild):
    def compress(self, data: bytes) -> bytes:
        if os.getpid() != self._parent:
            time.sleep(60)
        return super().compress(data)


class ConfigOfAnother(Framed):
    def config(self) -> dict[str, object]:
        return {"level": 3}


class OnePart(Gzip):
    def decompress_stream(self, pieces: Iterable[bytes], *, max_output: int | None = None) -> Iterator[bytes]:
        yield b"".join(super().decompress_stream(pieces, max_output=max_output))


class ForgetsWhatIsLeft(Gzip):
    """Takes the end of the input for the end of the output, as decoders of high ratios must not."""

    def decompress_stream(self, pieces: Iterable[bytes], *, max_output: int | None = None) -> Iterator[bytes]:
        yield from itertools.islice(super().decompress_stream(pieces, max_output=max_output), 2)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (OnePart, "output comes in parts of at most 2097152 bytes, for a text of ratio 1,000; found 3000000"),
        (
            ForgetsWhatIsLeft,
            "files give back what they were made of, for a text of ratio 1; found 16385 bytes, expected 100000",
        ),
    ],
)
def test_the_kit_finds_the_broken_law_of_files(broken: type[Gzip], text: str) -> None:
    with pytest.raises(LawBroken, match=text):
        check_files(broken())


@dataclass(frozen=True, kw_only=True)
class ReturnsBytes(Framed):
    def encode(self, data: bytes) -> bytes:
        return data


class ForgotTheDataclass(Framed):
    level: int = 3


class OneWayThatDecodes(Identity):
    lossless = False


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (ReturnsBytes(), "bytes: expected encode to return a numpy array; found bytes"),
        (Framed, r"Framed: found the class, expected a codec: check\(Framed\(\)\)"),
        (3, "found int, expected a compressors.Compressor"),
        (ForgotTheDataclass(), r"level is not a field: expected @dataclass\(frozen=True, kw_only=True\)"),
        (OneWayThatDecodes(), "decode of a codec with lossless = False raises OneWay"),
    ],
)
def test_common_mistakes_are_named(mistake: object, said: str) -> None:
    with pytest.raises(LawBroken, match=said):
        check(mistake)


def test_a_breach_says_what_was_found() -> None:
    with pytest.raises(LawBroken, match=r"found 0 bytes, expected 1; from byte 0 on b'', expected b'.x00'"):
        check(LosesNul())


def test_a_child_that_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing_processes, "FORK_SECONDS", 0.2)
    with pytest.raises(LawBroken, match="forked process, which hangs"):
        check(HangsInAChild(), [b"x"])


def test_a_correct_codec_of_this_file_passes() -> None:
    check(Framed())


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (LosesNul, "decode\\(encode"),
        (LosesOnlyInFiles, "decompress\\(compress"),
        (DependsOnACounter, "function of its input"),
        (WrongDtype, "dtype vocab.dtype"),
        (BeyondTheVocabulary, "below vocab.size"),
        (WrongSpans, "spans sum"),
        (TooFewSpans, "spans sum"),
        (WrongPieces, "pieces of the symbols"),
        (BatchDiffers, "one by one"),
        (BatchDependsOnThreads, "one by one \\(3 threads"),
        (IgnoresTheLimit, "decode respects max_output"),
        (IgnoresTheLimitInFiles, "decompress respects max_output"),
        (AcceptsForeignSymbols, "outside the vocabulary"),
        (CrashesOnEmptyInput, "CorruptStream"),
        (CrashesOnDamage, "CorruptStream"),
        (CrashesOnDamagedSymbols, "CorruptStream"),
        (UnequalAfterPickling, "pickling"),
        (FingerprintOfTheObject, "pickling"),
        (WrongSplits, "splits"),
        (DiffersInAChild, "in a forked process are the parent's"),
        (ConfigOfAnother, "config\\(\\) as JSON makes an equal codec"),
    ],
)
def test_the_kit_finds_the_broken_law(broken: type[Compressor], law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check(broken())
