"""Memory that was freed is used again without a fault of its pages. A child does it: the setting is for a whole process."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
from proxylm.training.allocator import keep_freed
keep_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def take_and_free():
    b"x" * (64 << 20)  # bytes
take_and_free()
before = faults()
take_and_free()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_freed_memory_is_kept():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16  # given back, 64 MB have 32 huge pages, or 16,384 small ones
