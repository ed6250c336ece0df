"""Coverage-guided fuzzing of the container and of every codec; not run by pytest.

    pip install atheris && python tests/fuzz_streams.py -max_total_time=120

Any input must decode within the limit or raise `ProxycError`; anything else is a finding.
"""

import contextlib
import sys
from io import BytesIO

import atheris

with atheris.instrument_imports(include=["compressors"]):
    import compressors
    from compressors import container, files
    from compressors.pack import Pack

CODECS = [compressors.get(name) for name in ("bytes", "gzip", "zstd", "brotli")]
CODECS += [Pack(codec="bytes", bits=3), Pack(codec="gzip", bits=16)]
LIMIT = 1 << 20


def one_input(data: bytes) -> None:
    """Byte 0 chooses what is done with the rest."""
    if not data:
        return
    codec, rest = CODECS[data[0] % len(CODECS)], data[1:]
    whole = b"".join(container.write(codec, [rest[:100]]))
    at = data[0] * 7 % len(whole)
    for given in (rest, whole[:at] + rest + whole[at:], whole[:at] + rest):
        out = BytesIO()
        with contextlib.suppress(compressors.ProxycError):
            files.decompress_stream(BytesIO(given), out, codec=codec, name="x" + codec.suffix, max_output=LIMIT)
        assert len(out.getvalue()) <= LIMIT
    with contextlib.suppress(compressors.ProxycError):
        assert len(codec.decompress(rest, max_output=LIMIT)) <= LIMIT
    assert codec.decompress(codec.compress(rest)) == rest


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
