"""The laws of files at full size: `pytest tests/extended/incremental.py`, some minutes.

Every codec over ratios of 1 to 100,000 with 50 MB where that takes seconds, and 1 GB of zeros through each standard format
in under 100 MB of memory, both ways.
"""

import subprocess
import sys

import pytest

import compressors
from compressors import Compressor
from compressors.stream_codec import StreamCodec
from compressors.testing_files import RATIOS, check_files

ZEROS = """
import io, resource, sys
import compressors
from compressors import files
from proxylm.cli import main

class Zeros(io.RawIOBase):
    left = 1 << 30
    def readable(self): return True
    def readinto(self, buffer):
        n = min(len(buffer), self.left)
        buffer[:n], self.left = bytes(n), self.left - n
        return n

class Count(io.RawIOBase):
    n = 0
    def writable(self): return True
    def write(self, data):
        self.n += len(data)
        return len(data)

codec, packed, count = compressors.get(sys.argv[1]), io.BytesIO(), Count()
files.compress_stream(codec, io.BufferedReader(Zeros()), packed)
packed.seek(0)
files.decompress_stream(packed, count, codec=codec)
print(count.n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_ratio(codec: Compressor, ratio: int) -> None:
    check_files(codec, 50_000_000 if isinstance(codec, StreamCodec) and ratio >= 1_000 else 4_000_000, [ratio])


@pytest.mark.parametrize("name", ["gzip", "zstd", "brotli"])
def test_a_gigabyte_of_zeros_in_a_hundred_megabytes(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", ZEROS, name], capture_output=True, text=True, check=True)
    n_bytes, megabytes = map(int, done.stdout.split())
    assert n_bytes == 1 << 30
    assert megabytes < 100


def test_it_names_every_standard_format() -> None:
    streams = {name for name in compressors.names() if issubclass(compressors.get_class(name), StreamCodec)}
    assert streams == {"gzip", "zstd", "brotli"}
