"""Leaving for the Hugging Face Hub: a fitted codec or an exported model, with its card, in one commit.

`prepare` does all that can fail without the hub; `push` asks it for the first time.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError, safe_open

from compressors import registry
from compressors.artifact import Artifact
from compressors.base import Compressor
from compressors.bpe.codec import BPE
from compressors.errors import InputError, InvalidConfig
from compressors.hub import ARTIFACT, Place, clear_errors
from compressors.interop.description import save_artifact
from proxylm.interop import cards

Files: TypeAlias = dict[str, "bytes | Path"]  # name in the repository -> content, or where it lies
CARD = "README.md"
_EXPORTED = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def prepare(source: Path, repo: str, *, licence: str | None = None, documents: Sequence[bytes] | None = None) -> Files:
    """All files of the commit. source: an artifact, a tokenizer.json, or a folder of `proxyc export`.

    licence: an identifier of the hub. documents: text to measure an artifact's bytes per symbol on. Raises `InputError` or
    `InvalidConfig` for what is not fit to be published; nothing is sent.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, re.ASCII):
        raise InvalidConfig(f"{repo!r} is not a repository; write user/name")
    if licence is not None:
        cards.checked(licence)
    if not source.is_dir():
        return _artifact(source, repo, licence, documents)
    if documents is not None:
        raise InvalidConfig("--measure is for artifacts; `proxyc eval` measures a model")
    return _exported(source, repo, licence)


def push(files: Files, repo: str, *, private: bool = False) -> str:
    """Make the repository if it is missing, and commit `files`; the commit's id. Raises `InputError` with what helps.

    Files of the repository that are not in `files` stay.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(library_name="proxyc", library_version=version("proxyc"))
    with clear_errors(Place(repo)):
        api.create_repo(repo, private=private, exist_ok=True)
        operations = [
            CommitOperationAdd(name, str(data) if isinstance(data, Path) else data) for name, data in files.items()
        ]
        commit = api.create_commit(repo, operations, commit_message=f"Upload with proxyc {version('proxyc')}")
    return str(commit.oid)


def _artifact(source: Path, repo: str, licence: str | None, documents: Sequence[bytes] | None) -> Files:
    """An artifact under the name that `compressors.load` looks for; of `bpe` what `AutoTokenizer` opens, too."""
    codec = registry.load(source)
    with tempfile.TemporaryDirectory() as folder:
        if not save_artifact(codec, Path(folder) / ARTIFACT):
            raise InvalidConfig(f"{source}: {codec.name} has nothing fitted to push")
        artifact = Artifact.load(Path(folder) / ARTIFACT)
        if isinstance(codec, BPE):
            codec.save_pretrained(folder)
        files: Files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    measured = None if documents is None else _bytes_per_symbol(codec, documents)
    card = cards.of_artifact(codec, artifact, repo, licence=licence or cards.UNKNOWN, bytes_per_symbol=measured)
    return files | {CARD: card.encode()}


def _bytes_per_symbol(codec: Compressor, documents: Sequence[bytes]) -> float:
    n_symbols = len(codec.encode_batch(documents).values)
    if n_symbols == 0:
        raise InputError("--measure: the text is empty; give some")
    return sum(map(len, documents)) / n_symbols


def _exported(folder: Path, repo: str, licence: str | None) -> Files:
    """The files that `proxyc export` wrote, and no others: whatever else lies there is nobody's business."""
    if (folder / "run.json").exists():
        raise InputError(f"{folder} is a run; write its model first: `proxyc export {folder} DIR`, then push DIR")
    config = _checked_config(folder)
    files: Files = {name: folder / name for name in _EXPORTED}
    for place in dict(config.get("auto_map", {})).values():  # file.Class, without .py
        name = Path(f"{str(place).partition('.')[0]}.py").name
        files[name] = folder / name
    if missing := [name for name in (*files, CARD) if not (folder / name).is_file()]:
        raise InputError(f"{folder} lacks {', '.join(missing)}; export the run again")
    card = (folder / CARD).read_bytes().decode("utf-8", "surrogateescape")  # people edit it
    if not card.startswith("---\n"):
        raise InputError(
            f"{folder / CARD} does not begin with the block of YAML that the hub reads; export the run again"
        )
    return files | {CARD: cards.named(card, repo, licence).encode("utf-8", "surrogateescape")}


def _checked_config(folder: Path) -> dict[str, Any]:
    """config.json of an export, whose weights are of the shape it says. Raises `InputError` for an export that somebody edited."""
    again = "export the run again"
    try:
        config = json.loads((folder / "config.json").read_text())
        expected = [config["vocab_size"], config["hidden_size"]]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is not an exported model: it has no config.json; `proxyc export RUN DIR`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'config.json'} is damaged ({error!r}); {again}") from error
    weights = folder / "model.safetensors"
    try:
        with safe_open(weights, "np") as file:
            found = file.get_slice("model.embed_tokens.weight").get_shape()
    except (OSError, SafetensorError) as error:
        raise InputError(f"{weights} cannot be read ({error}); {again}") from error
    if found != expected:
        raise InputError(f"{weights} has an embedding of {found}, and config.json says {expected}; {again}")
    return dict(config)
