"""bytes <-> symbols <-> compressed bytes: every compressor behind one interface.

>>> import compressors
>>> codec = compressors.get("zstd:level=19")
>>> codec.decode(codec.encode(b"hello")) == b"hello"
True

Start with `base`, the contract that every codec keeps, and `registry`, which finds codecs by name.
Each
codec is a module or a package here: `identity`, `gzip`, `zstd`, `brotli`, `pack`, `bpe`, `neural`.
`files`
reads and writes compressed files, `cli` is the command line, `testing` the conformance kit for
plugins,
`corpus` reads documents for fitting.

Names are imported when they are first used: `import compressors` loads no codec and no library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compressors.artifact import Artifact
from compressors.base import Compressor, Ragged, Vocab
from compressors.errors import (
    CorruptStream,
    FingerprintMismatch,
    InputError,
    InvalidConfig,
    MissingExtra,
    OneWay,
    OutputLimitExceeded,
    PluginError,
    ProxycError,
    SlowPath,
    UnknownCompressor,
    VerifyError,
)
from compressors.registry import entries, get, get_class, load, names, parse

# For type checkers and editors, which do not see `__getattr__`: the names of `_LAZY` again.
if TYPE_CHECKING:
    from compressors.bpe.codec import BPE
    from compressors.brotli import Brotli
    from compressors.files import check_file, compress_file, compress_stream, decompress_file, decompress_stream
    from compressors.gzip import Gzip
    from compressors.identity import Identity
    from compressors.neural.codec import Neural
    from compressors.neural.entropy_windows import PublishedWindows
    from compressors.pack import Pack
    from compressors.zstd import Zstd

    __version__: str

# Name -> the module that defines it. A new public name goes here, into the imports above, and into `__all__`.
_LAZY = {
    "BPE": "compressors.bpe.codec",
    "Brotli": "compressors.brotli",
    "Gzip": "compressors.gzip",
    "Identity": "compressors.identity",
    "Neural": "compressors.neural.codec",
    "Pack": "compressors.pack",
    "PublishedWindows": "compressors.neural.entropy_windows",
    "Zstd": "compressors.zstd",
    "check_file": "compressors.files",
    "compress_file": "compressors.files",
    "compress_stream": "compressors.files",
    "decompress_file": "compressors.files",
    "decompress_stream": "compressors.files",
}


def __getattr__(name: str) -> Any:
    """Import a name of `_LAZY` when it is first used (PEP 562). Raises AttributeError for any other
    name.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("proxyc")
    if name not in _LAZY:
        raise AttributeError(f"module 'compressors' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "BPE",
    "Artifact",
    "Brotli",
    "Compressor",
    "CorruptStream",
    "FingerprintMismatch",
    "Gzip",
    "Identity",
    "InputError",
    "InvalidConfig",
    "MissingExtra",
    "Neural",
    "OneWay",
    "OutputLimitExceeded",
    "Pack",
    "PluginError",
    "ProxycError",
    "PublishedWindows",
    "Ragged",
    "SlowPath",
    "UnknownCompressor",
    "VerifyError",
    "Vocab",
    "Zstd",
    "__version__",
    "check_file",
    "compress_file",
    "compress_stream",
    "decompress_file",
    "decompress_stream",
    "entries",
    "get",
    "get_class",
    "load",
    "names",
    "parse",
]
