"""Codecs as tokenizers of `transformers`: equal ids, and all texts come back, after saving and opening, too."""

import json
import os
import random
import subprocess
import sys

import pytest
from click.testing import CliRunner

import compressors
from compressors.errors import CorruptStream, FingerprintMismatch, InputError, InvalidConfig, OneWay
from proxylm.cli.main import proxyc

transformers = pytest.importorskip("transformers")
from compressors.interop import CodecTokenizer  # noqa: E402

TEXTS = ["", "naïve <pad> \n  text .", "日本 " * 20, b"\xff\x00not text".decode("utf-8", "surrogateescape")]


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    transformers.logging.set_verbosity_error()
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


def opened(folder, **options):
    return transformers.AutoTokenizer.from_pretrained(folder, **options)


def test_ids_are_the_symbols_and_specials_come_behind(codec, tmp_path):
    tokenizer = CodecTokenizer(codec, pad_token="<pad>", eos_token="<eos>")
    tokenizer.save_pretrained(tmp_path / "t")
    size = codec.vocab.size
    for one in (tokenizer, opened(tmp_path / "t")):
        assert one.compressor == codec
        assert sorted([one.pad_token_id, one.eos_token_id]) == [size, size + 1]
        assert (one.vocab_size, len(one)) == (size, size + 2)
        for text in TEXTS:
            ids = one(text)["input_ids"]
            assert ids == codec.encode(text.encode("utf-8", "surrogateescape")).tolist()
            assert one.decode(ids) == text
            assert one.decode([*ids, one.eos_token_id, one.pad_token_id], skip_special_tokens=True) == text
            assert one.decode([one.eos_token_id, *ids]) == "<eos>" + text


def test_batches_are_padded():
    tokenizer = CodecTokenizer("bytes", pad_token="<pad>", padding_side="left")
    batch = tokenizer(["a", "abc"], padding=True, return_tensors="np")
    assert batch["input_ids"].tolist() == [[256, 256, 97], [97, 98, 99]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True) == ["a", "abc"]


def test_without_an_import_it_takes_trust_remote_code(packed_bpe, tmp_path):
    tokenizer = CodecTokenizer(packed_bpe)
    tokenizer.save_pretrained(tmp_path / "t")
    code = (
        "import sys; from transformers import AutoTokenizer\n"
        "t = AutoTokenizer.from_pretrained('t', trust_remote_code=True); t.save_pretrained('again')\n"
        "print(AutoTokenizer.from_pretrained('again', trust_remote_code=True)('text').input_ids)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules")},
    )  # fmt: skip
    assert done.stdout == f"{tokenizer('text').input_ids}\n", done.stderr


def test_bad_input(tmp_path, bpe):
    with pytest.raises(OneWay):
        CodecTokenizer("entropy-windows")
    with pytest.raises(InputError, match="a lone surrogate at 1"):
        CodecTokenizer("bytes")("a\ud800")
    whole = CodecTokenizer("gzip")("a text of some length")["input_ids"]
    with pytest.raises(CorruptStream):
        CodecTokenizer("gzip").decode(whole[:-3])
    with pytest.raises(InvalidConfig, match="not the description of a codec"):
        CodecTokenizer({"name": "gzip"})
    CodecTokenizer(bpe).save_pretrained(tmp_path)
    type(bpe)().save(tmp_path / "codec.pxa")
    with pytest.raises(FingerprintMismatch, match="another codec"):
        opened(tmp_path)
    (tmp_path / "codec.pxa").unlink()
    with pytest.raises(InvalidConfig, match="its artifact is missing"):
        opened(tmp_path)


def test_other_versions_of_a_library_are_a_warning(tmp_path):
    CodecTokenizer("gzip").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    made_by = compressors.get("gzip").fingerprint_with({"zlib": "0.1"})
    config["codec"] |= {"libraries": {"zlib": "0.1"}, "fingerprint": made_by}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=r"saved with \{'zlib': '0.1'\}.*other ids"):
        assert opened(tmp_path).decode(CodecTokenizer("gzip")("text")["input_ids"]) == "text"


def test_bpe_as_a_tokenizer_that_needs_nothing_of_ours(bpe, tmp_path):
    bpe.save_pretrained(tmp_path / "a")
    bpe.save(tmp_path / "code.pxa")
    command = ["convert", str(tmp_path / "code.pxa"), "-o", str(tmp_path / "b")]
    assert CliRunner().invoke(proxyc, command, catch_exceptions=False).exit_code == 0
    with pytest.raises(InputError, match="exists already"):
        CliRunner().invoke(proxyc, command, catch_exceptions=False)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    tokenizer, draw = opened(tmp_path / "a"), random.Random(0)
    blocks = [(0, 0x80), (0, 0x3000), (0xE000, 0x110000)]  # without surrogates
    for _ in range(500):
        text = "".join(chr(draw.randrange(*draw.choice(blocks))) for _ in range(draw.randrange(40)))
        ids = bpe.encode(text.encode()).tolist()
        assert tokenizer(text)["input_ids"] == ids
        assert tokenizer.decode(ids) == text
