"""`bpe`: byte-level byte-pair encoding, lossless on all bytes, ids equal to Hugging Face `tokenizers` on UTF-8 text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from compressors.artifact import Artifact
from compressors.atomic import write_atomically
from compressors.base import Compressor, Ragged, Symbols, Vocab, check_output, checked_symbols
from compressors.bpe import library, lossless, tiktoken_ranks, tokenizer_json
from compressors.errors import InputError, InvalidConfig

# `fit` counts for `compress` which id follows which on this many bytes, sampled in blocks of 1 MiB.
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
            object.__setattr__(self, "artifact", Artifact.packaged("bpe"))
        assert self.artifact is not None
        self.artifact.expect(self.name, "tokenizer")
        lossless.check(self._spec, str(self.artifact.card.get("source", "tokenizer.json")))
        lossless.check_choice(self.not_nfc)

    # -- making and keeping ------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls, documents: Iterable[bytes], *, vocab_size: int = 32_768, pattern: str = "llama3",
        sample: int | None = None,
    ) -> BPE:  # fmt: skip
        """Train on `documents` (read once), cut by `pattern` (a name in `compressors.bpe.patterns`).

        `sample`: the number of bytes to train on. Whole documents, and blocks of 1 MiB of large ones, are
        chosen by hash until they hold that many; None trains on everything. Either way the order of the
        documents does not matter, and they are not all held in memory.
        Raises `InvalidConfig` like `compressors.bpe.train.fit`, and for a `sample` below 1.
        """
        from compressors.bpe import fit_id_coder, train
        from compressors.sampling import Sample

        if sample is not None and sample < 1:
            raise InvalidConfig(f"bpe: sample is {sample}; expected a number of bytes, at least 1")
        card: dict[str, Any] = {"documents": 0, "bytes": 0, "vocab_size": vocab_size, "pattern": pattern}
        # Two samples are drawn while the documents pass by once: `counted` for the id coder's
        # tables, `chosen` for the trainer.
        counted, chosen = Sample(_COUNTED), Sample(sample or 0)

        def passing() -> Iterator[bytes]:
            """`documents`, counted in the card and offered to both samples."""
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
        spec = train.fit(texts, vocab_size=vocab_size, pattern=pattern)
        # The tables are counted over ids, so the tokenizer comes first and encodes the sample.
        codec = cls(artifact=_artifact(spec, card))
        sample_ids = codec.encode_batch(sampled := counted.documents())
        card["bytes_per_symbol"] = round(sum(map(len, sampled)) / max(len(sample_ids.values), 1), 4)
        tables = fit_id_coder.fit(sample_ids, codec.vocab.size)
        return cls(artifact=_artifact(spec, card, tables))

    @classmethod
    def from_tokenizer_json(cls, path: str | os.PathLike[str], *, not_nfc: str = lossless.KEEP) -> BPE:
        """The codec of a Hugging Face `tokenizer.json`; `InvalidConfig` with the reason if it could lose bytes.

        `not_nfc`: what to do with text that is not in NFC, if the tokenizer would bring it there and lose what it was:
        `keep` gives the ids of the text as it is, `refuse` raises `InputError`. Ids of text in NFC are the same.
        """
        return cls(artifact=cls.read_artifact(path, not_nfc=not_nfc))

    @classmethod
    def from_tiktoken(
        cls, path: str | os.PathLike[str], *, pattern: str, special_tokens: Mapping[str, int] | None = None
    ) -> BPE:
        """The codec of a tiktoken rank file, whose ids are those of tiktoken; the file does not say its `pattern`.

        `pattern`: a name in `compressors.bpe.patterns`, or the expression (`pat_str`) itself.
        `special_tokens` (text -> id) become their ids wherever they occur, as with tiktoken's `allowed_special="all"`;
        without them their text is ordinary text. An id without a token decodes to bytes outside UTF-8.
        Raises `InputError` for a missing file, `InvalidConfig` for a file that does not hold a byte-level
        BPE, and for a wrong pattern.
        """
        ranks = tiktoken_ranks.read(path)
        spec = tiktoken_ranks.spec(ranks, pattern, special_tokens or {})
        return cls(artifact=_artifact(spec, {"source": Path(path).name, "pattern": pattern}))

    @classmethod
    def read_artifact(cls, path: str | os.PathLike[str], *, not_nfc: str | None = None) -> Artifact:
        """An artifact file of ours, or a `tokenizer.json`.

        `not_nfc`: see `from_tokenizer_json`; None leaves it as it is.
        """
        if not Path(path).is_file():
            raise InputError(f"no file {path}; expected a proxyc artifact or a tokenizer.json")
        with open(path, "rb") as file:
            head = file.read(1000)
        # The first bytes tell three kinds of file apart: tiktoken's ranks, JSON, and our artifact.
        if tiktoken_ranks.is_rank_file(head.partition(b"\n")[0]):
            raise InvalidConfig(
                f"{path} has tiktoken's ranks, which do not say how text is cut; make an artifact of it: "
                f"`proxyc convert {path} --pattern NAME -o FILE.pxa`"
            )
        artifact = _read(path) if tokenizer_json.is_json(head) else Artifact.load(path)
        if not_nfc is None:
            return artifact
        chosen = {"not_nfc": not_nfc} if cls(artifact=artifact).normalizes else {}
        return replace(artifact, settings={**artifact.settings, **chosen})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the artifact; `compressors.load` reads it."""
        assert self.artifact is not None
        self.artifact.save(path)

    def to_tokenizer_json(self, path: str | os.PathLike[str]) -> None:
        """Write a Hugging Face `tokenizer.json`, atomically: `tokenizers` gives our ids for every text with it.

        One that was read with the normalizer NFC keeps it, so that this holds for text in NFC.
        What `compress` learnt from the corpus has no place in it. Bytes that are no UTF-8 text have no ids there.
        """
        spec = self._spec | {"decoder": self._spec.get("decoder") or tokenizer_json.DECODER}
        write_atomically(Path(path), tokenizer_json.text(spec))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` to `folder`, which `transformers.AutoTokenizer` opens.

        It gives our ids; see `to_tokenizer_json`. The folder is made if it is missing, and may hold a model.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.to_tokenizer_json(Path(folder) / "tokenizer.json")
        config = json.dumps(tokenizer_json.CONFIG, indent=1) + "\n"
        write_atomically(Path(folder) / "tokenizer_config.json", config.encode())

    def to_tiktoken(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Write tiktoken's ranks, atomically; returns `pat_str` and `special_tokens`, which the file does not hold.

        ``tiktoken.Encoding`` gives our ids with the three. `pat_str` is None where one expression does not say how text is
        cut. Raises `InvalidConfig` if the merges are in another order than the ids.
        """
        write_atomically(Path(path), tiktoken_ranks.text(tiktoken_ranks.of_spec(self._spec)))
        return tiktoken_ranks.beside(self._spec)

    @classmethod
    def specimens(cls) -> Iterator[BPE]:
        """Codecs that use every kernel between them."""
        from compressors.bpe import specimens

        for spec, settings in specimens.specs():
            yield cls(artifact=replace(_artifact(spec, {}), settings=settings))

    # -- tables built from the artifact ------------------------------------------------------------------------------

    @cached_property
    def _spec(self) -> dict[str, Any]:
        """The `tokenizer.json` as a dict, without the stages that add or drop ids. Raises
        `InvalidConfig`.
        """
        assert self.artifact is not None
        try:
            spec: dict[str, Any] = json.loads(self.artifact.arrays["tokenizer"].tobytes())
        except ValueError as error:
            raise InvalidConfig(f"bpe: the artifact is damaged ({error}); make a new one with `proxyc fit`") from error
        if not isinstance(spec, dict):
            raise InvalidConfig(
                "bpe: the artifact is damaged: its tokenizer is not a JSON object; make a new one with `proxyc fit`"
            )
        return spec | {"truncation": None, "padding": None, "post_processor": None}

    @property
    def normalizes(self) -> bool:
        """Does the tokenizer that was read bring text into NFC?"""
        return lossless.normalizes(self._spec)

    @property
    def not_nfc(self) -> str:
        """What is done with text that is not: `keep` or `refuse`."""
        assert self.artifact is not None
        return str(self.artifact.settings.get("not_nfc", lossless.KEEP))

    def library_versions(self) -> dict[str, str]:
        """`tokenizers` where it encodes; our kernels depend on no library."""
        return {"tokenizers": library.version()} if library.why_needed(self._spec) else {}

    @cached_property
    def vocab(self) -> Vocab:
        pieces = tokenizer_json.pieces(self._spec)
        return Vocab(size=len(pieces), pieces=pieces, splits=tokenizer_json.splits(self._spec, pieces))

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
        """Encode many documents, with our kernels where they know the pre-tokenizer, else through `tokenizers`.

        Raises `InputError` for a document that is not in NFC, where the artifact says so.
        """
        if self.not_nfc == lossless.REFUSE:
            documents = self._nfc.checked(documents)
        return cast(Ragged, self._engine.encode(documents, threads))

    @cached_property
    def _nfc(self) -> Any:
        from compressors.bpe import nfc

        return nfc

    @cached_property
    def _engine(self) -> Any:
        """What encodes: an `Encoder`, or `Library` with a note."""
        from compressors.bpe import engine

        return engine.of(self._spec, self.vocab)

    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        symbols = checked_symbols(self, symbols)
        n_bytes = self._gather.n_bytes(symbols)
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


def _read(path: str | os.PathLike[str]) -> Artifact:
    return _artifact(tokenizer_json.read(path), {"source": Path(path).name})


def _artifact(spec: dict[str, Any], card: dict[str, Any], tables: Mapping[str, Any] | None = None) -> Artifact:
    arrays = {"tokenizer": np.frombuffer(tokenizer_json.text(spec), np.uint8), **(tables or {})}
    return Artifact(codec=BPE.name, settings={}, arrays=arrays, card=card)
