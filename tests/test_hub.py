"""Artifacts from the Hugging Face Hub: the real client asks a small server on this machine. Nothing else is contacted."""

import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import huggingface_hub.file_download
import pytest
from click.testing import CliRunner

import compressors
from compressors.errors import InputError, InvalidConfig
from compressors.hub import Place
from proxylm.cli.main import proxyc

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOBODY = "http://127.0.0.1:9"
ERRORS = {  # what the hub answers: status, and the header that says why
    "/me/private": (401, "RepoNotFound"),
    "/me/gated": (403, "GatedRepo"),
    "/me/tokens/resolve/v9": (404, "RevisionNotFound"),
    "/me/closed": (403, ""),
    "/me/ill": (503, ""),
}


class Hub(BaseHTTPRequestHandler):
    files: dict[str, bytes]  # path of a URL -> content

    def do_HEAD(self):
        for begin, (status, code) in ERRORS.items():
            if self.path.startswith(begin):
                return self.answer(status, b"", {"X-Error-Code": code} if code else {})
        if self.path not in self.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = self.files[self.path]
        return self.answer(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    do_GET = do_HEAD  # noqa: N815 (the name that http.server asks for)

    def answer(self, status, data, headers):
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        """Nothing on standard error."""


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch):
    """A test that would look up any other machine fails, before it has asked for anything."""
    look_up = socket.getaddrinfo

    def guarded(host, *arguments, **options):
        if host not in ("127.0.0.1", "localhost"):
            pytest.fail(f"a test looked up {host}")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the tries of the client


def ask(monkeypatch, endpoint):
    """Let the client ask `endpoint`. Its template of URLs was made when it was imported."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    for module in (constants, huggingface_hub.file_download):  # the second in older releases
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)


@pytest.fixture(scope="module")
def served(bpe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    bpe.save(folder / "codec.pxa")
    bpe.to_tokenizer_json(folder / "tokenizer.json")
    artifact, tokenizer = ((folder / name).read_bytes() for name in ("codec.pxa", "tokenizer.json"))
    Hub.files = {
        "/me/tokens/resolve/main/codec.pxa": artifact,
        "/me/tokens/resolve/v1/codec.pxa": artifact,
        "/me/tokens/resolve/refs%2Fpr%2F1/old/code.pxa": artifact,
        "/them/model/resolve/main/tokenizer.json": tokenizer,
        "/me/text/resolve/main/notes.txt": b"no artifact",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(served, tmp_path, monkeypatch):
    """The client of `huggingface_hub` with our server, an empty cache, and no token of whoever runs this."""
    constants = huggingface_hub.constants
    ask(monkeypatch, served)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "url", ["me/tokens", "me/tokens/codec.pxa", "me/tokens@v1", "me/tokens@refs%2Fpr%2F1/old/code.pxa", "them/model"]
)
def test_load(hub, bpe, url):
    codec = compressors.load(f"hf://{url}")
    assert (codec.encode(b"def main():") == bpe.encode(b"def main():")).all()
    if "me/" in url:
        assert codec == bpe
    assert compressors.get(f"bpe=hf://{url}") == codec


def test_commands_that_take_an_artifact(hub, bpe, tmp_path):
    run = CliRunner().invoke
    facts = json.loads(run(proxyc, ["inspect", "--json", "hf://me/tokens"]).stdout)
    assert facts["fingerprint"] == bpe.artifact.fingerprint
    done = run(proxyc, ["convert", "hf://them/model", "-o", str(tmp_path / "model.tiktoken")], catch_exceptions=False)
    assert done.exit_code == 0
    assert (tmp_path / "model.tiktoken").exists()
    for command in (["inspect"], ["convert", "-o", str(tmp_path / "none.json")]):
        done = run(proxyc, [*command, "hf://me/private"])
        assert done.exit_code == 1
        assert not list(tmp_path.glob("*.json"))
        assert "the hub has no repository me/private" in str(done.exception)


def test_what_was_downloaded_needs_no_network(hub, bpe):
    compressors.load("hf://me/tokens")
    ask(hub, NOBODY)
    hub.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert compressors.load("hf://me/tokens") == bpe
    with pytest.raises(InputError, match="hf://them/model is not in the cache, and HF_HUB_OFFLINE is set"):
        compressors.load("hf://them/model")


def test_no_network(hub):
    ask(hub, NOBODY)
    with pytest.raises(
        InputError, match=r"hf://me/tokens is not in the cache, and the hub cannot be reached \(.*refused"
    ):
        compressors.load("hf://me/tokens")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("me/nothing", "hf://me/nothing has neither codec.pxa nor tokenizer.json; name the file"),
        ("me/tokens/other.pxa", "hf://me/tokens has no file other.pxa"),
        ("me/tokens@v9", "me/tokens has no revision v9"),
        ("me/private", "the hub has no repository me/private, or it is private: log in"),
        (
            "me/gated",
            r"accept its terms: do so at http://127.*/me/gated, and log in with `hf auth login`, or set HF_TOKEN",
        ),
        ("me/closed", "hf://me/closed"),
        ("me/ill", "hf://me/ill"),
    ],
)
def test_errors_say_what_helps(hub, url, said):
    with pytest.raises(InputError, match=said) as caught:
        compressors.load(f"hf://{url}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["tokens", "datasets/me/texts/a.pxa", "me/tokens@/x", "", "me//x"])
def test_what_is_no_place_is_refused_before_anybody_is_asked(url):
    with pytest.raises(InvalidConfig, match=r"hf://user/repo\[@revision\]\[/file\]"):
        compressors.load(f"hf://{url}")


def test_other_files_are_no_artifacts(hub):
    with pytest.raises(InvalidConfig, match="not a proxyc artifact"):
        compressors.load("hf://me/text/notes.txt")
    with pytest.raises(InvalidConfig, match="hf://me/a--b"):
        compressors.load("hf://me/a--b")


def test_places():
    assert Place.of("hf://a/b@refs%2Fpr%2F1/c/d") == Place("a/b", "refs/pr/1", "c/d")
    for url in ("hf://a/b", "hf://a/b@v1", "hf://a/b/c", "hf://a/b@v1/c"):
        assert str(Place.of(url)) == url
