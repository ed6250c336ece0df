"""Files are found and opened the same way everywhere; what cannot be read is one line that names it."""

import gzip
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading

import pytest

from compressors.corpus import Reader
from compressors.corpus_sources import Choice
from compressors.errors import InputError

TEXTS = [f"document {i} <a href='other.txt'>".encode() for i in range(200)]
LINES = "".join(json.dumps({"text": text.decode()}) + "\n" for text in TEXTS).encode()


def read(*paths, **options):
    return [document.data for document in Reader(list(paths), **options)]


def refused(*paths, **options):
    with pytest.raises(InputError) as caught:
        read(*paths, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    for name, text in {
        "c/a.jsonl": '{"text": "a"}',
        "c/sub/b": "b",
        "elsewhere/d": "d",
        "elsewhere/deep/e": "e",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "c"


def test_linked_folders_are_followed_and_loops_end(tree):
    (tree / "linked").symlink_to("../elsewhere")
    assert read(tree) == [b"a", b"d", b"e", b"b"]
    (tree / "again").symlink_to("sub")  # each folder is read once, under its own name
    (tree / "../elsewhere/deep/up").symlink_to("..")
    (tree / "../elsewhere/back").symlink_to("../c")
    (tree / "sub/top").symlink_to(tree)
    assert read(tree) == [b"a", b"d", b"e", b"b"]
    (tree / ".hidden").mkdir()
    (tree / ".hidden/h").write_text("h")
    (tree / "shown").symlink_to(".hidden")
    assert read(tree) == [b"a", b"d", b"e", b"h", b"b"]
    (tree / "self").symlink_to("self")
    assert f"cannot read {tree}/self: " in refused(tree)


def test_what_is_in_a_folder_and_cannot_be_read_is_named(tree):
    (tree / "missing.txt").symlink_to("/nonexistent")
    for paths in ((tree,), (tree / "missing.txt",)):
        assert f"{tree}/missing.txt is a link to /nonexistent, which is not there" in refused(*paths)
    assert read(tree, pattern="*.jsonl") == [b"a"]
    assert read(tree, exclude=("missing*",)) == [b"a", b"b"]
    (tree / "missing.txt").unlink()
    os.mkfifo(tree / "pipe")
    assert f"{tree}/pipe is not an ordinary file" in refused(tree)
    (tree / "pipe").unlink()
    (tree / "empty.jsonl.zst").touch()
    assert f"cannot read {tree}/empty.jsonl.zst: it is empty" in refused(tree)


@pytest.mark.parametrize("name", ["sub", "a.jsonl"])
def test_folders_and_files_without_permission_are_named(tree, name):
    as_nobody = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--securebits=+noroot"]  # root without privileges
    command = [sys.executable, "-m", "proxylm.cli.main", "encode", str(tree), "-o", str(tree.parent / "st")]
    (tree / name).chmod(0)
    try:
        done = subprocess.run(
            [*(as_nobody if os.geteuid() == 0 else []), *command], capture_output=True, text=True, check=False
        )
    finally:
        (tree / name).chmod(0o755)
    assert (done.returncode, done.stderr) == (1, f"proxyc: cannot read {tree / name}: Permission denied\n")


def test_patterns_of_paths(tree):
    assert read(str(tree / "*.jsonl")) == [b"a"]
    assert read(f"{tree}/s*") == [b"b"]
    assert "no file or folder" in refused(tree / "*.none")
    assert "--glob '**/...'" in refused(tree / "**" / "b")
    (tree / "x[1]*.txt").write_text("x")
    assert read(tree / "x[1]*.txt") == [b"x"]
    for path in ("a\0b", "x" * 5000, tree / "a.jsonl/x"):
        refused(path)


def test_choice_matches_from_the_right():
    for pattern, name, takes in (
        ("*", "a/b", True), ("*.py", "a/b.py", True), ("a/*.py", "x/a/b.py", True), ("a/*.py", "a/x/b.py", False),
        ("a/**/*.py", "a/x/y/b.py", True), ("a/**/*.py", "a/b.py", True), ("a/**", "x/a/b/c", True), ("**", "c", True),
        ("*", ".git/x", False), ("*", "a/.x", False),
    ):  # fmt: skip
        assert Choice(pattern).takes(name) == takes, (pattern, name)
    assert not Choice("*", ("*.zip", "old/**")).takes("a/old/b")


def test_a_file_that_shrinks_while_it_is_read_is_no_shorter_one(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES * 300)
    documents = iter(Reader(tmp_path / "a.jsonl"))
    next(documents)
    os.truncate(tmp_path / "a.jsonl", (2 << 20) + 7)
    with pytest.raises(InputError, match=r"a\.jsonl: it ends after 2097159 of"):
        list(documents)


def test_a_pipe_is_read_by_what_it_holds(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for data, expected in ((LINES, TEXTS), (gzip.compress(LINES), TEXTS), (b"text", [b"text"])):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
        writer.start()
        assert read(tmp_path / "pipe") == expected
        writer.join()


# -- other file systems -----------------------------------------------------------------------------------------------


def test_stars_in_urls(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in ("b/1.jsonl", "b/2.jsonl.gz", "b/.3.jsonl", "b/sub/4.jsonl", "b/x[1].jsonl", "b/.git/5.jsonl"):
        memory.pipe(f"/stars/{name}", f'{{"text": "{name}"}}\n'.encode())
    try:
        for url, names in {
            "b/*.jsonl": ["b/1.jsonl", "b/x[1].jsonl"], "*": ["b/1.jsonl", "b/2.jsonl.gz", "b/sub/4.jsonl", "b/x[1].jsonl"],
            "b/s*": ["b/sub/4.jsonl"], "b/**/4.*": ["b/sub/4.jsonl"], "b/x[1].jsonl": ["b/x[1].jsonl"],
            "b/[12].jsonl": ["b/1.jsonl"],
        }.items():  # fmt: skip
            assert read(f"memory://stars/{url}") == [name.encode() for name in names], url
        assert refused("memory://stars/*.none") == "no file or folder memory://stars/*.none"
    finally:
        memory.rm("/stars", recursive=True)


class _Served(http.server.BaseHTTPRequestHandler):
    """/STATUS/..., or the corpus in some way: /plain, /range, /nolength, /encoded, /short, /later500; /folder/ lists."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        path, self.close_connection = self.path.partition("?")[0], True
        how = path.split("/")[1]
        data = gzip.compress(LINES) if path.endswith((".gz", ".GZ")) else LINES
        headers, status = {}, 200
        if path == "/folder":
            status, headers, data = 301, {"Location": "/folder/"}, b""
        elif path == "/folder/":
            headers, data = {"Content-Type": "text/html"}, b'<a href="a.jsonl">a</a> <a href="b.jsonl.gz">b</a>'
        elif how.isdigit() or (how == "later500" and body) or (how == "nohead" and not body):
            status, data = {"later500": 500, "nohead": 405}.get(how) or int(how), b""
        elif how == "encoded":
            headers, data = {"Content-Encoding": "gzip"}, gzip.compress(data)
        elif how == "range" and (asked := self.headers.get("Range")):
            start, end = asked.removeprefix("bytes=").split("-")
            status, whole = 206, len(data)
            data = data[int(start) : int(end or whole) + 1]
            headers = {"Content-Range": f"bytes {start}-{int(start) + len(data) - 1}/{whole}", "Accept-Ranges": "bytes"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if how != "nolength":
            self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if how == "short" else data)


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("aiohttp")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Served) as serving:
        serving.handle_error = lambda *_: None  # the client may go before the end
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.mark.parametrize("how", ["plain", "range", "nolength", "encoded", "nohead"])
def test_http_is_read_whatever_the_server_says_of_the_length(server, how):
    for name in ("x.jsonl", "x.jsonl.gz", "X.JSON.GZ?token=a/b.txt", "x"):
        assert read(f"{server}/{how}/{name}") == TEXTS, name


def test_http_folders_and_stars(server):
    assert read(f"{server}/folder/") == read(f"{server}/folder") == TEXTS * 2
    assert read(f"{server}/folder/*.gz") == TEXTS
    assert read(f"{server}/folder/", exclude=("*.gz",)) == TEXTS


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("401/x", "401.*log in"), ("403/x", "403.*log in"), ("404/x.jsonl.gz", "no file or folder"), ("429/x", "too many requests"),
        ("500/x", "500.*server has failed"), ("503/x", "503.*server has failed"), ("later500/x.jsonl", "500.*server has failed"),
        ("short/x.jsonl", "Not enough data"), ("short/x.jsonl.gz", "Not enough data"),
    ],
)  # fmt: skip
def test_http_errors_are_one_line(server, path, message):
    said = refused(f"{server}/{path}")
    assert f"{server}/{path}" in said
    assert re.search(message, said), said


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x.jsonl",
        "reference://x",
        "nosuch://x",
        "http://[::1/x",
        "memory://none",
        "memory://no*e",
        "zip://*::none.zip",
    ],
)
def test_no_server_and_no_such_protocol_are_one_line(url):
    pytest.importorskip("aiohttp")
    assert url in refused(url)


def test_a_file_system_of_somebody_else():
    """Errors of no common base, while it is listed, opened and read; an asynchronous `find` that knows no size of a file."""
    fsspec = pytest.importorskip("fsspec")
    from fsspec.asyn import AsyncFileSystem

    class Foreign(Exception):
        pass

    class Failing(io.BytesIO):
        def read(self, *_):
            raise Foreign("in the\nmiddle")

    class Tiny(AsyncFileSystem):
        protocol, cachable = "tiny", False

        async def _info(self, path, **_):
            if "denied" in path:
                raise Foreign("denied")
            return {"name": path, "size": 99 if "cut" in path else None, "type": "file"}

        async def _ls(self, path, detail=True, **_):
            raise FileNotFoundError(path)

        def _open(self, path, mode="rb", **_):
            if "shut" in path:
                raise Foreign()
            return Failing() if "middle" in path else io.BytesIO(b'{"text": "a"}\n')

    fsspec.register_implementation("tiny", Tiny, clobber=True)
    assert read("tiny://x.jsonl") == [b"a"]
    assert refused("tiny://denied.jsonl") == "cannot read tiny://denied.jsonl: denied"
    assert refused("tiny://shut.jsonl") == "cannot read tiny://shut.jsonl: Foreign"
    assert refused("tiny://middle.jsonl") == "cannot read tiny://middle.jsonl: in the middle"
    assert "tiny://cut.jsonl: it ends after 14 of 99 bytes" in refused("tiny://cut.jsonl")
