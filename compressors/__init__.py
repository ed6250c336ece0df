"""bytes <-> symbols <-> compressed bytes: every compressor behind one interface.

>>> import compressors
>>> codec = compressors.get("zstd", level=19)
>>> codec.decode(codec.encode(b"hello")) == b"hello"
True
"""

from compressors.artifact import Artifact
from compressors.base import Compressor, Ragged, Vocab
from compressors.errors import (
    CorruptStream,
    FingerprintMismatch,
    InputError,
    InvalidConfig,
    MissingExtra,
    OutputLimitExceeded,
    PluginError,
    ProxycError,
    SlowPath,
    UnknownCompressor,
    VerifyError,
)
from compressors.registry import entries, get, get_class, load, names, parse

__all__ = [
    "Artifact",
    "Compressor",
    "CorruptStream",
    "FingerprintMismatch",
    "InputError",
    "InvalidConfig",
    "MissingExtra",
    "OutputLimitExceeded",
    "PluginError",
    "ProxycError",
    "Ragged",
    "SlowPath",
    "UnknownCompressor",
    "VerifyError",
    "Vocab",
    "entries",
    "get",
    "get_class",
    "load",
    "names",
    "parse",
]
