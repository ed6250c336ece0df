"""`zstd`: symbols are a frame without magic number, size or checksum; files are standard frames.

Files carry a checksum, and may use a dictionary: `Zstd.fit` trains one, ``zstd -D`` reads the same. Data in
memory is compressed in one call (`_OneShot`), a stream by zstd's streaming interface; `zstd_frames`
decompresses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from compressors.artifact import Artifact
from compressors.base import check_range
from compressors.errors import InputError, InvalidConfig
from compressors.stream_codec import Decoder, Encoder, StreamCodec

_OUTPUT_PART = 1 << 17  # bytes of compressed output that a stream gives at once
_WINDOW = 27  # log2 of the largest window that every decoder takes: 128 MB
_QUICK = 9  # the highest level at which a part of the output takes no time that a person would notice


@dataclass(frozen=True, kw_only=True)
class Zstd(StreamCodec):
    """Zstandard (RFC 8878); `level` -7 to 22, `artifact` a dictionary (see `fit`), also as a file of the zstd tool.

    `window` 10 to 31: matches reach 2**window bytes back (``zstd --long=N``), and files with such a window are read. 0: as
    the level has it; then files with a window above 128 MB are refused, as the zstd tool does.
    """

    name: ClassVar[str] = "zstd"
    suffix: ClassVar[str] = ".zst"
    # A frame, or one of 16 kinds without data (RFC 8878, 3.1.2).
    magics: ClassVar[tuple[bytes, ...]] = (
        b"\x28\xb5\x2f\xfd",
        *(bytes([0x50 + i]) + b"\x2a\x4d\x18" for i in range(16)),
    )
    archive_suffixes: ClassVar[tuple[str, ...]] = (".tzst",)
    writes_size: ClassVar[bool] = True
    level: int = 3
    artifact: Artifact | None = None
    window: int = 0

    def __post_init__(self) -> None:
        check_range(self.name, "level", self.level, -7, 22)
        if self.window:
            check_range(self.name, "window", self.window, 10, 31)
        if self.artifact is not None:
            self.artifact.expect(self.name, "dictionary")

    @classmethod
    def fit(cls, documents: Iterable[bytes], *, dictionary_size: int = 112_640, level: int = 3) -> Zstd:
        """Train a dictionary of at most `dictionary_size` bytes (zstd's default: 110 KiB) on `documents`.

        Raises `InvalidConfig` if there are too few documents: zstd wants some hundred, together 10-100 times the size.
        """
        import numpy as np
        import zstandard

        # The trainer wants all samples at once: this is why a large corpus needs --sample.
        samples: list[bytes | bytearray | memoryview] = list(documents)
        try:
            dictionary = zstandard.train_dictionary(dictionary_size, samples, level=level)
        except (zstandard.ZstdError, ValueError) as error:
            total = sum(map(len, samples))
            raise InvalidConfig(
                f"zstd: no dictionary from {len(samples)} documents, {total} bytes ({error}); give some hundred documents"
            ) from error
        arrays = {"dictionary": np.frombuffer(dictionary.as_bytes(), np.uint8)}
        card = {"documents": len(samples), "bytes": sum(map(len, samples))}
        return cls(level=level, artifact=Artifact(codec=cls.name, settings={}, arrays=arrays, card=card))

    @classmethod
    def read_artifact(cls, path: str | os.PathLike[str]) -> Artifact:
        """An artifact file of ours, or a dictionary for ``zstd -D``: a trained one, or any file as raw content."""
        if not Path(path).is_file():
            raise InputError(f"no file {path}; expected a proxyc artifact or a dictionary of zstd")
        data = Path(path).read_bytes()
        # safetensors: the length of a JSON header, then that. Other files may have a { there, too.
        header = int.from_bytes(data[:8], "little")
        if Path(path).suffix == ".pxa" or (data[8:9] == b"{" and header <= len(data) - 8):
            return Artifact.load(path)
        import numpy as np

        arrays = {"dictionary": np.frombuffer(data, np.uint8)}
        return Artifact(codec=cls.name, settings={}, arrays=arrays, card={"source": Path(path).name})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the dictionary as an artifact that `compressors.load` reads."""
        if self.artifact is None:
            raise InvalidConfig("zstd: nothing to save without a dictionary; make one with Zstd.fit")
        self.artifact.save(path)

    def config(self) -> dict[str, Any]:
        # Left out where it is not set: fingerprints are as they were before there was a window.
        return {key: value for key, value in super().config().items() if key != "window" or value}

    def library_versions(self) -> dict[str, str]:
        import zstandard

        return {"zstd": ".".join(map(str, zstandard.ZSTD_VERSION))}

    @cached_property
    def _dictionary(self) -> Any:
        """The dictionary as the library takes it, or None."""
        import zstandard

        return self.artifact and zstandard.ZstdCompressionDict(self.artifact.arrays["dictionary"].tobytes())

    @cached_property
    def _own(self) -> threading.local:
        """Compressors of each thread: making one takes longer than compressing 4 kB, and they may not be shared."""
        return threading.local()

    def _compressor(self, **parameters: Any) -> Any:
        """A compressor of this level and dictionary, with more `parameters` of the library."""
        import zstandard

        if self.window:
            # Beyond the reach of a level's own tables only long-distance matching finds anything.
            parameters |= {"window_log": self.window, "enable_ldm": True}
        # Without explicit table sizes zstd fits them to the size of each document: faster, and smaller, on short ones.
        chosen = zstandard.ZstdCompressionParameters(compression_level=self.level, **parameters)
        return zstandard.ZstdCompressor(compression_params=chosen, dict_data=self._dictionary or None)

    def symbol_encoder(self) -> Encoder:
        import zstandard

        if not hasattr(self._own, "symbols"):
            self._own.symbols = self._compressor(
                format=zstandard.FORMAT_ZSTD1_MAGICLESS,
                write_content_size=False,
                write_checksum=False,
                write_dict_id=False,
            )
        return _OneShot(self._own.symbols)

    def symbol_decoder(self) -> Decoder:
        import zstandard

        return self._decoder(has_magic=False, format=zstandard.FORMAT_ZSTD1_MAGICLESS)

    def file_encoder(self) -> Encoder:
        if not hasattr(self._own, "files"):
            self._own.files = self._compressor(write_checksum=True, write_dict_id=True)
        return _OneShot(self._own.files)

    def compress_stream(self, pieces: Iterable[bytes], *, threads: int = 1, size: int | None = None) -> Iterator[bytes]:
        """One frame, made by at least one thread of zstd, so that the bytes do not depend on `threads`.

        `size`: bytes of all pieces together. The frame says it, and zstd makes its tables and window no
        larger. Without it two bytes at level 22 need 744 MB, and 128 MB in every reader.
        Closing a stream early waits until zstd's threads finish their jobs (12 MB at level 19: 28 s). The
        command line ends without closing it.
        """
        compressor = self._compressor(write_checksum=True, write_dict_id=True, threads=max(1, threads))
        chunker = compressor.chunker(size=-1 if size is None else size, chunk_size=_OUTPUT_PART)
        # At a quick level a second thread would only cost time.
        if self.level <= _QUICK:
            for piece in pieces:
                yield from chunker.compress(piece)
            yield from chunker.finish()
            return
        with ThreadPoolExecutor(1) as pool:
            for piece in pieces:
                yield from _beside(pool, chunker.compress(piece))
            yield from _beside(pool, chunker.finish())

    def file_decoder(self) -> Decoder:
        return self._decoder()

    def _decoder(self, *, has_magic: bool = True, **options: Any) -> Decoder:
        """A decoder of frames, with or without magic number; `options` go to the library."""
        import zstandard

        from compressors.zstd_frames import FrameDecoder

        if self.window > _WINDOW:
            options["max_window_size"] = 1 << self.window
        decompressor = zstandard.ZstdDecompressor(dict_data=self._dictionary or None, **options)
        return FrameDecoder(decompressor, has_magic=has_magic)


def _beside(pool: ThreadPoolExecutor, parts: Iterable[bytes]) -> Iterator[bytes]:
    """`parts`, made in another thread: at level 22 one takes 40 s, in which this one notices Ctrl-C."""
    iterator = iter(parts)
    while (part := pool.submit(next, iterator, None).result()) is not None:
        yield part


class _OneShot:
    """A compressor that is given whole documents, under the names of an incremental one."""

    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor

    def compress(self, data: bytes, /) -> bytes:
        return bytes(self._compressor.compress(data))

    def flush(self) -> bytes:
        return b""


__all__ = ["Zstd"]
