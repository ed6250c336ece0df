"""Does this machine give the numbers it must? Fixed bytes through the coder and through the windows, as digests.

Both tests run when a codec is first used, in milliseconds. A machine whose arithmetic differs must not
write files that others cannot read. The digest of a network's stream is kept in its artifact; windows
are tested on a small dictionary made here.

`artifact.model_of` calls `check_stream`, `codec.Neural` calls `check_windows`.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from compressors.errors import ProxycError
from compressors.neural import first_coder
from compressors.neural.mixing import packaged_tests
from compressors.neural.model import Model
from compressors.neural.windows import Windows

# Every kind of context, a match, bytes outside UTF-8 text.
SAMPLE = (
    b"def f(x):\n    return [x, (1, 'a')]\n\ndef f(y):\n    return [y, (2, 'b')]\n" + bytes(range(256)) + b"\0" * 32
)
# Strings of the small dictionary: words, runs, overlapping beginnings, bytes outside UTF-8, and one
# that does not occur.
_STRINGS = (
    b"def f(",
    b"\n    return [",
    b"return [y",
    b"y, (2, 'b')]",
    b"\0" * 20,
    b"\xfc\xfd\xfe",
    b" [x",
    b"abcd",
    b")]\n\n",
)
# SHA-256 over the sample's symbols, by policy.
_SYMBOLS = {
    "words": "9dd34988edb0d1c0b56534de714fc169f58f84ee1a60d64c030225d3f5f320cd",
    "dense": "8886e86ead3e1e3235cd0b8b935013e6819cd2e0e9bd1d9dc36e81598773d666",
    "word": "c66c3827c5d647fd214d675f846898fb9a1c3945f43c1a431f03c51a9d78b60d",
}


class WrongArithmetic(ProxycError, RuntimeError):
    """This machine does not give the numbers the artifact was made with."""


def stream_digest(model: Model) -> str:
    """SHA-256 over the stream of the sample: equal wherever every probability is."""
    return hashlib.sha256(model.encode(SAMPLE) or b"").hexdigest()


def check_stream(model: Model, expected: object) -> None:
    """Raise `WrongArithmetic` unless the model's stream has the digest it was made with.

    Networks without a start of the mixing were made with `first_coder`: for those of the package the digest of today's
    stream is known, the others are tried with that coder.
    """
    made_with = str(expected)
    if model.own_start or made_with in packaged_tests():
        found, made_with = stream_digest(model), packaged_tests().get(made_with, made_with)
    else:
        found = hashlib.sha256(first_coder.encode(model, SAMPLE) or b"").hexdigest()
    _compare("the self-test", found, made_with)


@cache
def check_windows(policy: str) -> None:
    """Raise `WrongArithmetic` unless the kernels cut the sample by `policy` as they must, and put it together again."""
    dictionary = _dictionary()
    symbols = dictionary.encode_batch([SAMPLE, b"", SAMPLE[5:]], policy).values
    digest = hashlib.sha256(symbols.astype("<u2").tobytes()).hexdigest()
    _compare(f"windows of policy {policy}", digest, _SYMBOLS[policy])
    _compare("their bytes", dictionary.decode(symbols).hex(), (SAMPLE + SAMPLE[5:]).hex())


def _compare(what: str, found: str, expected: str) -> None:
    """Raise `WrongArithmetic`, with `what` was compared, unless the two are equal."""
    if found != expected:
        raise WrongArithmetic(
            f"neural: this machine codes {what} as {found[:12]}, expected {expected[:12]}; what is written here could not be "
            "read elsewhere, so nothing was written. `proxyc doctor` names the versions to report"
        )


def _dictionary() -> Windows:
    """Every beginning of some strings."""
    entries = {bytes([byte]): byte for byte in range(256)}
    parent: list[int] = []
    for beginning in (string[:n] for string in _STRINGS for n in range(2, len(string) + 1)):
        if beginning not in entries:
            parent.append(entries[beginning[:-1]])
            entries[beginning] = len(entries)
    last = [string[-1] for string in entries][256:]
    return Windows(parent=np.array(parent, np.uint16), last=np.array(last, np.uint8))
