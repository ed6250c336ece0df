"""Frozen facts: what the command line makes of a small corpus, whatever the modules behind it are called.

Stores, rows and FLOPs are exact. Losses and weights are equal to 1e-4, since processors round differently.
Rewritten only by ``pytest tests/test_frozen_facts.py --rewrite-golden``, one fact by each test that runs.
The facts lie in a separate folder: every ``tests/golden/*.json`` is a codec's.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from proxylm.cli.main import proxyc  # the only name of ours in this file

FROZEN = Path(__file__).parent / "golden" / "facts" / "facts.json"
TOLERANCE = 1e-4
ROUNDED = {"loss", "bits_per_byte", "interval_95", "end_bits_per_document", "above", "below", "placed"}
RECORDED = ("rows_checksum", "symbols", "bytes", "flops", "loss")  # what is frozen of each step

# -- the settings of all runs: change them here when a setting gets another name --------------------------------------

SMALL = {"d_model": 32, "n_layers": 1, "n_heads": 2}
SHORT = {"steps": 6, "rows": 4, "row_length": 64, "seed": 7, "dtype": "fp32"}
MIX = {"chunk": 62}  # the bytes that fit a row
MERGES = "bpe:merges=64"
PROXY, COMP, COMP_THEN_RAW = ({"recipe": name, "view": "bpe"} for name in ("proxy", "comp", "comp-then-raw"))
SEVERAL = [
    {"until": 0.5, "start": 1.0, "end": 0.6, "views": {"bpe": 1.0, MERGES: 2.0, "packed": 1.0, "bpe:bags=4": 1.0}},
    {"until": 0.8, "start": 0.4, "end": 0.7, "views": {"bpe": 1.0, "packed": 3.0}, "pair": True},
    {"until": 1.0, "start": 0.0, "end": 0.0},
]
RUNS = {  # what differs from SHORT, SMALL and MIX
    "raw": {"train": {"row_length": 128}, "model": {"n_layers": 2}, "mix": {"chunk": 126}},
    "raw, several rows a chunk": {"mix": {"chunk": 150}},
    "raw, whole documents": {"train": {"seed": 8}, "model": {"n_kv_heads": 1}, "mix": {"chunk": 0}},
    "comp": {"train": {"steps": 3}, "mix": COMP},
    "proxy": {"mix": PROXY},
    "comp-then-raw": {"mix": COMP_THEN_RAW},
    "merges": {"mix": COMP_THEN_RAW | {"view": MERGES}},
    "all merges": {"mix": PROXY | {"view": "bpe:merges=243"}},
    "bags": {"mix": COMP_THEN_RAW | {"view": "bpe:bags=8"}},
    "bags of raw": {"mix": COMP_THEN_RAW | {"view": "raw:bags=4"}},
    "several views": {"mix": {"phases": SEVERAL}},
    "not aligned": {"mix": PROXY | {"view": "packed"}},
    "neural": {"train": {"steps": 2}, "mix": COMP | {"view": "neural"}},
    "n-grams": {"model": {"hash_ngrams": 4, "ngram_rows": 512, "partial_key_offset": True}, "mix": PROXY},
    "n-ahead": {"model": {"n_ahead": 2}, "mix": PROXY},
    "micro rows": {"train": {"micro_rows": 3}, "mix": COMP_THEN_RAW | {"view": "bpe:bags=3"}},
    "by FLOPs": {"train": {"steps": None, "flops": 2.5e8}, "mix": PROXY},
    "resumed": {"train": {"checkpoint_every": 3, "keep": 9}, "mix": PROXY},
}
RUNS = {
    name: {key: common | run.get(key, {}) for key, common in (("train", SHORT), ("model", SMALL), ("mix", MIX))}
    for name, run in RUNS.items()
}

# -- the corpus -------------------------------------------------------------------------------------------------------

WORDS = [
    "the", "return", "of", "compression", "value", "def f(x):\n    ", "and", "self.", "= 12345", "naïve", "日本語", "🙂", "view",
    "a", "language", "models", "(", ")\n", "it's", "bytes", "\r\n\t", "symbols", "in", "rows", "window", ".\n\n",
]  # fmt: skip


def text(seed: int, size: int) -> bytes:
    """`size` bytes of words, the first ones often; word k depends only on (seed, k). It may end within a character."""
    found = bytearray()
    k = 0
    while len(found) < size:
        drawn = int.from_bytes(hashlib.sha256(f"{seed} {k}".encode()).digest()[:4], "big") / 2**32
        found += WORDS[int(drawn**2 * len(WORDS))].encode() + b" "
        k += 1
    return bytes(found[:size])


def write_corpus(folder: Path) -> None:
    """Twenty documents of 89 kB, one of them empty, one no UTF-8, one of one byte, one half of everything."""
    broken = text(1, 700) + b"\x80\xfe\xff\xed\xa0\x80\0" * 9 + bytes(range(256)) + text(2, 300)
    documents = [b"", broken, b"x", text(3, 40_000), *(text(i, 170 * i) for i in range(10, 26))]
    folder.mkdir()
    for number, data in enumerate(documents):
        (folder / f"{number:02d}.txt").write_bytes(data)


# -- what is made of it -----------------------------------------------------------------------------------------------


def proxyc_(*arguments: object) -> bytes:
    """Standard output of `proxyc ARGUMENTS`."""
    done = CliRunner().invoke(proxyc, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


class Made:
    """A folder with the corpus, its BPE and store; runs are trained when they are asked for first."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpus, self.store, self.bpe = folder, folder / "corpus", folder / "store", folder / "bpe.pxa"
        write_corpus(self.corpus)
        proxyc_("fit", "bpe", self.corpus, "-o", self.bpe, "--vocab-size", 512)
        views = ("neural", f"bpe={self.bpe}", f"packed@pack:codec=bpe={self.bpe},bits=12,gray=1")
        proxyc_("encode", self.corpus, "-o", self.store, *(part for view in views for part in ("--view", view)))

    def run(self, name: str) -> Path:
        """The folder of a finished run."""
        run = self.folder / name
        if not run.exists():
            self.train(name, run)
        return run

    def train(self, name: str, run: Path) -> None:
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps(RUNS[name]))
        proxyc_("train", self.store, "-o", run, "--config", settings, "-q")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("facts"))


def log_of(run: Path) -> list[dict[str, object]]:
    """What is frozen of each step."""
    records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [{key: record[key] for key in RECORDED} for record in records]


def store_facts(made: Made) -> object:
    """The fingerprints as they are printed, and the SHA-256 of the files."""
    printed = json.loads(proxyc_("store", made.store, "--json", "--verify"))
    files = [path for kind in ("bin", "off", "len", "splits") for path in sorted(made.store.rglob(f"*.{kind}"))]
    return {
        "fingerprint": printed["fingerprint"],
        "views": {name: view["fingerprint"] for name, view in printed["views"].items()},
        "files": {str(f.relative_to(made.store)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
    }


def export_facts(made: Made) -> object:
    """The configuration as it is; of each tensor its shape and sums: what is above 0, what is below, and all by place."""
    folder = made.folder / "exported"
    proxyc_("export", made.run("raw"), folder)
    tensors = {}
    for name, tensor in sorted(load_file(folder / "model.safetensors").items()):
        values = tensor.astype(np.float64).ravel()
        sums = {"above": values[values > 0].sum(), "below": values[values < 0].sum()}
        sums["placed"] = np.abs(values) @ np.arange(1, len(values) + 1) / len(values)
        tensors[name] = {"shape": list(tensor.shape), **{key: float(value) for key, value in sums.items()}}
    return {"config": json.loads((folder / "config.json").read_text()), "tensors": tensors}


def generated(made: Made) -> object:
    """The likeliest bytes after a prompt, as Latin-1."""
    arguments = ("--temperature", 0, "--max-bytes", 48, "--bytes")
    return proxyc_("generate", made.run("raw"), "def f(x):\n    return", *arguments).decode("latin-1")


FACTS = {
    "store": store_facts,
    **{f"run: {name}": lambda made, name=name: log_of(made.run(name)) for name in RUNS},
    "export": export_facts,
    "eval": lambda made: json.loads(proxyc_("eval", made.run("raw"), made.corpus, "--json")),
    "eval of a view": lambda made: json.loads(
        proxyc_("eval", made.run("proxy"), made.corpus, "--json", "--codec", f"bpe={made.bpe}")
    ),
    "generate": generated,
}


def differences(found: object, frozen: object, where: str = "", rounded: bool = False) -> list[str]:
    """Where two JSON values differ; numbers under the names in `ROUNDED` may by `TOLERANCE`."""
    if isinstance(found, dict) and isinstance(frozen, dict) and found.keys() == frozen.keys():
        pairs = [(f"{where}/{key}", found[key], frozen[key], rounded or key in ROUNDED) for key in found]
    elif isinstance(found, list) and isinstance(frozen, list) and len(found) == len(frozen):
        pairs = [(f"{where}/{i}", a, b, rounded) for i, (a, b) in enumerate(zip(found, frozen, strict=True))]
    elif rounded and isinstance(found, float) and isinstance(frozen, float):
        return [] if math.isclose(found, frozen, rel_tol=TOLERANCE) else [f"{where}: {found}, frozen {frozen}"]
    else:
        return [] if found == frozen else [f"{where}: {found!s:.300}, frozen {frozen!s:.300}"]
    return [line for path, a, b, is_rounded in pairs for line in differences(a, b, path, is_rounded)]


@pytest.mark.parametrize("name", FACTS)
def test_fact_is_the_frozen_one(made: Made, name: str, request: pytest.FixtureRequest) -> None:
    found = json.loads(json.dumps(FACTS[name](made)))
    frozen = json.loads(FROZEN.read_text()) if FROZEN.exists() else {}
    if request.config.getoption("--rewrite-golden"):
        frozen = {known: frozen[known] for known in FACTS if known in frozen} | {name: found}
        FROZEN.write_text(json.dumps({known: frozen[known] for known in FACTS if known in frozen}, indent=1) + "\n")
    assert name in frozen, f"{name} is not in {FROZEN.name}; it is made only with --rewrite-golden"
    assert not (different := differences(found, frozen[name])), "\n".join(different)


def test_frozen_facts_are_all_looked_at() -> None:
    assert list(json.loads(FROZEN.read_text())) == list(FACTS)


def test_resumed_run_equals_the_uninterrupted_one(made: Made) -> None:
    whole, resumed = made.run("resumed"), made.folder / "interrupted"
    shutil.copytree(whole, resumed)
    *_, before, newest = sorted((resumed / "checkpoints").iterdir())
    shutil.rmtree(newest)
    log = (whole / "log.jsonl").read_text()
    (resumed / "log.jsonl").write_text("".join(log.splitlines(keepends=True)[:4]) + '{"step": 4, "lo')  # killed there
    assert before.name.endswith("3")
    made.train("resumed", resumed)
    assert log_of(resumed) == log_of(whole)
    for file in ("model.safetensors", "optimizer.safetensors"):
        made_again = (resumed / "checkpoints" / newest.name / file).read_bytes()
        assert made_again == (whole / "checkpoints" / newest.name / file).read_bytes(), file
