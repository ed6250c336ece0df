"""What every test of `compressors` shares: a corpus that is always there, and every codec by name."""

import os
import signal
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import compressors
from compressors.bpe.codec import BPE
from compressors.pack import Pack
from compressors.zstd import Zstd

# No test asks the hub of models: whatever would do so by mistake finds nobody there, in processes that tests start, too.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
settings.register_profile(
    "default", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", settings.get_profile("default"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A codec whose default needs an artifact is given here by the name of a fixture; all others are found by themselves.
FITTED = {"bpe": "bpe", "pack": "packed_bpe"}
# More configurations than the default one: label -> (name, settings).
CONFIGURED = {
    "gzip:level=0": ("gzip", {"level": 0}),
    "gzip:level=9": ("gzip", {"level": 9}),
    "zstd:level=-7": ("zstd", {"level": -7}),
    "zstd:level=9": ("zstd", {"level": 9}),
    "brotli:quality=0": ("brotli", {"quality": 0}),
    "brotli:quality=11": ("brotli", {"quality": 11}),
}
WITH_DICTIONARY = "zstd:dictionary"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden", action="store_true", help="write tests/golden again from the codecs as they are"
    )


def pytest_configure() -> None:
    if (
        signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ):  # a suite in the background; the commands it interrupts inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)


# One-way views neither decode nor write files; tests/test_entropy.py tests those of the package.
LOSSLESS = [name for name in compressors.names() if compressors.get_class(name).lossless is not False]


@pytest.fixture(scope="session", params=[*LOSSLESS, *CONFIGURED, WITH_DICTIONARY])
def codec(request: pytest.FixtureRequest) -> compressors.Compressor:
    """Each registered lossless codec in turn, and some of them in further configurations."""
    if request.param == WITH_DICTIONARY:
        return request.getfixturevalue("zstd_with_dictionary")
    if request.param in CONFIGURED:
        name, config = CONFIGURED[request.param]
        return compressors.get(name, **config)
    if request.param in FITTED:
        return request.getfixturevalue(FITTED[request.param])
    try:
        return compressors.get(request.param)
    except compressors.InvalidConfig as error:
        pytest.fail(
            f"{request.param} has no default that works ({error}): give it a fixture in FITTED, tests/conftest.py"
        )


@pytest.fixture(scope="session")
def documents() -> list[bytes]:
    """About sixty modules of the standard library, in sorted order: text that is on every machine."""
    root = Path(sysconfig.get_path("stdlib"))
    return [
        path.read_bytes() for package in ("asyncio", "email", "json") for path in sorted((root / package).glob("*.py"))
    ]


@pytest.fixture(scope="session")
def bpe(documents: list[bytes]) -> BPE:
    return BPE.fit(documents, vocab_size=1024)


@pytest.fixture(scope="session")
def packed_bpe(bpe: BPE) -> Pack:
    return Pack(codec=bpe, bits=8, gray=1)


@pytest.fixture(scope="session")
def zstd_with_dictionary(documents: list[bytes]) -> Zstd:
    pieces = [document[start : start + 1000] for document in documents for start in range(0, len(document), 1000)]
    return Zstd.fit(pieces, dictionary_size=4096)


@pytest.fixture(scope="session")
def install() -> Callable[..., None]:
    """Lays out an installed distribution (module, METADATA, entry_points.txt, RECORD) in a folder."""

    def lay_out(
        folder: Path, distribution: str, module: str, source: str, points: str, group: str = "proxyc.compressors"
    ) -> None:
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (folder / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
        files = [f"{module}.py", f"{info.name}/METADATA", f"{info.name}/entry_points.txt", f"{info.name}/RECORD"]
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))

    return lay_out
