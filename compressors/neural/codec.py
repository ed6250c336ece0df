"""`neural`: files by arithmetic coding under a small network in integers; symbols by a dictionary.

`compress` and `decompress` use the network (`model`), `encode` and `decode` only the windows
(`windows`):
the two parts share an artifact, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from compressors.artifact import Artifact
from compressors.base import Compressor, Ragged, Symbols, Vocab, check_output, check_range, checked_symbols
from compressors.errors import CorruptStream, InvalidConfig
from compressors.neural import windows as dictionaries
from compressors.neural.artifact import apart, model_of, network_of, packaged_network, together
from compressors.neural.mixing import is_binary
from compressors.neural.model import PRESETS, Model, preset
from compressors.neural.self_test import check_windows
from compressors.neural.windows import POLICIES, Windows

# Methods of a stream. _FIRST: `first_coder`, in streams of before; it is not written any more.
_FIRST, _ZSTD, _STORED, _CODED = range(4)
# A bit costs at least log2(65536 / 65535): more bytes than this for each byte of a stream are not the coder's.
_MOST = 50_000


@dataclass(frozen=True, kw_only=True)
class Neural(Compressor):
    """A pre-trained network and the document's own history, mixed bit by bit; symbols are windows of 8 to 16 bits.

    `preset`: the packaged network to use, best or fast.
    `artifact`: network, windows or both, from `fit`; the packaged ones stand in for what it lacks.
    `windows`: an artifact whose windows replace those of `artifact`.
    `policy`: how windows are cut. ``words``: into the longest runs of whole words; ``dense``: into as few
    windows as possible; ``word``: into single words. The codec `entropy-windows` cuts as published, where
    the network is uncertain.
    `width`: bits of a symbol; the dictionary has 2^width entries.
    """

    name: ClassVar[str] = "neural"
    verify_on_write: ClassVar[bool] = True
    preset: str = "best"
    artifact: Artifact | None = None
    windows: Artifact | None = None
    policy: str = "words"
    width: int = 16

    def __post_init__(self) -> None:
        preset(self.preset)
        check_range(self.name, "width", self.width, 8, 16)
        if self.policy not in POLICIES:
            remedy = "; that is a one-way view now: entropy-windows" if self.policy == "entropy" else ""
            raise InvalidConfig(f"neural: policy is {self.policy!r}; expected one of {', '.join(POLICIES)}{remedy}")
        # Whatever was given, the fields then hold a network and windows, each an artifact without
        # the other: equal codecs compare equal, and the fingerprint covers what is used.
        network = network_of(self.artifact, self.preset)
        windows = self.windows or apart(self.artifact)[1] or Artifact.packaged("neural-windows")
        windows.expect(self.name, *dictionaries.ARRAYS)
        object.__setattr__(self, "artifact", network)
        object.__setattr__(self, "windows", apart(windows)[1])
        object.__setattr__(self, "preset", network.settings.get("preset", self.preset))
        preset(self.preset)

    @classmethod
    def fit(
        cls, documents: Iterable[bytes], *, preset: str = "best", n_bytes: int = 0, seed: int = 0,
        checkpoint: Path | None = None, progress: Callable[[int, int, str], None] = lambda done, n_bytes, note: None,
    ) -> Neural:  # fmt: skip
        """Train on `n_bytes` bytes of `documents` (0: what the preset takes), and make windows of all of them.

        Every 16th document only fits the mixer. Preset `windows` makes only windows, and keeps the network
        of the package. With `checkpoint` an interrupted training resumes from that file, bit for bit.
        progress: called with the bytes trained on, those of the whole training, and the loss in words.
        Raises `InvalidConfig` for an unknown preset and for a corpus without text.
        """
        from compressors.neural import train

        if preset not in (*PRESETS, "windows"):  # said before the work, not after it
            raise InvalidConfig(f"neural: no preset {preset!r} to fit; there are {', '.join(sorted(PRESETS))}, windows")
        documents = list(documents)
        windows = dictionaries.fit(documents)
        if preset == "windows":
            return cls(windows=windows)
        artifact = train.fit(documents, preset, n_bytes=n_bytes, seed=seed, checkpoint=checkpoint, progress=progress)
        return cls(preset=preset, artifact=artifact, windows=windows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network and windows to one file, but not the package's own network; `compressors.load` reads it."""
        assert self.artifact is not None
        assert self.windows is not None
        together(None if self.artifact == packaged_network(self.preset) else self.artifact, self.windows).save(path)

    def stream_config(self) -> dict[str, Any]:
        """Streams do not depend on windows."""
        return {key: value for key, value in self.config().items() if key in ("preset", "artifact")}

    @cached_property
    def _model(self) -> Model:
        """The model, after its self-test. Raises `WrongArithmetic`."""
        assert self.artifact is not None
        return model_of(self.artifact)

    # -- symbols: the windows -----------------------------------------------------------------------------------------

    @cached_property
    def _windows(self) -> Windows:
        assert self.windows is not None
        return Windows.of(self.windows, self.width)

    @property
    def vocab(self) -> Vocab:
        return self._windows.vocab

    def encode(self, data: bytes) -> Symbols:
        return self.encode_batch([data])[0]

    def encode_batch(self, documents: Iterable[bytes], *, threads: int = 1) -> Ragged:
        check_windows(self.policy)
        return self._windows.encode_batch(documents, self.policy, threads)

    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        check_windows(self.policy)
        return self._windows.decode(checked_symbols(self, symbols), max_output)

    def costs(self, data: bytes) -> Any:
        """(n,) float64 bits that `compress` spends on each byte; the sum is its size but for some bytes."""
        return self._model.costs(data)

    # -- the stream ---------------------------------------------------------------------------------------------------

    def compress(self, data: bytes) -> bytes:
        """4 * length + method in base 128, low digits first; then what the coder, zstd or nothing made of `data`.

        Of the coder it is 4 * (2 * length + binary) + method.
        """
        head, payload, binary = 4 * len(data) + _STORED, data, is_binary(data)
        if (coded := self._model.encode(data, binary)) is not None and len(coded) < len(payload):
            head, payload = 4 * (2 * len(data) + binary) + _CODED, coded
        # zstd must come within a tenth of the best so far to be worth a second, slower try.
        if len(data) >= 64 and 10 * len(quick := _zstd(3).compress(data)) < 11 * len(payload):
            # Then zstd may take its time, 0.4 s a megabyte: level 19 makes a 1.5 MB .pyc and a font a tenth smaller.
            other = min(quick, _zstd(19).compress(data), key=len)
            if len(other) < len(payload):
                head, payload = 4 * len(data) + _ZSTD, other
        return _varint(head) + payload

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        # The low two bits are the method, the rest is the length.
        head, used = _read_varint(data)
        n_bytes, method = divmod(head, 4)
        n_bytes, binary = divmod(n_bytes, 2) if method == _CODED else (n_bytes, 0)
        payload = data[used:]
        check_output(self.name, n_bytes, max_output)
        if method == _STORED:
            out = payload
        elif method == _ZSTD:
            out = _zstd(3).decompress(payload, max_output=n_bytes)
        elif not 0 < n_bytes <= _MOST * (len(payload) + 1):
            raise CorruptStream(
                f"neural: {n_bytes} bytes by method {method} in {len(payload)} bytes: the data is damaged"
            )
        elif method == _CODED:
            out = self._model.decode(payload, n_bytes, bool(binary))
        else:
            out = self._decode_first(payload, n_bytes)
        if len(out) != n_bytes:
            raise CorruptStream(f"neural: {len(out)} bytes, expected {n_bytes}: the data is damaged")
        return out

    def _decode_first(self, payload: bytes, n_bytes: int) -> bytes:
        from compressors.neural import first_coder

        return first_coder.decode(self._model, payload, n_bytes)


def _zstd(level: int) -> Compressor:
    """zstd at a level, imported only where a stream needs it."""
    from compressors.zstd import Zstd

    return Zstd(level=level)


def _varint(value: int) -> bytes:
    """`value` in base 128, low digits first; the high bit says that more follow."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def _read_varint(data: bytes) -> tuple[int, int]:
    """(value, bytes used). Raises `CorruptStream`."""
    value = 0
    for i, digit in enumerate(data[:9]):
        value |= (digit & 127) << 7 * i
        if digit < 128:
            return value, i + 1
    raise CorruptStream("neural: the length at the start is damaged")


__all__ = ["Neural"]
