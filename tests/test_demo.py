"""What the demo compares, without its trainings."""

from dataclasses import dataclass
from typing import ClassVar

from bench import demo
from compressors.identity import Identity


@dataclass(frozen=True, kw_only=True)
class OneWay(Identity):
    name: ClassVar[str] = "one-way"
    lossless: ClassVar[bool] = False


def test_what_was_fitted_on_the_corpus_is_not_compared(bpe, capsys):
    compared = demo._codecs(bpe)
    assert {"brotli", "bytes", "gzip", "zstd", "zstd:level=19"} <= set(compared)
    assert compared["bpe"] is bpe
    assert not {codec.name for codec in compared.values()} & set(demo.HAVE_SEEN_IT)
    assert "left out: neural, entropy-windows" in capsys.readouterr().err


def test_a_one_way_codec_has_a_row_for_its_symbols_only():
    files, symbols = demo._codec_tables(
        {"ours": Identity(), "guest": OneWay()}, [b"a text that repeats itself " * 20] * 3
    )
    assert [row[0] for row in files.rows] == ["ours"]
    assert [row[0] for row in symbols.rows] == ["ours", "guest"]
    assert "peak MB" not in {*files.heads, *symbols.heads}  # memory is not measured in this process
