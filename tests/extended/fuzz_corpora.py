"""Corpora with names and contents at random: each file is read right, or the reader refuses it in one line that names it.

    python -m tests.extended.fuzz_corpora 20000

A short run is part of the tests (test_corpus_formats.py).
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import brotli
import zstandard

from compressors.corpus import Reader
from compressors.errors import InputError

METHODS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".br": brotli.compress,
    ".lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}
STEMS = (
    "a",
    "c4-train.00000-of-01024",
    "b.v2",
    "ü",
    "x y",
    "[z]*?",
    "-dash",
    "part-00000",
    "t.tar",
    "q?x=1",
    "new\tline",
)
KINDS = (".jsonl", ".ndjson", ".json", "", ".txt", ".py", ".JSONL", ".Json")


def one_corpus(seed: int, folder: Path) -> None:
    """A folder of one to four files; what is expected follows from how they were made."""
    rng = random.Random(seed)
    folder.mkdir()
    expected: dict[str, list[bytes] | None] = {}  # None: to be refused
    for _ in range(rng.randrange(1, 5)):
        name, data, documents = _file(rng)
        path = folder / rng.choice(("", "sub", "sub/deeper")) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        expected[path.relative_to(folder).as_posix()] = documents
    names = sorted(expected)
    wrong = [name for name in names if expected[name] is None]
    right = [document for name in names for document in expected[name] or ()]
    try:
        found = [document.data for document in Reader(folder)]
    except InputError as error:
        refused = str(error)
        assert "\n" not in refused, (seed, refused)
        assert any(name in refused for name in wrong) or (not right and "no documents" in refused), (seed, refused)
    else:
        assert not wrong, (seed, wrong)
        assert found == right, (seed, names)


def _file(rng: random.Random) -> tuple[str, bytes, list[bytes] | None]:
    """A name, its bytes, and the documents that are in it."""
    kind, suffix = rng.choice(KINDS), rng.choice(["", *METHODS])
    texts = [rng.choice(("", "one", "zwei ü", "日本\n")) * rng.randrange(1, 40) for _ in range(rng.randrange(1, 50))]
    ending = rng.choice(("\n", "\r\n"))
    lines = "".join(
        json.dumps({"id": i, "text": text}, ensure_ascii=rng.random() < 0.5) + ending for i, text in enumerate(texts)
    )
    stem = rng.choice(STEMS)
    is_text = kind in (".txt", ".py") or (kind == "" and stem in ("b.v2", "t.tar"))
    data = lines.encode() if not is_text or rng.random() < 0.5 else rng.randbytes(rng.randrange(2000))
    if is_text and data[:1] in b"\x1f\x28\xfd]P7R\4\x89\xff\x8eOB":  # might begin as another format
        data = b"a" + data
    documents: list[bytes] | None = [data] if is_text else [text.encode() for text in texts]
    if stem == "t.tar" and kind == "":
        documents = None
    name = stem + kind
    if suffix:
        data = METHODS[suffix](data)
        hides = suffix != ".br" and rng.random() < 0.3  # only its content tells
        name += "" if hides else rng.choice((suffix, suffix.upper()))
        fault = rng.random()
        if fault < 0.15:
            data, documents = data[: rng.randrange(len(data))], None
            if hides and len(data) < 10:  # too short to be known: then a text, as any other
                return (
                    "short.txt",
                    data,
                    [data]
                    if not data.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"]\0\0"))
                    else None,
                )
        elif fault < 0.25:
            data, documents = data + b"\xaatrailing", None
    return name, data, documents


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(n):
            one_corpus(seed, Path(folder) / str(seed))
    print(f"{n} corpora")


if __name__ == "__main__":
    main()
