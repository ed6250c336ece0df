"""What documents repeat of earlier ones is left out, and nothing else."""

import json

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.downstream.dedup import dedup, once

LICENCE = b"".join(b"# line %d of a licence that heads every file\n" % i for i in range(4))
LINES = st.lists(
    st.lists(st.sampled_from([b"a\n", b"b" * 60 + b"\n", b"c" * 120 + b"\n", b"\n", b"end"])).map(b"".join)
)


def test_a_licence_is_kept_once_and_idioms_wherever_they_are():
    first, second = LICENCE + b"import os\nx = 1\n", b"y = 1\n" + LICENCE + b"z = 1\nimport os\n"
    assert list(once([first, second, second])) == [first, b"y = 1\nz = 1\nimport os\n", b""]
    assert list(once([LICENCE * 3])) == [LICENCE * 3]  # within a document it stays


@given(LINES)
def test_what_is_left_is_in_order_and_what_goes_was_there_before(documents):
    for i, (document, left) in enumerate(zip(documents, once(documents), strict=True)):
        earlier = {line for other in documents[:i] for line in other.splitlines(keepends=True)}
        rest = iter(document.splitlines(keepends=True))
        gone = [line for kept in left.splitlines(keepends=True) for line in _until(rest, kept)] + list(rest)
        assert set(gone) <= earlier
        assert sum(map(len, gone)) in range(1) or sum(map(len, gone)) >= 100


def _until(lines, wanted):
    """The lines before the one that is wanted, which must come."""
    gone = []
    while (line := next(lines)) != wanted:
        gone.append(line)
    return gone


def test_the_command_writes_documents_and_says_how_much_is_left(tmp_path):
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_bytes(LICENCE + name[:1].encode() + b" = 1\n" * (name != "c.py"))
    (tmp_path / "c.py").write_bytes(LICENCE)
    done = CliRunner().invoke(dedup, [str(tmp_path)])
    assert done.exit_code == 0, done.output
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    assert texts == [LICENCE.decode() + "a = 1\n", "b = 1\n"]
    assert f"{3 * len(LICENCE) + 12:,} bytes, {len(LICENCE) + 12:,} of them once" in done.stderr


def test_what_is_no_document_is_said_in_a_line(tmp_path):
    (tmp_path / "cut.jsonl").write_text('{"text": "x\\n"}\n{"text": "y')
    assert "1 bad records skipped" in CliRunner().invoke(dedup, [str(tmp_path / "cut.jsonl")]).stderr
    (tmp_path / "empty.jsonl").write_text("")
    done = CliRunner().invoke(dedup, [str(tmp_path / "empty.jsonl")])
    assert done.exit_code == 1
    assert str(done.exception).startswith("no documents in ")
