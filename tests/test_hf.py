"""A model beyond Qwen3 (hashed n-grams, offset keys, extra heads) in `transformers`: everything one does with a model there."""

import copy
import inspect
import itertools
import json
import os
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch

from compressors.errors import InputError
from proxylm.config import ModelConfig
from proxylm.data.alphabet import RAW_SIZE, Alphabet
from proxylm.generation import Sampling, complete
from proxylm.interop.export import compare, export
from proxylm.model.decoder import Decoder

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v:FutureWarning")
KINDS = {
    "n-grams": {"hash_ngrams": 3, "ngram_rows": 97},
    "offset keys": {"partial_key_offset": True, "n_kv_heads": 2},
    "long n-grams": {"hash_ngrams": 8, "ngram_rows": 512, "d_ff": 50},
    "merges": {"hash_ngrams": 4, "ngram_rows": 512, "partial_key_offset": True, "n_kv_heads": 1, "rope_theta": 500.0},
    "extra heads": {"n_ahead": 2},
    "all": {"n_ahead": 1, "hash_ngrams": 4, "ngram_rows": 512, "partial_key_offset": True},
}
PROMPTS = ["naïve <|bos|>", "a", "def f(x):\n    return"]


def model(kind):
    torch.manual_seed(0)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=4, **KINDS[kind]), Alphabet({}, {"a": 44}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    if made.embedding.ngrams is not None:
        torch.nn.init.zeros_(made.embedding.ngrams.table[-1])
    return made.eval()


@pytest.fixture(scope="module", autouse=True)
def quiet(tmp_path_factory):
    """No progress bars, no network, and modelling files copied into a folder of this test."""
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    for kind in KINDS:
        export(model(kind), folder / kind.replace(" ", "_"), context=64, extra_heads=True)
    return lambda kind: folder / kind.replace(" ", "_")


def opened(folder, **options):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, **options)


@pytest.fixture(scope="module")
def merges(folders):
    return opened(folders("merges"))


@pytest.fixture(scope="module")
def tokenizer(folders):
    return transformers.AutoTokenizer.from_pretrained(folders("merges"), trust_remote_code=True)


def greedy(made, tokenizer, prompts, **options):
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    found = made.generate(**inputs, max_new_tokens=20, do_sample=False, **options)
    return [tokenizer.decode(row, skip_special_tokens=True) for row in found[:, inputs["input_ids"].shape[1] :]]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_greedy_text_are_ours(kind, folders, tokenizer):
    made, theirs = model(kind), opened(folders(kind))
    assert type(theirs).__name__ == "ProxyLMForCausalLM"
    ids = torch.randint(0, RAW_SIZE, (3, 50), generator=torch.Generator().manual_seed(1))
    found = theirs(ids, output_extra_logits=True)
    torch.testing.assert_close(found.logits, made.heads.raw_logits(made(ids)), rtol=1e-5, atol=1e-5)
    if made.heads.ahead is not None:
        guessed = found.extra_logits[..., 64:].argmax(-1) + 64
        assert torch.equal(guessed, made.heads.guesses(made(ids)))
    expected = complete(made, [p.encode() for p in PROMPTS], Sampling(max_bytes=20, temperature=0), context=60)
    assert greedy(theirs, tokenizer, PROMPTS) == [text.decode("utf-8", "replace") for text in expected]


def test_extra_heads_can_be_dropped(tmp_path):
    export(model("extra heads"), tmp_path / "plain", context=64, check=True)
    assert json.loads((tmp_path / "plain/config.json").read_text())["model_type"] == "qwen3"


def test_padding_and_batches_change_nothing(merges, tokenizer):
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    together = merges(**batch).logits
    for row, prompt in enumerate(PROMPTS):
        alone = merges(**tokenizer(prompt, return_tensors="pt")).logits[0]
        torch.testing.assert_close(together[row, -len(alone) :], alone, rtol=1e-4, atol=1e-4)
    right = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="right")
    alone = merges(**tokenizer(PROMPTS[1], return_tensors="pt")).logits[0]
    torch.testing.assert_close(merges(**right).logits[1, : len(alone)], alone, rtol=1e-4, atol=1e-4)


def test_position_ids_keep_packed_documents_apart(merges, tokenizer):
    first, second = (tokenizer(p, return_tensors="pt")["input_ids"] for p in PROMPTS[::2])
    positions = torch.cat([torch.arange(first.shape[1]), torch.arange(second.shape[1])])[None]
    packed = merges(torch.cat([first, second], 1), position_ids=positions).logits
    expected = torch.cat([merges(first).logits, merges(second).logits], 1)
    torch.testing.assert_close(packed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_a_text_read_in_pieces_through_a_cache(merges, tokenizer, cache):
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    whole, mask, ids = merges(**batch).logits, batch["attention_mask"], batch["input_ids"]
    made = {"dynamic": transformers.DynamicCache, "static": transformers.StaticCache}[cache]
    kept = made(**({"config": merges.config, "max_cache_len": 40} if cache == "static" else {}))
    parts, cuts = [], [0, 9, 10, 17, ids.shape[1]]
    for begin, end in itertools.pairwise(cuts):
        parts.append(
            merges(ids[:, begin:end], attention_mask=mask[:, :end], past_key_values=kept, use_cache=True).logits
        )
    there = mask.bool()
    torch.testing.assert_close(torch.cat(parts, 1)[there], whole[there], rtol=1e-4, atol=1e-4)
    kept.read_ids = None
    with pytest.raises(ValueError, match="pass previous_ids"):
        merges(ids[:, :1], past_key_values=kept)


@pytest.mark.parametrize("options", [{"cache_implementation": "static"}, {"use_cache": False}])
def test_every_way_to_generate_writes_the_same(merges, tokenizer, options):
    assert greedy(merges, tokenizer, PROMPTS, **options) == greedy(merges, tokenizer, PROMPTS)


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_generate_takes_a_cache_and_continues_it(merges, tokenizer, name, kind):
    """By the word of this release or the other one; filled by a prompt, or by the text before."""
    if name == "cache" and name not in inspect.signature(transformers.Qwen3ForCausalLM.forward).parameters:
        pytest.skip("this release of transformers calls it past_key_values only")
    caches = {"dynamic": transformers.DynamicCache, "static": partial(transformers.StaticCache, merges.config, 40)}
    kept, settings = caches[kind](), {"do_sample": False, "pad_token_id": 0}
    prompt = tokenizer(PROMPTS[2:], return_tensors="pt")["input_ids"]
    first = merges.generate(prompt, max_new_tokens=6, **{name: kept}, **settings)
    found = merges.generate(first, max_new_tokens=6, **{name: kept}, **settings)
    assert torch.equal(found, merges.generate(prompt, max_new_tokens=12, **settings))


def test_an_assistant_guesses_and_changes_nothing(merges, tokenizer):
    assistant = copy.deepcopy(merges)
    assert greedy(merges, tokenizer, PROMPTS[2:], assistant_model=assistant) == greedy(merges, tokenizer, PROMPTS[2:])


def test_calls_are_those_of_other_models(folders):
    made, ids = opened(folders("merges"), output_hidden_states=True), torch.full((1, 5), 100)
    assert len(made(ids).hidden_states) == 3
    assert made(ids, output_hidden_states=False).hidden_states is None
    for wrong in ({}, {"input_ids": ids, "inputs_embeds": made.get_input_embeddings()(ids)}):
        with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
            made(**wrong)


def test_beams_carry_their_n_grams_and_keys(merges, tokenizer):
    beams = {"num_beams": 3, "num_return_sequences": 3}
    found = greedy(merges, tokenizer, PROMPTS[:2], **beams)
    assert found == greedy(merges, tokenizer, PROMPTS[:2], use_cache=False, **beams)
    assert len(set(found)) > 2


def test_a_cache_that_forgets_is_refused(merges):
    config = transformers.Qwen3Config(
        num_hidden_layers=2, use_sliding_window=True, sliding_window=4, max_window_layers=0
    )
    cache = transformers.DynamicCache(config=config)
    merges(torch.full((1, 9), 100), past_key_values=cache)
    with pytest.raises(ValueError, match="forgets positions"):
        merges(torch.full((1, 9), 100), past_key_values=cache)


def test_gradient_checkpointing_gives_the_same_gradients(folders):
    ids = torch.randint(64, RAW_SIZE, (2, 30), generator=torch.Generator().manual_seed(1))
    gradients = []
    for checkpointing in (False, True):
        made = opened(folders("all")).train()
        if checkpointing:
            made.gradient_checkpointing_enable()
        made(ids, labels=ids).loss.backward()
        gradients.append(made.model.layers[0].self_attn.k_proj.weight.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_saved_and_read_back_also_in_bf16(folders, merges, tmp_path):
    merges.save_pretrained(tmp_path / "again")
    again = opened(tmp_path / "again")
    ids = torch.randint(0, RAW_SIZE, (2, 20), generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(ids).logits, merges(ids).logits)
    rounded = opened(folders("merges"), dtype=torch.bfloat16)
    assert {p.dtype for p in rounded.parameters()} == {torch.bfloat16}
    difference = (rounded(ids).logits.float() - merges(ids).logits).abs().max() / merges(ids).logits.abs().max()
    assert difference < 0.1
    rounded.generate(ids, max_new_tokens=3)


def test_a_copied_folder_generates_where_the_package_is_not(folders, tokenizer, merges, tmp_path):
    """Plain transformers, another working directory, proxylm and compressors not importable."""
    shutil.copytree(folders("merges"), tmp_path / "elsewhere")
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("proxylm", "compressors", "bench"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("elsewhere", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("elsewhere", trust_remote_code=True)
inputs = tokenizer(sys.argv[1], return_tensors="pt")
found = model.generate(**inputs, max_new_tokens=20, do_sample=False)
print(ascii(tokenizer.decode(found[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)))
"""
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, PROMPTS[2]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == ascii(greedy(merges, tokenizer, PROMPTS[2:])[0]) + "\n", done.stderr
    source = (tmp_path / "elsewhere/modeling_proxylm.py").read_text()
    assert not any(
        f"import {name}" in source or f"from {name}" in source for name in ("numpy", "proxylm", "compressors")
    )


def test_an_export_edited_by_hand_is_one_clear_error(folders, tmp_path):
    made = model("merges")
    for change, message in (
        ({"hash_ngrams": 9}, "no such model"),
        ({"num_key_value_heads": 3}, "no such model"),
        ({"hash_ngrams": 0}, "unexpected keys: model.ngrams.weight"),
        ({"extra_heads": 1}, "missing keys: extra_heads.0.weight"),
        ({"partial_key_offset": False}, "its logits differ"),
    ):
        shutil.rmtree(tmp_path / "edited", ignore_errors=True)
        shutil.copytree(folders("merges"), tmp_path / "edited")
        file = tmp_path / "edited/config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(InputError, match=message) as raised:
            compare(made, tmp_path / "edited")
        assert "\n" not in str(raised.value)
    (tmp_path / "edited/modeling_proxylm.py").unlink()
    with pytest.raises(InputError, match="transformers cannot open it"):
        compare(made, tmp_path / "edited")


def test_trainer_takes_twenty_steps(folders, tmp_path):
    pytest.importorskip("accelerate")
    made = opened(folders("all"))
    rows = [
        {
            "input_ids": [1, 12, *(64 + b for b in b"the same text")],
            "labels": [1, 12, *(64 + b for b in b"the same text")],
        }
    ] * 40
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"), max_steps=20, per_device_train_batch_size=2, learning_rate=3e-3, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True, gradient_checkpointing=True, logging_steps=5, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = transformers.Trainer(made, arguments, train_dataset=rows)
    trainer.train()
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert losses[-1] < losses[0]
    trainer.save_model(tmp_path / "saved")
    opened(tmp_path / "saved")


def test_lora_takes_a_step(folders):
    peft = pytest.importorskip("peft")
    made = peft.get_peft_model(
        opened(folders("merges")), peft.LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM")
    )
    ids = torch.randint(64, RAW_SIZE, (2, 20), generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD((p for p in made.parameters() if p.requires_grad), 1.0)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = made(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    made.generate(input_ids=ids, max_new_tokens=2)


def test_known_without_remote_code_where_the_package_is(folders, tmp_path):
    """Last: what is registered stays so."""
    import proxylm.interop.hf  # noqa: F401 # it registers

    made = transformers.AutoModelForCausalLM.from_pretrained(folders("merges"))
    assert type(made).__module__ == "proxylm.interop.modeling_proxylm"
    made.save_pretrained(tmp_path)
    assert (tmp_path / "modeling_proxylm.py").exists()
    assert (
        json.loads((tmp_path / "config.json").read_text())["auto_map"]["AutoConfig"] == "modeling_proxylm.ProxyLMConfig"
    )
