"""Fuzzing of headers, containers, salvage and every codec: at random, or guided by coverage.

    pip install atheris && python -m tests.extended.fuzz_streams -len_control=0 -max_len=1000 -max_total_time=120

Any input must decode within the limit or raise `ProxycError`; anything else is a finding.
"""

import contextlib
import errno
import json
import random
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import atheris

    # What Numba compiles must be as it was written.
    instrumented = atheris.instrument_imports(
        include=["compressors"], exclude=["compressors.bpe", "compressors.neural"]
    )
else:
    instrumented = contextlib.nullcontext()
with instrumented:
    import compressors
    from compressors import files
    from compressors.bpe.codec import BPE
    from compressors.files import byte_streams, pxc
    from compressors.files.pxc_salvage import salvage
    from compressors.pack import Pack
    from tests.test_byte_streams import HostileSink, HostileSource


@cache
def codecs() -> list[compressors.Compressor]:
    """All that are tried."""
    bpe = BPE.fit([Path(__file__).read_bytes()], vocab_size=400)
    plain = [compressors.get(name) for name in ("bytes", "gzip", "zstd", "brotli")]
    packed = [Pack(codec="bytes", bits=3), Pack(codec="gzip", bits=16), Pack(codec=bpe, bits=12)]
    return [*plain, *packed, bpe, compressors.get("neural", preset="fast")]


LIMIT = 1 << 12  # small: `neural` takes a second for each 100 kB
WORDS = [
    "artifact",
    "bits",
    "bpe=/etc/hostname",
    "codec",
    "config",
    "gray",
    "level",
    "name",
    "preset",
    *compressors.names(),
]
FILE = Path(tempfile.mkdtemp()) / "x.pxc"


class Drawn:
    """Random choices, under the names that atheris has for choices from its input."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def ConsumeBool(self) -> bool:  # noqa: N802
        return self._draw.random() < 0.5

    def ConsumeIntInRange(self, low: int, high: int) -> int:  # noqa: N802
        return self._draw.randint(low, high)

    def ConsumeBytes(self, n: int) -> bytes:  # noqa: N802
        return self._draw.randbytes(self._draw.randrange(min(n, 200) + 1))

    def PickValueInList(self, values: list[Any]) -> Any:  # noqa: N802
        return self._draw.choice(values)

    def ConsumeUnicodeNoSurrogates(self, n: int) -> str:  # noqa: N802
        return "".join(chr(self._draw.randrange(0x800)) for _ in range(n))


def one_input(drawn: Any) -> None:
    """One finding, or none. `drawn`: of atheris, or `Drawn`."""
    way = drawn.PickValueInList([of_a_codec, of_a_file, of_a_made_file, of_a_hostile_stream])
    way(codecs()[drawn.ConsumeIntInRange(0, len(codecs()) - 1)], drawn)


def of_a_codec(codec: compressors.Compressor, drawn: Any) -> None:
    """Payloads of `codec`, and what it makes of any bytes."""
    rest = drawn.ConsumeBytes(LIMIT)
    with contextlib.suppress(compressors.ProxycError):
        assert len(codec.decompress(rest, max_output=LIMIT)) <= LIMIT
    assert codec.decompress(codec.compress(rest)) == rest


def of_a_file(codec: compressors.Compressor, drawn: Any) -> None:
    """Files of `codec`, sound ones with bytes put into them or in place of their rest."""
    whole = b"".join(pxc.write(codec, [drawn.ConsumeBytes(100)]))
    at = drawn.ConsumeIntInRange(0, len(whole))
    rest = drawn.ConsumeBytes(LIMIT)
    for given in (rest, whole[:at] + rest + whole[at:], whole[:at] + rest):
        decompressed(given, codec)


def of_a_made_file(codec: compressors.Compressor, drawn: Any) -> None:
    """Files of sound and odd parts whose checksums are right, read in every way, with and without `codec`."""
    header = pxc.pack_header(pxc.Header.of(codec)) if drawn.ConsumeBool() else odd_header(drawn)
    data, places = header, b""
    for _ in range(drawn.ConsumeIntInRange(0, 3)):
        raw, method = drawn.ConsumeBytes(100), drawn.ConsumeIntInRange(0, 3)
        payload = codec.compress(raw) if drawn.ConsumeBool() else raw
        n_bytes = len(raw) if drawn.ConsumeBool() else drawn.ConsumeIntInRange(0, LIMIT)
        places += struct.pack("<QQ", len(data), drawn.ConsumeIntInRange(0, 400))
        head = pxc.BLOCK + struct.pack("<BIII", method, n_bytes, len(payload), zlib.crc32(raw))
        data += with_crc(head) + payload
        data += drawn.ConsumeBytes(drawn.ConsumeIntInRange(0, 9))
    end = pxc.END + struct.pack("<QQ32s", drawn.ConsumeIntInRange(0, 400), len(places) // 16, b"")
    data += with_crc(end) + with_crc(places) + struct.pack("<Q4s", len(data), pxc.TAIL)
    for chosen in (None, codec):
        decompressed(data, chosen)
        FILE.write_bytes(data)
        with contextlib.suppress(compressors.ProxycError):
            files.inspect(FILE)
        with contextlib.suppress(compressors.ProxycError), files.open(FILE, chosen) as file:
            file.read(LIMIT)
        with contextlib.suppress(compressors.ProxycError):
            assert sum(len(found.data or b"") for found in salvage(FILE, chosen)) <= 3 * LIMIT


def of_a_hostile_stream(codec: compressors.Compressor, drawn: Any) -> None:
    """Both ways through a source and a sink that take and give parts, None, EAGAIN, EINTR, and a disk that may be full.

    Every byte goes through, or there is an error.
    """
    byte_streams._PAUSE = 0  # nobody is waited for
    data = drawn.ConsumeBytes(LIMIT) * drawn.ConsumeIntInRange(1, 9)
    packed = through(lambda source, sink: files.compress_stream(codec, source, sink), data, drawn)
    if packed is None:
        return
    name = "x" + codec.suffix
    raw = through(lambda source, sink: files.decompress_stream(source, sink, codec=codec, name=name), packed, drawn)
    assert raw in (None, data)


def through(work: Callable[[Any, Any], int], data: bytes, drawn: Any) -> bytes | None:
    """What `work` writes of `data` through hostile streams; None where the disk was full."""
    room = drawn.PickValueInList([1 << 40, drawn.ConsumeIntInRange(0, 2000)])
    source = HostileSource(data, drawn.ConsumeIntInRange(0, 1 << 20))
    sink = HostileSink(drawn.ConsumeIntInRange(0, 1 << 20), room, raises=drawn.ConsumeBool())
    try:
        assert work(source, sink) == len(sink.got)
    except OSError as error:
        if error.errno != errno.ENOSPC or len(sink.got) != room:
            raise
        return None
    return bytes(sink.got)


def odd_header(drawn: Any) -> bytes:
    fields: dict[str, Any] = {"codec": value(drawn, 0), "config": value(drawn, 0), "config_version": value(drawn, 0)}
    if drawn.ConsumeBool():
        fields |= {"codec": drawn.PickValueInList(compressors.names()), "config_version": 1}
    text = json.dumps(fields).encode()
    return with_crc(struct.pack("<4sHI", pxc.MAGIC, pxc.VERSION, len(text)) + text)


def value(drawn: Any, depth: int) -> Any:
    """A JSON value of the words that headers hold."""
    kind = drawn.ConsumeIntInRange(0, 6 if depth < 6 else 3)
    if kind < 2:
        return drawn.PickValueInList(WORDS) if kind else drawn.ConsumeUnicodeNoSurrogates(9)
    if kind < 4:
        return drawn.ConsumeIntInRange(-9, 30) if kind == 2 else drawn.PickValueInList([None, True, 0.5, "0" * 64])
    n = drawn.ConsumeIntInRange(0, 3)
    if kind == 4:
        return [value(drawn, depth + 1) for _ in range(n)]
    return {drawn.PickValueInList(WORDS): value(drawn, depth + 1) for _ in range(n)}


def with_crc(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


def decompressed(data: bytes, codec: compressors.Compressor | None) -> None:
    out = BytesIO()
    with contextlib.suppress(compressors.ProxycError):
        name = "x" + (codec.suffix if codec else ".pxc")
        files.decompress_stream(BytesIO(data), out, codec=codec, name=name, max_output=LIMIT)
    assert len(out.getvalue()) <= LIMIT


if __name__ == "__main__":
    atheris.Setup(sys.argv, lambda data: one_input(atheris.FuzzedDataProvider(data)))
    atheris.Fuzz()
