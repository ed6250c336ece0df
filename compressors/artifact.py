"""One safe file per fitted compressor: safetensors with JSON metadata, identified by its fingerprint.

A file holds no code, so loading one runs none. `fit` of a codec makes an `Artifact`,
`save`
writes it as ``*.pxa``, `registry.load` finds the codec it belongs to. Its fingerprint goes into the
codec's fingerprint and into the headers of files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compressors.atomic import write_atomically
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig

if TYPE_CHECKING:
    import numpy.typing as npt

FORMAT = "1"  # of the metadata; a reader refuses any other
ASSETS = Path(__file__).parent / "assets"  # the artifacts that come with the package


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Artifact:
    """What a codec learnt: named arrays and JSON settings. Two artifacts are equal if their fingerprints are.

    `settings` are part of the identity; `card` (data, licences, command) is not.
    """

    codec: str  # the registered name of the codec that it was made for
    settings: Mapping[str, Any]  # JSON values that the codec needs beside the arrays
    arrays: Mapping[str, npt.NDArray[Any]]
    card: Mapping[str, Any]  # where it came from, for people

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits over codec, settings and arrays (name, dtype, shape, little-endian bytes)."""
        import numpy as np

        # Names, types and shapes go in between NULs: moving a byte from one array to the next
        # changes the digest.
        digest = hashlib.sha256(json.dumps([self.codec, self.settings], sort_keys=True).encode())
        for name in sorted(self.arrays):
            array = self.arrays[name]
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"\0{name}\0{little.dtype.str}\0{little.shape}\0".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Artifact({self.codec}, {self.fingerprint[:12]})"

    def __reduce__(self) -> tuple[Any, ...]:
        """An artifact of the package pickles as its name and fingerprint: a task gets 100 bytes, not 10 MB."""
        if name := self.__dict__.get("_packaged"):
            return _packaged_again, (name, self.fingerprint)
        return _artifact, (self.codec, dict(self.settings), dict(self.arrays), dict(self.card))

    @staticmethod
    @cache
    def packaged(name: str) -> Artifact:
        """The artifact `name` that comes with the package, read once.

        The pickle of such an artifact is its name (`__reduce__`). Raises `InputError` for an
        unknown name.
        """
        artifact = Artifact.load(ASSETS / f"{name}.pxa")
        artifact.__dict__["_packaged"] = name
        return artifact

    def expect(self, codec: str, *names: str) -> None:
        """Raise `InvalidConfig` unless this artifact was made for `codec` and has the arrays `names`."""
        if self.codec != codec:
            raise InvalidConfig(
                f"the artifact was made for {self.codec!r}, not for {codec!r}; use it with {self.codec!r}"
            )
        if missing := set(names) - set(self.arrays):
            raise InvalidConfig(
                f"the {codec} artifact lacks {', '.join(sorted(missing))}; make a new one with `proxyc fit`"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, atomically."""
        import numpy as np
        from safetensors.numpy import save

        metadata = {"format": FORMAT, "codec": self.codec, "settings": json.dumps(dict(self.settings), sort_keys=True)}
        metadata["card"] = json.dumps(dict(self.card), sort_keys=True)
        write_atomically(Path(path), save({k: np.ascontiguousarray(v) for k, v in self.arrays.items()}, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Artifact:
        """Read a file that `save` wrote.

        Raises `InputError` if the file is missing, `InvalidConfig` if it is not an artifact.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise InputError(f"no artifact at {path}; make one with `proxyc fit`")
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if metadata["format"] != FORMAT:
                raise InvalidConfig(
                    f"{path}: artifact format {metadata['format']}, this version reads {FORMAT}; upgrade proxyc"
                )
            codec, settings, card = metadata["codec"], json.loads(metadata["settings"]), json.loads(metadata["card"])
            if not (isinstance(settings, dict) and isinstance(card, dict)):
                raise ValueError("settings and card must be objects")
        except InvalidConfig:
            raise
        # Foreign dtypes (bfloat16, float8) are TypeError and AttributeError from safetensors' numpy side.
        except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidConfig(f"{path} is not a proxyc artifact ({error}); make one with `proxyc fit`") from error
        return cls(codec=codec, settings=settings, arrays=arrays, card=card)


def _artifact(codec: str, settings: dict[str, Any], arrays: dict[str, Any], card: dict[str, Any]) -> Artifact:
    """Make an artifact from a pickle: a function, since the class takes only keywords."""
    return Artifact(codec=codec, settings=settings, arrays=arrays, card=card)


def _packaged_again(name: str, fingerprint: str) -> Artifact:
    """Raises `FingerprintMismatch` if this version of the package has another artifact of that name."""
    artifact = Artifact.packaged(name)
    if artifact.fingerprint != fingerprint:
        raise FingerprintMismatch(
            f"the artifact {name} of this package is {artifact.fingerprint[:12]}, not {fingerprint[:12]}: "
            "use the same version of proxyc on both sides"
        )
    return artifact


__all__ = ["ASSETS", "FORMAT", "Artifact"]
