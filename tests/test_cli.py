"""The command line: help of every command, a happy path, errors in one line, and what help must not load."""

import json
import lzma
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from forked import run

import compressors
from proxylm.cli.main import COMMANDS, proxyc

TEXT = "def main():\n    return 'naïve'\n" * 60


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "corpus").mkdir()
    for i in range(4):
        (folder / f"corpus/{i}.py").write_text(TEXT.replace("main", f"main_{i}"))
    options = ["--vocab-size", "300", "--pattern", "qwen2", "--sample", "0.1MB"]
    done = run("fit", "bpe", "corpus", "-o", "code.pxa", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_help_loads_neither_torch_nor_numba_nor_numpy():
    code = (
        "import sys\nfrom proxylm.cli.main import proxyc\ntry:\n    proxyc(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numba', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_standard_files_need_no_numpy(tmp_path, codec):
    """Its import takes longer than all else that a small file needs."""
    (tmp_path / "x.txt").write_text(TEXT)
    code = (
        "import sys\nfrom proxylm.cli.main import proxyc\nfor command in (['compress', '-l5', '--codec', %r, 'x.txt', '-o', 'y'],"
        "['decompress', '--codec', %r, 'y', '-o', 'z']):\n    proxyc(command, standalone_mode=False)\n"
        "print({'torch', 'numba', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code % (codec, codec)], cwd=tmp_path, capture_output=True, check=False)
    assert done.stdout == b"set()\n", done.stderr
    assert (tmp_path / "z").read_text() == TEXT


def test_importing_compressors_loads_neither_torch_nor_numba():
    code = "import sys, compressors; compressors.names(); print({'torch', 'numba', 'numpy', 'zstandard', 'tokenizers'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_every_command(name):
    done = CliRunner().invoke(proxyc, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output
    assert len(done.output.splitlines()) > 5


def test_wrong_usage_is_exit_code_2():
    for arguments in (
        ["cmopress"],
        ["compress", "--nonsense"],
        ["encode"],
        ["fit", "bpe"],
        ["fit", "bpe", "x", "-o", "y", "--sample", "10XB"],
        ["compress", "a", "b", "-o", "c"],
    ):
        done = run(*arguments)
        assert done.returncode == 2, (arguments, done.stderr)
    assert b"did you mean 'compress'" in run("cmopress").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compress", "missing.txt"], "cannot read missing.txt"),
        (["compress", "."], ". is a folder; name a file, or take the files in it with -r"),
        (["inspect", "corpus/0.py"], "proxyc: corpus/0.py: not a .pxc file"),
        (["compress", "--codec", "zst", "corpus/0.py"], "did you mean 'zstd'"),
        (["compress", "--codec", "zstd:level=99", "corpus/0.py"], "level is 99"),
        (["decompress", "corpus/0.py"], "unknown suffix"),
        (["fit", "gzip", "corpus", "-o", "x.pxa"], "gzip has nothing to fit"),
        (["fit", "bpe", "corpus", "-o", "code.pxa"], "exists already"),
        (["fit", "bpe", "nowhere", "-o", "x.pxa"], "no file or folder nowhere"),
        (["fit", "bpe", "corpus", "-o", "x.pxa", "--vocab-size", "3"], "vocab_size is 3"),
        (["fit", "bpe", "corpus", "-o", "x.pxa", "--set", "size=3"], "no setting size"),
        (["fit", "bpe", "corpus", "-o", "x.pxa", "--pattern", "gpt5"], "no pattern 'gpt5'"),
        (["convert", "nowhere", "-o", "x.pxa"], "no file nowhere"),
        (["encode", "empty", "-o", "s"], "no documents"),
        (["encode", "corpus", "-o", "s", "--view", "zstd", "--view", "zstd"], "same name"),
        (["train", "nowhere", "-o", "r", "--steps", "1"], "not a finished view store"),
        (["train", "nowhere", "-o", "r", "--steps", "1", "--view", "bpe"], "recipe 'raw' never shows --view bpe; add"),
        (["eval", "nowhere", "corpus"], "not a training run"),
        (["generate", "nowhere", "x"], "not a training run"),
        (["export", "nowhere", "x"], "not a training run"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(fitted, arguments, message):
    (fitted / "empty").mkdir(exist_ok=True)
    done = run(*arguments, cwd=fitted)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_compress_and_decompress_files_beside_their_sources(fitted):
    for codec, suffix in (
        ("zstd", ".zst"),
        ("gzip", ".gz"),
        ("brotli", ".br"),
        ("bpe=code.pxa", ".pxc"),
        ("bytes", ".pxc"),
    ):
        source = fitted / "corpus/1.py"
        assert run("compress", "--codec", codec, "corpus/1.py", cwd=fitted).returncode == 0
        packed = fitted / f"corpus/1.py{suffix}"
        again = run("compress", "--codec", codec, "corpus/1.py", cwd=fitted)
        assert again.returncode == 1
        assert b"exists already" in again.stderr
        done = run("decompress", packed, "-o", "back.py", "--force", "--codec", codec, cwd=fitted)
        assert done.returncode == 0, done.stderr
        assert (fitted / "back.py").read_bytes() == source.read_bytes()
        packed.unlink()
    assert not list(fitted.rglob("*.tmp"))


def test_streams_and_output_limit(fitted):
    packed = run("compress", "--codec", "zstd:level=19", input=TEXT.encode())
    assert packed.returncode == 0
    assert run("decompress", "-c", input=packed.stdout).stdout == TEXT.encode()
    limited = run("decompress", "--max-output", "100", input=packed.stdout)
    assert limited.returncode == 1
    assert b"limit of 100 bytes" in limited.stderr
    damaged = run("decompress", input=packed.stdout[:-3])
    assert damaged.returncode == 1


def test_wrong_artifact_is_refused_by_fingerprint(fitted):
    run("fit", "bpe", "corpus/0.py", "-o", "other.pxa", "--vocab-size", "280", cwd=fitted)
    assert run("compress", "--codec", "bpe=code.pxa", "corpus/2.py", "-o", "x.pxc", cwd=fitted).returncode == 0
    for codec in ([], ["--codec", "bpe=other.pxa"]):
        done = run("decompress", "x.pxc", "-o", "y.py", *codec, cwd=fitted)
        assert done.returncode == 1
        assert b"was written with bpe" in done.stderr
        assert not (fitted / "y.py").exists()


def test_codecs_as_json():
    listed = json.loads(run("codecs", "--json").stdout)
    assert {"bpe", "bytes", "zstd"} <= {row["name"] for row in listed}


def test_the_main_job_by_command_line(fitted):
    small = [
        "--set",
        "model.d_model=32",
        "--set",
        "model.n_layers=1",
        "--set",
        "train.rows=2",
        "--set",
        "train.row_length=64",
    ]
    for arguments in (
        ["encode", "corpus", "-o", "store", "--view", "bpe=code.pxa", "--view", "zstd"],
        ["encode", "-o", "store", "--view", "best@zstd:level=19"],
        ["train", "store", "-o", "run", "--recipe", "proxy", "--view", "bpe", "--flops", "2e9", *small],
    ):
        done = run(*arguments, cwd=fitted)
        assert done.returncode == 0, done.stderr
    found = json.loads(run("eval", "run", "corpus", "--json", cwd=fitted).stdout)
    comp = json.loads(run("eval", "run", "corpus", "--json", "--codec", "bpe=code.pxa", cwd=fitted).stdout)
    assert found["bytes"] == comp["bytes"] == sum(os.path.getsize(fitted / f"corpus/{i}.py") for i in range(4))
    assert 0 < found["bits_per_byte"] < 9
    assert comp["bytes_per_symbol"] > 1.5
    text = run("generate", "run", "def é", "--max-bytes", "9", cwd=fitted).stdout
    assert text.startswith("def é".encode())
    prompts = b'{"prompt": "def "}\n{"prompt": "x = 1"}\n'
    done = run("generate", "run", "--prompts", "-", "--max-bytes", "9", "--stop", "zz", input=prompts, cwd=fitted)
    assert [json.loads(line)["prompt"] for line in done.stdout.splitlines()] == ["def ", "x = 1"]
    done = run("generate", "run", "--prompts", "-", input=b'{"prompt": "x"}\n{"text": 1}', cwd=fitted)
    assert (done.returncode, done.stderr) == (
        1,
        b'proxyc: --prompts, line 2: expected an object with a text "prompt"\n',
    )
    assert run("generate", "run", cwd=fitted).returncode == 2
    assert run("eval", "run", "corpus", "--codec", "zstd", cwd=fitted).returncode == 1


def test_doctor_checks_every_codec():
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert all(finding["sound"] for finding in found.values())
    assert "keeps every law" in found["zstd"]["detail"]
    assert {"bpe", "id coding", "python", "bpe digests", "neural:preset=fast digests"} <= set(found)


def test_doctor_finds_another_digest(monkeypatch):
    from compressors import doctor

    monkeypatch.setattr(doctor, "_IDS_DIGEST", "0" * 64)
    monkeypatch.setattr(doctor.testing, "check", lambda codec: None)  # the laws: above
    done = CliRunner().invoke(proxyc, ["doctor"])
    assert done.exit_code == 1
    assert "BAD id coding" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_and_words(shell):
    def complete(**environment):
        code = "import sys; from proxylm.cli.main import proxyc; sys.argv = ['proxyc']; proxyc(prog_name='proxyc')"
        return subprocess.run(
            [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
        ).stdout

    if shell != "bash":  # click asks the installed bash for its version
        assert "_PROXYC_COMPLETE" in complete(_PROXYC_COMPLETE=f"{shell}_source")
    words = {"COMP_WORDS": "proxyc comp", "COMP_CWORD": "comp" if shell == "fish" else "1"}
    assert "compress" in complete(_PROXYC_COMPLETE=f"{shell}_complete", **words)


def test_fit_takes_a_sample_for_every_codec_and_leaves_out_what_is_excluded(tmp_path):
    lines = "".join(json.dumps({"text": f"document {i}: " + TEXT[i : i + 900]}) + "\n" for i in range(1500))
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
    (tmp_path / "b.zip").write_bytes(b"PK\3\4")
    command = ("fit", "zstd", ".", "-o", "d.pxa", "--sample", "300KB", "--set", "dictionary_size=4096", "--force")
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert b"--exclude b.zip" in done.stderr
    done = run(*command, "--exclude", "b.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = compressors.load(tmp_path / "d.pxa").artifact.card
    assert 300_000 <= card["bytes"] < 302_000
    assert card["documents"] < 1500


def test_fit_says_when_the_corpus_has_pairs_for_fewer_symbols(tmp_path):
    (tmp_path / "a.txt").write_text("one two three " * 20)
    done = run("fit", "bpe", "a.txt", "--vocab-size", "5000", "-o", "a.pxa", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"; 5000 symbols were asked for, and the corpus has pairs for no more" in done.stderr
    done = run("fit", "bpe", "a.txt", "--vocab-size", "260", "-o", "b.pxa", cwd=tmp_path)
    assert b"asked for" not in done.stderr


def test_waiting_threads_sleep_unless_the_user_says_otherwise(tmp_path):
    """The variable must be set before torch is loaded: a command sees it, and so do the processes it starts."""
    code = "import os, sys; sys.argv = ['proxyc', 'codecs']; from proxylm.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: print('POLICY', os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    without = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for given, expected in (({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=without | given, capture_output=True, text=True, cwd=tmp_path
        )
        assert f"POLICY {expected} False" in done.stdout, done.stderr
