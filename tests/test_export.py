"""A run that left: `transformers` computes the same logits and continues a text in the same way."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from compressors.errors import InputError, InvalidConfig
from proxylm.config import ModelConfig
from proxylm.data.alphabet import RAW_SIZE, Alphabet
from proxylm.evaluation.placement import placed
from proxylm.generation import Sampling, complete
from proxylm.interop.byte_tokenizer import byte_tokenizer
from proxylm.interop.export import compare, export
from proxylm.model.decoder import Decoder

KINDS = {
    "raw": (Alphabet({}), 0, {}),
    "views": (Alphabet({"a": 300, "b": 7}), 0, {"n_kv_heads": 2}),
    "merges": (Alphabet({"a": 300}, {"a": 44}), 0, {"n_kv_heads": 1, "d_ff": 50}),
    "bags": (Alphabet({}), 4, {"rope_theta": 500.0}),
    "extra heads": (Alphabet({}), 0, {"n_ahead": 2}),
}


def model(kind):
    alphabet, bags, options = KINDS[kind]
    torch.manual_seed(0)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=4, **options), alphabet, bags)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_greedy_text_equal_those_of_transformers(kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.logging.disable_progress_bar()
    made = model(kind)
    export(made, tmp_path / "hf", context=64)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    ids = torch.randint(0, RAW_SIZE, (3, 50))
    torch.testing.assert_close(theirs(ids).logits, made.heads.raw_logits(made(ids)), rtol=1e-5, atol=1e-5)

    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    prompt = tokenizer("naïve <|bos|>", return_tensors="pt")
    found = theirs.generate(**prompt, max_new_tokens=30)[0, prompt["input_ids"].shape[1] :].tolist()
    greedy = Sampling(max_bytes=30, temperature=0)
    (text,) = complete(made, ["naïve <|bos|>".encode()], greedy, context=62)
    ours = [64 + byte for byte in text]
    assert found == ours if len(ours) == 30 else [*ours, 13]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("export") / "hf"
    export(model("raw"), folder, context=64)
    return transformers.AutoTokenizer.from_pretrained(folder)


@given(text=st.text() | st.sampled_from(["<|bos|>", "a<|raw|>b", "<|/raw|>", "\r\n \0\ufeff", " x", "e\u0301"]))
@settings(max_examples=60)
def test_any_text_is_its_bytes_and_back(tokenizer, text):
    found = tokenizer(text)["input_ids"]
    assert found == [1, 12, *(64 + b for b in text.encode())]
    assert tokenizer.decode(found, skip_special_tokens=True) == text


def test_the_tokenizer_knows_all_ids_and_pads_on_the_left(tokenizer):
    assert (len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (320, 1, 13, 0)
    assert tokenizer(["a", "abc"], padding=True)["input_ids"] == [[0, 0, 1, 12, 161], [1, 12, 161, 162, 163]]
    assert byte_tokenizer().encode("é").ids == [1, 12, 64 + 0xC3, 64 + 0xA9]


def test_what_qwen3_has_no_place_for_is_refused_and_nothing_is_overwritten(tmp_path):
    made = model("views")
    export(made, tmp_path / "hf", context=64)
    assert json.loads((tmp_path / "hf/config.json").read_text())["vocab_size"] == RAW_SIZE
    with pytest.raises(InputError, match="not empty"):
        export(made, tmp_path / "hf", context=64)
    made.extra = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(InvalidConfig, match="extra"):
        export(made, tmp_path / "other", context=64)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    """A check that finds other logits; a disk that is full, as safetensors says it."""
    made = model("raw")
    with monkeypatch.context() as patch:
        patch.setattr("proxylm.interop.export.generation_config", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(made, tmp_path / "hf", context=64)

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("proxylm.interop.export.save_file", full)
        with pytest.raises(InputError, match="No space left"):
            export(made, tmp_path / "hf", context=64)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="exists already"):
        export(made, tmp_path / "file", context=64)
    with pytest.raises(InputError, match=r"cannot write .*file/below: Not a directory"):
        export(made, tmp_path / "file/below", context=64)


def test_whoever_may_read_new_files_may_read_all_of_an_export(tmp_path):
    export(model("raw"), tmp_path / "hf", context=64)
    (tmp_path / "new").touch()
    assert {file.stat().st_mode for file in (tmp_path / "hf").iterdir()} == {(tmp_path / "new").stat().st_mode}


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_check_compares_in_the_precision_asked_for(tmp_path, dtype):
    transformers = pytest.importorskip("transformers")
    transformers.logging.disable_progress_bar()
    made = placed(model("views"), "cpu", dtype)
    export(made, tmp_path / "hf", context=64, check=True)
    with torch.no_grad():
        made.blocks[0].up.weight.mul_(2)
    with pytest.raises(InputError, match="logits differ"):
        compare(made, tmp_path / "hf")
