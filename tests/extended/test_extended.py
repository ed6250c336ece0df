"""Bounded versions of all programs in this folder: `make test-extended`, some minutes; not part of `make test`."""

import json
import sysconfig
from pathlib import Path

import pytest

import compressors
from bench.corpora import standard_library
from compressors.bpe.codec import BPE
from tests.extended import faults, fuzz_bpe, fuzz_streams, fuzz_texts, neural_digests, portability

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("seed", [1, 2])
def test_fuzzed_strings_have_the_ids_of_tokenizers(seed):
    snippets = fuzz_bpe.ordinary_texts()
    rows = list(fuzz_bpe.fuzz({"crossing": fuzz_bpe.crossing_model(seed, snippets)}, 30_000, seed, snippets))
    assert sum(row.texts for row in rows) == 30_000
    assert [row.examples for row in rows] == [[]] * len(rows)


def test_whole_documents_have_the_ids_of_tokenizers(tmp_path):
    compressors.get("bpe").to_tokenizer_json(tmp_path / "tokenizer.json")
    pair = fuzz_bpe.Pair(json.loads((tmp_path / "tokenizer.json").read_bytes()))
    corpus = tmp_path / "texts.jsonl"
    folder = Path(sysconfig.get_path("stdlib"))
    texts = [path.read_text("utf-8", "ignore") for path in sorted(folder.glob("*.py"))[:150]]
    texts += ["".join(fuzz_texts.strings(seed).take(300)) for seed in range(20)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (row,) = fuzz_bpe.compare(pair, [corpus])
    assert (row.texts, row.examples) == (len(texts), [])


@pytest.mark.parametrize("first", range(0, 1200, 400))
def test_random_streams_and_files_are_decoded_or_refused(first):
    for seed in range(first, first + 400):
        fuzz_streams.one_input(fuzz_streams.Drawn(seed))


@pytest.mark.parametrize("spec", faults.CODECS)
def test_damage_is_noticed_or_harmless(spec, tmp_path, monkeypatch):
    """In every kind that `tests.extended.faults` tries; only `.br`, a format without a checksum, loses any."""
    monkeypatch.setattr(faults, "DRAWS", 40)
    slow = spec in faults.SLOW
    text = b"".join(document.data for document in standard_library()[0][:60])[: 20_000 if slow else 300_000]
    codec = BPE.fit([text], vocab_size=512) if spec == "bpe" else compressors.parse(spec)
    for data, kinds in ((text[: 300 if slow else 1500], faults.SMALL_KINDS), (text, faults.LARGE_KINDS)):
        for kind, damage in kinds.items():
            found = faults.count(codec, spec, kind, data, damage, tmp_path)
            assert found.tried > 0
            assert found.lost == 0 or codec.suffix == ".br", found


def test_other_paths_to_the_numbers_of_neural_give_the_same():
    """Threads, batches, another instruction set, the interpreter: of a short text, so that each takes a minute at most."""
    wanted = ("2 threads", "documents in one batch, in company", "Numba for haswell", "interpreter, int64 products")
    chosen = [way for way in portability.ways() if way.name in wanted]
    assert len(chosen) == len(wanted)
    short = [
        portability.Way(way.name, way.environment, way.how, way.command, portability.SHORT, way.compiles)
        for way in chosen
    ]
    rows = portability.run([portability.Way("as it comes", n_bytes=portability.SHORT), *short])
    assert {row.way: row.outcome for row in rows} == {row.way: "equal" for row in rows}


def test_this_process_gives_the_published_digests_of_the_short_text(monkeypatch):
    rows = json.loads((ROOT / "bench/results/portability.json").read_text())["rows"]
    published = next(row for row in rows if row["n_bytes"] == portability.SHORT)
    monkeypatch.setattr(neural_digests.pxc, "BLOCK_SIZE", neural_digests.PIECE)
    monkeypatch.setattr(neural_digests.windows, "_CHUNK", neural_digests.PIECE)
    assert neural_digests.digests(portability.SHORT, ["batch"]) == published["digests"]
