"""`bpe`: byte-level byte-pair encoding, lossless on all bytes, ids equal to Hugging Face `tokenizers` on UTF-8 text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from compressors.artifact import Artifact
from compressors.atomic import write_atomically
from compressors.base import Compressor, Ragged, Symbols, Vocab, check_output, checked_symbols
from compressors.bpe import tiktoken_ranks, tokenizer_json
from compressors.bpe.patterns import PATTERNS
from compressors.errors import InputError, InvalidConfig

DEFAULT = Path(__file__).parent.parent / "assets" / "bpe.pxa"
# Bytes of text from which `compress` learns what follows what, and of the blocks they are chosen in.
_COUNTED, _BLOCK = 64_000_000, 1 << 20


@dataclass(frozen=True, kw_only=True)
class BPE(Compressor):
    """Byte-pair encoding after `artifact`; without one, with 32,768 ids fitted on Python and JavaScript.

    Make another with `fit`, `from_tokenizer_json` or `from_tiktoken`.
    Each maximal run of UTF-8 text is encoded as `tokenizers` does; a byte outside such runs is its own symbol.
    """

    name: ClassVar[str] = "bpe"
    verify_on_write: ClassVar[bool] = True
    artifact: Artifact | None = None

    def __post_init__(self) -> None:
        if self.artifact is None:
            object.__setattr__(self, "artifact", Artifact.load(DEFAULT))
        assert self.artifact is not None
        self.artifact.expect(self.name, "tokenizer")
        tokenizer_json.check(self._spec)

    # -- making and keeping ------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls, documents: Iterable[bytes], *, vocab_size: int = 32_768, pattern: str = "llama3",
        sample: int | None = None, progress: bool = False,
    ) -> BPE:  # fmt: skip
        """Train on `documents` (read once), cut by `pattern` (a name in `compressors.bpe.patterns`).

        `sample`: train on so many bytes of them, whole documents (of a large one, blocks of 1 MiB) chosen by hash,
        instead of on all. Either way their order does not matter, and they are not all held in memory.
        Raises `InvalidConfig` like `compressors.bpe.train.fit`, and for a `sample` below 1.
        """
        from compressors.bpe import fit_id_coder, train
        from compressors.sampling import Sample

        if sample is not None and sample < 1:
            raise InvalidConfig(f"bpe: sample is {sample}; expected a number of bytes, at least 1")
        card: dict[str, Any] = {"documents": 0, "bytes": 0, "vocab_size": vocab_size, "pattern": pattern}
        counted, chosen = Sample(_COUNTED), Sample(sample or 0)

        def passing() -> Iterator[bytes]:
            for document in documents:
                card["documents"] += 1
                card["bytes"] += len(document)
                for at in range(0, len(document), _BLOCK):
                    block = document[at : at + _BLOCK]
                    counted.add(block)
                    chosen.add(block)
                yield document

        texts: Iterable[bytes] = passing()
        if sample is not None:
            for _ in texts:
                pass
            texts = chosen.documents()
            card["sample"] = sum(map(len, texts))
        spec = train.fit(texts, vocab_size=vocab_size, pattern=pattern, progress=progress)
        codec = cls(artifact=_artifact(spec, card))
        tables = fit_id_coder.fit(codec.encode_batch(counted.documents()), codec.vocab.size)
        return cls(artifact=_artifact(spec, card, tables))

    @classmethod
    def from_tokenizer_json(cls, path: str | os.PathLike[str]) -> BPE:
        """The codec of a Hugging Face `tokenizer.json`; `InvalidConfig` with the reason if it could lose bytes."""
        return cls(artifact=cls.read_artifact(path))

    @classmethod
    def from_tiktoken(
        cls, path: str | os.PathLike[str], *, pattern: str, special_tokens: Mapping[str, int] | None = None
    ) -> BPE:
        """The codec of a tiktoken rank file, whose ids are those of tiktoken; the file does not say its `pattern`.

        `special_tokens` (text -> id) become their ids wherever they occur, as with tiktoken's `allowed_special="all"`;
        without them their text is text. An id that stands for nothing decodes to bytes that are no text.
        Raises `InputError` for a missing file, `InvalidConfig` for one that is no byte-level BPE and a wrong pattern.
        """
        ranks = tiktoken_ranks.read(path)
        spec = tiktoken_ranks.spec(ranks, pattern, special_tokens or {})
        return cls(artifact=_artifact(spec, {"source": Path(path).name, "pattern": pattern}))

    @classmethod
    def read_artifact(cls, path: str | os.PathLike[str]) -> Artifact:
        """An artifact file of ours, or a `tokenizer.json`."""
        if not Path(path).is_file():
            raise InputError(f"no file {path}; expected a proxyc artifact or a tokenizer.json")
        with open(path, "rb") as file:
            first_line = file.readline(1000)
        if tiktoken_ranks.is_rank_file(first_line):
            raise InvalidConfig(
                f"{path} has tiktoken's ranks, which do not say how text is cut; make an artifact of it: "
                f"`proxyc convert {path} --pattern NAME -o FILE.pxa`"
            )
        if not first_line.startswith(b"{"):
            return Artifact.load(path)
        try:
            spec = json.loads(Path(path).read_bytes())
        except ValueError as error:
            raise InvalidConfig(f"{path}: neither a proxyc artifact nor a tokenizer.json ({error})") from error
        return _artifact(spec, {"source": Path(path).name})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the artifact; `compressors.load` reads it."""
        assert self.artifact is not None
        self.artifact.save(path)

    def to_tokenizer_json(self, path: str | os.PathLike[str]) -> None:
        """Write a Hugging Face `tokenizer.json`, atomically: `tokenizers` gives our ids for every text with it.

        What `compress` learnt from the corpus has no place in it. Bytes that are no UTF-8 text have no ids there.
        """
        spec = self._spec | {"decoder": self._spec.get("decoder") or tokenizer_json.DECODER}
        write_atomically(Path(path), tokenizer_json.text(spec))

    @classmethod
    def specimens(cls) -> Iterator[BPE]:
        """Codecs that use every kernel between them: all patterns, and ids of both widths."""
        fillers = {f"\u00ff\u00ff{symbol}": symbol for symbol in range(257, 1 << 16 | 1)}
        for pattern, more in [*((pattern, {}) for pattern in PATTERNS), ("gpt2", fillers)]:
            spec = tiktoken_ranks.spec({bytes([byte]): byte for byte in range(256)} | {b"re": 256}, pattern, {})
            spec["model"]["vocab"] |= more
            yield cls(artifact=_artifact(spec, {}))

    # -- tables built from the artifact ------------------------------------------------------------------------------

    @cached_property
    def _spec(self) -> dict[str, Any]:
        assert self.artifact is not None
        try:
            spec: dict[str, Any] = json.loads(self.artifact.arrays["tokenizer"].tobytes())
        except ValueError as error:
            raise InvalidConfig(f"bpe: the artifact is damaged ({error}); make a new one with `proxyc fit`") from error
        if not isinstance(spec, dict):
            raise InvalidConfig(
                "bpe: the artifact is damaged: its tokenizer is no object; make a new one with `proxyc fit`"
            )
        return spec | {"truncation": None, "padding": None, "post_processor": None}

    @cached_property
    def vocab(self) -> Vocab:
        pieces = tokenizer_json.pieces(self._spec)
        return Vocab(size=len(pieces), pieces=pieces, splits=_splits(self._spec, pieces))

    @cached_property
    def _ids(self) -> Any:
        """The `id_coder.Model` of what `fit` learnt; of an imported tokenizer, one that only knows the document."""
        from compressors.bpe import id_coder

        assert self.artifact is not None
        tables = {name: array for name, array in self.artifact.arrays.items() if name != "tokenizer"}
        return id_coder.Model(tables, self.vocab.size)

    # -- the codec ---------------------------------------------------------------------------------------------------

    def encode(self, data: bytes) -> Symbols:
        return self.encode_batch([data])[0]

    def encode_batch(self, documents: Iterable[bytes], *, threads: int = 1) -> Ragged:
        """Encode many documents, with our kernels where they know the pre-tokenizer, else through `tokenizers`."""
        return cast(Ragged, self._engine.encode(documents, threads))

    @cached_property
    def _engine(self) -> Any:
        """What encodes: an `Encoder`, `WithAddedTokens` around one, or `Library` with a note."""
        from compressors.bpe import engine

        return engine.of(self._spec, self.vocab)

    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        symbols = checked_symbols(self, symbols)
        assert self.vocab.lengths is not None
        n_bytes = int(self.vocab.lengths[symbols].sum())
        check_output(self.name, n_bytes, max_output)
        return cast(bytes, self._gather(symbols, n_bytes))

    @cached_property
    def _gather(self) -> Any:
        from compressors.bpe import decoder

        assert self.vocab.pieces is not None
        return decoder.Gather(self.vocab.pieces)

    def compress(self, data: bytes) -> bytes:
        """The ids coded in context, as `compressors.bpe.id_coder` says."""
        return cast(bytes, self._ids.encode(self.encode(data)))

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        symbols = self._ids.decode(data, max_symbols=max_output)  # each stands for a byte or more
        return self.decode(symbols, max_output=max_output)


def _artifact(spec: dict[str, Any], card: dict[str, Any], tables: Mapping[str, Any] | None = None) -> Artifact:
    arrays = {"tokenizer": np.frombuffer(tokenizer_json.text(spec), np.uint8), **(tables or {})}
    return Artifact(codec=BPE.name, settings={}, arrays=arrays, card=card)


def _splits(spec: dict[str, Any], pieces: tuple[bytes, ...]) -> Any:
    """(size-256, 2) earlier symbols of each merge, or None if ids are not in rank order after the bytes."""
    if pieces[:256] != tuple(bytes([byte]) for byte in range(256)) or spec.get("added_tokens"):
        return None
    vocab = spec["model"]["vocab"]
    splits: dict[int, tuple[int, int]] = {}
    for left, right in tokenizer_json.merges(spec):
        splits.setdefault(vocab[left + right], (vocab[left], vocab[right]))
    ordered = [splits.get(symbol, (symbol, symbol)) for symbol in range(256, len(pieces))]
    if any(max(pair) >= 256 + i for i, pair in enumerate(ordered)):
        return None
    return np.array(ordered, np.uint32).reshape(-1, 2)
