"""Publishing on the Hugging Face Hub, with a stand-in for its client: nothing is sent."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

import compressors
from compressors.errors import InputError, InvalidConfig
from proxylm import RunConfig, train
from proxylm.cli.main import proxyc
from proxylm.config import MixConfig, ModelConfig, TrainConfig
from proxylm.data.encode import encode


class Client:
    """What is used of `HfApi`; it keeps what it would send."""

    sent: list[tuple[str, object]]
    failure: Exception | None = None

    def __init__(self, **_):
        """Takes what HfApi takes."""

    def create_repo(self, repo, *, private, exist_ok):
        if self.failure is not None:
            raise self.failure
        self.sent.append(("repo", (repo, private, exist_ok)))

    def create_commit(self, repo, operations, *, commit_message):
        read = {}
        for operation in operations:
            with operation.as_file() as file:
                read[operation.path_in_repo] = file.read()
        self.sent.append(("commit", (repo, read, commit_message)))
        return SimpleNamespace(oid="c0ffee")


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Client)
    monkeypatch.setattr(Client, "sent", [], raising=False)
    return Client


def push(*arguments):
    return CliRunner().invoke(proxyc, ["push", *map(str, arguments)], catch_exceptions=False)


def front(card):
    """The YAML block of a card, as the hub reads it."""
    return yaml.safe_load(card.split("---\n")[1])


def snippets(card):
    return [block.partition("```")[0] for block in card.split("```python\n")[1:]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory, bpe):
    folder = tmp_path_factory.mktemp("run")
    store = encode([b"def f(x):\n    return x\n" * 40] * 4, folder / "s", {"bpe": bpe})
    config = RunConfig(
        model=ModelConfig(d_model=32, n_layers=1, n_heads=1, hash_ngrams=3, ngram_rows=64),
        mix=MixConfig(recipe="proxy", view="bpe"),
        train=TrainConfig(steps=2, rows=2, row_length=64, eval_every=1),
    )
    train(store, config, folder / "run", held_out=[b"def g(y): pass"])
    assert CliRunner().invoke(proxyc, ["export", str(folder / "run"), str(folder / "hf")]).exit_code == 0
    return folder / "hf"


def test_an_artifact_is_one_commit_with_its_card(client, bpe, tmp_path):
    bpe.save(tmp_path / "code.pxa")
    (tmp_path / "text.py").write_text("def area(width, height):\n    return width * height\n")
    done = push(tmp_path / "code.pxa", "me/code-bpe", "--license", "apache-2.0", "--measure", tmp_path / "text.py")
    assert done.output == "hf://me/code-bpe@c0ffee\n"
    (_, repo), (_, (name, files, message)) = client.sent
    assert repo == (name, False, True) == ("me/code-bpe", False, True)
    assert message.startswith("Upload with proxyc ")
    assert set(files) == {"README.md", "codec.pxa", "tokenizer.json", "tokenizer_config.json"}
    card = files["README.md"].decode()
    assert front(card)["license"] == "apache-2.0"
    assert "bpe" in front(card)["tags"]
    data = (tmp_path / "text.py").read_bytes()
    for part in (bpe.fingerprint, "1,024", f"{len(data) / len(bpe.encode(data)):.3f}", "pattern | llama3"):
        assert part in card
    load, _ = snippets(card)
    (tmp_path / "codec.pxa").write_bytes(files["codec.pxa"])
    assert compressors.load(tmp_path / "codec.pxa") == bpe
    exec(load.replace("hf://me/code-bpe", str(tmp_path / "codec.pxa")), {})


def test_what_the_fit_recorded_is_on_the_card(client, bpe, zstd_with_dictionary, tmp_path):
    bpe.save(tmp_path / "code.pxa")
    assert f"| bytes per symbol | {bpe.artifact.card['bytes_per_symbol']:.3f} |" in push(
        tmp_path / "code.pxa", "me/x", "--dry-run"
    ).output  # fmt: skip
    zstd_with_dictionary.save(tmp_path / "d.pxa")
    card = push(tmp_path / "d.pxa", "me/x", "--dry-run").output
    assert "| bytes per symbol | not measured |" in card
    assert f"zstd {zstd_with_dictionary.library_versions()['zstd']}" in card
    assert front(card)["license"] == "unknown"


def test_a_dry_run_asks_nobody(client, bpe, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "__init__", lambda *_, **__: pytest.fail("the client was made"))
    bpe.to_tokenizer_json(tmp_path / "tokenizer.json")
    done = push(tmp_path / "tokenizer.json", "me/x", "--dry-run")
    assert done.exit_code == 0
    assert "nothing was sent to me/x" in done.output
    assert 'compressors.load("hf://me/x")' in done.output


def test_an_exported_model(client, exported):
    (exported / "notes.txt").write_text("not for others")
    assert push(exported, "me/byte-model", "--private", "--license", "mit").output == "hf://me/byte-model@c0ffee\n"
    (_, repo), (_, (_, files, _)) = client.sent
    assert repo == ("me/byte-model", True, True)
    assert set(files) == {file.name for file in exported.iterdir()} - {"notes.txt"}
    assert "modeling_proxylm.py" in files
    assert files["model.safetensors"] == (exported / "model.safetensors").read_bytes()
    card = files["README.md"].decode()
    assert {"license": "mit", "library_name": "transformers", "pipeline_tag": "text-generation"}.items() <= front(
        card
    ).items()
    assert "# byte-model: a language model of bytes" in card
    assert "USER" not in card
    assert ".0 bytes" not in card
    for part in (
        "| recipe | proxy |",
        "bpe (",
        "2 steps",
        "at the last evaluation",
        'from_pretrained("me/byte-model", trust',
    ):
        assert part in card
    assert "trust_remote_code" in card


@pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6:FutureWarning")
def test_the_card_of_a_model_says_how_to_load_it(exported, tmp_path, monkeypatch, capsys):
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (load,) = snippets((exported / "README.md").read_text())
    exec(load.replace("USER/NAME", str(exported)), {})
    assert capsys.readouterr().out.startswith("def ")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("{}"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").unlink(), "is not an exported model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half"), "model.safetensors cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors cannot be read"),
        (lambda folder: (folder / "modeling_proxylm.py").unlink(), "lacks modeling_proxylm.py; export the run again"),
        (lambda folder: (folder / "README.md").unlink(), "lacks README.md; export the run again"),
        (lambda folder: (folder / "README.md").write_text("my notes"), "the block of YAML"),
        (lambda folder: (folder / "run.json").write_text("{}"), "is a run; write its model first: `proxyc export"),
    ],
)
def test_an_export_edited_by_hand_is_not_sent(client, exported, tmp_path, damage, said):
    folder = shutil.copytree(exported, tmp_path / "hf")
    damage(folder)
    with pytest.raises(InputError, match=said):
        push(folder, "me/x")
    assert client.sent == []


def test_a_config_of_another_model_is_not_sent(client, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"an embedding of \[320, 32\], and config.json says \[320, 64\]"):
        push(folder, "me/x")
    assert client.sent == []


def test_bad_arguments_are_said_before_anybody_is_asked(client, exported, bpe, tmp_path):
    bpe.save(tmp_path / "code.pxa")
    (tmp_path / "empty.txt").write_text("")
    for arguments, said in (
        ((tmp_path / "code.pxa", "code"), "'code' is not a repository; write user/name"),
        ((tmp_path / "code.pxa", "me/x", "--license", "My Licence\ntags: x"), "write an identifier of the hub"),
        ((tmp_path / "empty.txt", "me/x"), "is not a proxyc artifact"),
        ((exported, "me/x", "--measure", tmp_path / "code.pxa"), "--measure is for artifacts"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            push(*arguments)
    with pytest.raises(InputError, match="the text is empty"):
        push(tmp_path / "code.pxa", "me/x", "--measure", tmp_path / "empty.txt")
    assert push(tmp_path / "nowhere", "me/x").exit_code == 2
    assert client.sent == []


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (LocalTokenNotFoundError("no token"), "hf://me/x needs a login: log in with `hf auth login`, or set HF_TOKEN"),
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set; unset it to reach the hub"),
    ],
)
def test_without_login_or_connection(client, bpe, tmp_path, monkeypatch, failure, said):
    bpe.save(tmp_path / "code.pxa")
    monkeypatch.setattr(client, "failure", failure)
    with pytest.raises(InputError, match=said):
        push(tmp_path / "code.pxa", "me/x")
    assert client.sent == []


def test_nothing_of_the_hub_or_torch_is_imported_without_need():
    code = (
        "import sys, compressors.hub, compressors.registry; print('huggingface_hub' in sys.modules)\n"
        "import proxylm.interop.push; print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\nFalse\n"
