"""A trained model from Python and from the command line: what is scored is what was trained, and what cannot be is said."""

import json
import math
import shutil
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import compressors
import proxylm
from compressors.corpus import Document
from compressors.errors import FingerprintMismatch, InvalidConfig
from proxylm import RunConfig, Store, evaluate, generate, train
from proxylm.cli.main import proxyc
from proxylm.config import MixConfig, ModelConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.evaluation import bits_per_byte
from proxylm.evaluation.placement import device_of, placed
from proxylm.trained import open_run
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.view_spec import ViewSpec

SHAPE = ModelConfig(d_model=32, n_layers=1, n_heads=2)
TEXTS = [b"def f(x):\n    return x\n" * 9, b"import os\n" * 5]


def config(steps=2, **mix):
    return RunConfig(train=TrainConfig(steps=steps, rows=2, row_length=64), model=SHAPE, mix=MixConfig(chunk=62, **mix))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, bpe, documents):
    """A store, and runs of two steps: bytes; symbols only; the first merges only."""
    folder = tmp_path_factory.mktemp("trained")
    bpe.artifact.save(folder / "code.pxa")
    encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], folder / "store", {"bpe": bpe})
    for name, mix in (
        ("raw", {}),
        ("comp", {"recipe": "comp", "view": "bpe"}),
        ("merges", {"recipe": "comp", "view": "bpe:merges=64"}),
    ):
        train(folder / "store", config(**mix), folder / name)
    return folder


def run(*arguments, **options):
    return CliRunner().invoke(proxyc, [str(argument) for argument in arguments], **options)


def test_a_run_in_eight_lines(runs, tmp_path):
    store = Store.open(str(runs / "store"))
    settings = RunConfig(train=TrainConfig(steps=2, rows=2, row_length=64), model=SHAPE)
    trained = train(store, settings, str(tmp_path / "run"), report=lambda record: print(record["loss"]))
    result = evaluate(trained, [b"def f(x):\n    return x\n"])
    print(result.bits_per_byte, result.interval())
    (end,) = generate(trained, ["def f("], max_bytes=8, temperature=0)
    print(end.text, end.finish_reason)
    assert evaluate(str(tmp_path / "run"), [b"def f(x):\n    return x\n"]).bits_per_byte == result.bits_per_byte


def test_importing_the_package_loads_no_torch():
    code = "import sys, proxylm; print('torch' in sys.modules, 'train' in dir(proxylm), hasattr(proxylm, 'nothing'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "False True False\n"
    for name in proxylm.__all__:
        assert getattr(proxylm, name).__name__ == name


def test_the_package_is_the_command():
    done = subprocess.run([sys.executable, "-m", "proxylm", "eval", "--help"], capture_output=True, text=True)
    assert "Bits per byte of the model in RUN" in done.stdout


def undone(bpe, text, size):
    """The symbols of a text, those from `size` on undone into what they are made of."""

    def parts(symbol):
        return [symbol] if symbol < size else [p for s in bpe.vocab.splits[symbol - 256] for p in parts(int(s))]

    return [part for symbol in bpe.encode(text).tolist() for part in parts(symbol)]


def test_merges_are_scored_as_they_were_trained(runs, bpe, tmp_path):
    """No symbol beyond the first merges, in the text or in the softmax; the command line does the same."""
    trained = open_run(runs / "merges")
    assert trained.reading(bpe) == {"codec": bpe, "view": ViewSpec("bpe", merges=64)}
    found = evaluate(trained, TEXTS, codec=bpe)
    symbols = [undone(bpe, text, 320) for text in TEXTS]
    assert found.n_symbols == sum(map(len, symbols))
    ids = [s + 64 for s in symbols[1]]  # bytes from 64 on, and behind them the merges
    hidden = trained.model(torch.tensor([[1, 14, *ids[:-1]]]))[0, 1:]
    logits = hidden @ torch.cat([trained.model.heads.raw, trained.model.heads.comp[:64]]).T
    slow = torch.nn.functional.cross_entropy(logits, torch.tensor(ids), reduction="sum").item() / math.log(2)
    assert found.text_bits[1] == pytest.approx(slow, rel=1e-4)
    for i, text in enumerate(TEXTS):
        (tmp_path / f"{i}.txt").write_bytes(text)
    done = run("eval", runs / "merges", tmp_path, "--codec", f"bpe={runs / 'code.pxa'}", "--json")
    assert json.loads(done.stdout)["bits_per_byte"] == pytest.approx(found.bits_per_byte)
    more = bits_per_byte.evaluate(trained.model, TEXTS, window=62, codec=bpe, view=ViewSpec("bpe", merges=65))
    assert more.bits_per_byte != pytest.approx(found.bits_per_byte)


def test_bytes_that_were_never_trained_are_warned_of(runs):
    for use in (lambda: evaluate(runs / "comp", TEXTS), lambda: generate(runs / "comp", [b"x"], max_bytes=1)):
        with pytest.warns(UserWarning, match="was never shown raw bytes, and knows nothing of them; read its view"):
            use()


def test_a_window_beyond_the_trained_one_is_warned_of(runs):
    with pytest.warns(UserWarning, match="a window of 63 bytes is longer than any the run was trained on, 62"):
        evaluate(runs / "raw", TEXTS, window=63)
    evaluate(runs / "raw", TEXTS, window=62)


def test_weights_that_are_not_finite_are_refused_everywhere(runs, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(runs / "raw", broken)
    (file,) = broken.glob("checkpoints/step-*/model.safetensors")
    tensors = load_file(file)
    tensors["norm.weight"][3] = float("nan")
    save_file(tensors, file)
    (tmp_path / "a.txt").write_bytes(TEXTS[0])
    for command in (
        ("eval", broken, tmp_path / "a.txt"),
        ("generate", broken, "x"),
        ("export", broken, tmp_path / "hf"),
    ):
        done = run(*command)
        assert isinstance(done.exception, CheckpointError)
        assert "weights of norm.weight are not finite; it is the only one" in str(done.exception)
        assert "\n" not in str(done.exception)
    assert not (tmp_path / "hf").exists()


def test_devices_and_precisions(runs):
    for wrong in ("cuda:99", "nonsense", "meta", "cpu:x"):
        with pytest.raises(InvalidConfig, match="is not there; expected one of: auto, cpu"):
            device_of(wrong)
    assert run("eval", runs / "raw", runs, "--device", "cuda:99").exception.__class__ is InvalidConfig
    model = open_run(runs / "raw", device="cpu").model
    with pytest.raises(InvalidConfig, match="dtype is 'int8'"):
        placed(model, dtype="int8")
    exact = evaluate(open_run(runs / "raw", device="cpu", dtype="fp32"), TEXTS).bits_per_byte
    rounded = evaluate(open_run(runs / "raw", device="cpu", dtype="bf16"), TEXTS).bits_per_byte
    assert rounded == pytest.approx(exact, rel=0.01)
    assert rounded != exact
    generate(open_run(runs / "raw", dtype="bf16"), ["x"], max_bytes=4)


def test_prompts_keep_their_fields_and_say_why_a_text_ends(runs):
    lines = '{"id": 7, "prompt": "def "}\n\n  \n{"prompt": "x", "completion": "old"}\n'
    done = run("generate", runs / "raw", "--prompts", "-", "--max-bytes", 3, input=lines)
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["id"], first["prompt"]) == (7, "def ")
    assert first["finish_reason"] in ("length", "stop")
    assert second["completion"] != "old"
    (end,) = generate(runs / "raw", ["a"], max_bytes=2, temperature=0)
    assert end.finish_reason == "length"
    (stopped,) = generate(runs / "raw", ["a"], max_bytes=2, temperature=0, stop=(end.data[:1],))
    assert (stopped.data, stopped.finish_reason) == (b"", "stop")


def test_a_damaged_only_checkpoint_has_no_one_before(runs, tmp_path):
    shutil.copytree(runs / "raw", tmp_path / "run")
    (file,) = (tmp_path / "run").glob("checkpoints/step-*/model.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="it is the only one: delete it to train from the start"):
        open_run(tmp_path / "run")
    shutil.copytree(file.parent, file.parent.with_name("step-00000001"))
    with pytest.raises(CheckpointError, match="delete it to use the one before"):
        open_run(tmp_path / "run")


def test_a_view_of_another_version_of_its_library_is_trained_on_and_gets_no_new_symbols(tmp_path):
    codec = compressors.get("zstd")
    encode([Document("d", TEXTS[0] * 9)], tmp_path / "store", {"zstd": codec})
    old = {"libraries": {"zstd": "0.1"}, "fingerprint": codec.fingerprint_with({"zstd": "0.1"})}
    manifest = json.loads((tmp_path / "store/manifest.json").read_text())
    manifest["views"]["zstd"] |= old
    (tmp_path / "store/manifest.json").write_text(json.dumps(manifest))
    trained = train(tmp_path / "store", config(recipe="comp", view="zstd"), tmp_path / "run")
    with pytest.raises(FingerprintMismatch, match=r"install the version it was encoded with \(here is zstd 1"):
        evaluate(trained, TEXTS, codec=codec)
