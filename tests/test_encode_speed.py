"""`proxyc bench encode`: ids and decoded text are compared, tables show what was measured."""

import json
from pathlib import Path

import pytest

from bench.codecs import encoders
from bench.speed import encode
from compressors.bpe.codec import BPE

TEXTS = ["def f(x):\n    return x\n" * 30, "Übergrößen, 漢字 🙂 \u00a0 and more"]


@pytest.fixture
def asked(bpe: BPE, tmp_path: Path) -> dict:
    """The arguments of `child_speed`."""
    bpe.to_tokenizer_json(tmp_path / "tokenizer.json")
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return {
        "tokenizer": str(tmp_path / "tokenizer.json"),
        "corpus": str(tmp_path / "text.jsonl"),
        "repeats": 1,
        "skip": [],
    }


def test_every_encoder_decodes_the_text(asked: dict) -> None:
    rows = encode.child_speed(**asked, n_threads=1)["rows"]
    assert {row["encoder"] for row in rows} == set(encoders.versions())
    assert all(row["ids_equal"] and row["text_equal"] and row["decode_mb_s"] > 0 for row in rows)
    assert [line[0] for line in encode.decode_table(rows).rows] == ["text"]


def test_decoding_is_measured_with_one_thread_only(asked: dict) -> None:
    rows = encode.child_speed(**asked, n_threads=2)["rows"]
    assert all(row["ids_equal"] and "decode_mb_s" not in row for row in rows)
    assert not encode.decode_table(rows).rows
