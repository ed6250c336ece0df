"""Errors a user can act on: each names the value, what was expected, and the remedy.

Every class also derives from the built-in kind, so that ``except ValueError`` works as people expect. Anything else
that escapes is a bug and keeps its traceback.

Every module of the package raises these; the command line prints them as one line.
"""


class ProxycError(Exception):
    """Base of all errors that are the input's fault, not ours; the command line shows it as one line, exit code 1."""


class UnknownCompressor(ProxycError, LookupError):
    """No compressor of that name is registered."""

    def __str__(self) -> str:  # KeyError-like classes would print the repr
        return str(self.args[0]) if self.args else ""


class PluginError(ProxycError, ImportError):
    """A registered compressor cannot be imported, or two distributions claim one name."""


class MissingExtra(ProxycError, ImportError):
    """An optional dependency is not installed; the message holds the pip command."""


class InvalidConfig(ProxycError, ValueError):
    """A setting is out of range, unknown, or not usable for a lossless codec."""


class OneWay(InvalidConfig):
    """A one-way view (``lossless = False``) was asked to decode or to write a file."""


class CorruptStream(ProxycError, ValueError):
    """Symbols or compressed bytes that the codec did not write."""


class OutputLimitExceeded(CorruptStream):
    """Decoding would give more bytes than the stated limit: a decompression bomb, or too small a limit."""


class VerifyError(ProxycError, RuntimeError):
    """What was compressed did not decode to what was given; nothing is kept."""


class FingerprintMismatch(ProxycError, ValueError):
    """Data was made with another artifact or configuration than the one at hand."""


class NewerVersion(FingerprintMismatch):
    """Data was made by a newer version of a codec; the remedy is to upgrade."""


class InputError(ProxycError, OSError):
    """A file or folder that is missing, empty, unreadable, or already there."""


class SlowPath(UserWarning):
    """The result is right, but a slower way was taken; the message says why."""


class NotKept(UserWarning):
    """The content of an output is whole, but owner, mode or times of its source could not be kept."""


def in_one_line(error: Exception) -> str:
    """What the command line says of an error: of one of the system its reason and file, without a number."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def counted(n: int, noun: str) -> str:
    """``1 document``, ``1,200 documents``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


__all__ = [
    "CorruptStream",
    "FingerprintMismatch",
    "InputError",
    "InvalidConfig",
    "MissingExtra",
    "OneWay",
    "OutputLimitExceeded",
    "PluginError",
    "ProxycError",
    "SlowPath",
    "UnknownCompressor",
    "VerifyError",
    "counted",
    "in_one_line",
]
