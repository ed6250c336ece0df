"""What only zstd has: windows of any size, and files that depend neither on threads nor on the pieces that were read."""

import itertools
from pathlib import Path

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner

import compressors
from compressors.zstd import Zstd
from proxylm.cli.main import proxyc

TEXT = b"some text that packs well\n" * 400
DATA = b"".join(b"line %d, %d\n" % (i, i * i % 9973) for i in range(90_000))


def run(*arguments: str, **how: object) -> click.testing.Result:
    return CliRunner().invoke(proxyc, arguments, **how)


def test_zstd_files_depend_neither_on_threads_nor_on_pieces(zstd_with_dictionary: Zstd) -> None:
    """Three jobs of zstd's workers (2 MB each at level 1), whatever the reads were."""
    data = DATA * 4
    for codec in (Zstd(level=1), Zstd(level=1, artifact=zstd_with_dictionary.artifact)):
        cuts = {
            threads: range(0, len(data) + size, size) for threads, size in ((1, 1 << 17), (2, 99_991), (4, 1 << 21))
        }
        for known in (None, len(data)):
            made = {
                b"".join(
                    codec.compress_stream([data[a:b] for a, b in itertools.pairwise(at)], threads=threads, size=known)
                )
                for threads, at in cuts.items()
            }
            assert len(made) == 1
            assert codec.decompress(made.pop()) == data


def test_a_large_window_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "w.zst"
    # A stream without a known size, so that the frame states the whole window.
    packed = run("compress", "--long", "28", input=TEXT)
    assert packed.exit_code == 0
    file.write_bytes(packed.stdout_bytes)
    refused = run("test", str(file))
    assert refused.exit_code == 1
    assert "--long=31" in refused.output
    assert run("test", "--long", "28", str(file)).exit_code == 0
    assert run("decompress", "--long", "31", "-c", str(file)).stdout_bytes == TEXT
    with pytest.raises(compressors.InvalidConfig, match="gzip has no window"):
        run("compress", "--codec", "gzip", "--long", "27", "-", catch_exceptions=False)


def test_a_window_finds_what_lies_far_back() -> None:
    far = np.random.default_rng(0).bytes(9 << 20)
    plain, long = (len(b"".join(Zstd(window=window).compress_stream([far, far]))) for window in (0, 25))
    assert long < 1.01 * len(far) < plain


def test_a_window_that_is_not_set_changes_no_fingerprint() -> None:
    assert "window" not in Zstd().config()
    assert Zstd(window=27).config()["window"] == 27
    assert Zstd().fingerprint != Zstd(window=27).fingerprint
    with pytest.raises(compressors.InvalidConfig, match="window"):
        Zstd(window=32)
