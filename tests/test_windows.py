"""Windows: the dictionary is what counting all strings gives, and every policy cuts as its slow twin does."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compressors
from compressors import testing
from compressors.artifact import Artifact
from compressors.files import pxc
from compressors.neural import windows
from compressors.neural.artifact import artifact_of
from compressors.neural.codec import Neural
from compressors.neural.windows import Windows

CODE = b"def area(width, height_2):\n    return width * height_2  # na\xc3\xafve\n\n\nclass Box(Base):\n\tx = area(1, 23)\r\n"
code_like = st.lists(
    st.sampled_from(
        [b"def ", b"self.", b"area", b"width", b"_2", b"(", b")", b":\n    ", b" ", b"\n", b"\xc3\xaf", b"z"]
    )
).map(b"".join)
any_bytes = st.one_of(code_like, st.binary(max_size=200), st.integers(1, 300).map(lambda n: b"ab" * n))


# -- slow and obvious --------------------------------------------------------------------------------------------------


def kind(byte: int) -> str:
    if chr(byte).isalnum() or byte > 127:
        return "letter"
    return {"_": "_", " ": "blank", "\t": "blank", "\n": "line end", "\r": "line end"}.get(chr(byte), "rest")


def word_ends(data: bytes, i: int) -> bool:
    before, after = kind(data[i - 1]), kind(data[i])
    return before != after and (before, after) != ("_", "letter")


def run_ends(data: bytes, i: int) -> bool:
    return kind(data[i - 1]) in ("blank", "line end") and kind(data[i]) == "letter"


def slow_words(data: bytes, entries: set[bytes], *, one: bool) -> list[bytes]:
    out, i = [], 0
    while i < len(data):
        run = next((j for j in range(i + 1, len(data)) if run_ends(data, j)), len(data))
        ends = [j for j in range(i + 1, run + 1) if data[i:j] in entries]
        good = [j for j in ends if j == len(data) or word_ends(data, j)] or ends
        out.append(data[i : good[0] if one and good is not ends else good[-1]])
        i += len(out[-1])
    return out


def fewest(data: bytes, entries: set[bytes]) -> int:
    """Number of windows by dynamic programming over all ends."""
    best = [0] + [len(data)] * len(data)
    for j in range(1, len(data) + 1):
        best[j] = 1 + min(best[i] for i in range(max(0, j - 64), j) if data[i:j] in entries)
    return best[-1]


def slow_fit(documents: list[bytes], size: int) -> list[bytes]:
    counts: Counter[bytes] = Counter()
    for data in documents:
        for i in range(len(data)):
            weight = 4 if i == 0 or word_ends(data, i) else 1
            for j in range(i + 1, min(i + 64, len(data)) + 1):
                if j > i + 1 and run_ends(data, j - 1):
                    break
                counts[data[i:j]] += weight
    longer = sorted((s for s in counts if len(s) > 1), key=lambda s: (-counts[s], len(s), s))
    return ([bytes([b]) for b in range(256)] + longer)[:size]


def entries(codec: Neural) -> set[bytes]:
    return set(codec.vocab.pieces or ())


# -- the dictionary ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact(documents: list[bytes]) -> Artifact:
    return windows.fit(documents[:20])


@pytest.fixture(scope="module")
def codec(artifact: Artifact) -> Neural:
    return Neural(preset="fast", windows=artifact)


@pytest.mark.parametrize("size", [256, 300, 700, 1 << 16])
def test_the_dictionary_is_what_counting_every_string_gives(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(windows, "LARGEST", size)
    documents = [CODE, b"", CODE[10:60] * 3, bytes(range(250)), b"a" * 100]
    assert list(Windows.of(windows.fit(documents), 16).vocab.pieces or ()) == slow_fit(documents, size)


@pytest.mark.parametrize("width", range(8, 17))
def test_the_dictionary_of_each_width_begins_the_next(artifact: Artifact, width: int) -> None:
    vocab, whole = Windows.of(artifact, width).vocab, Windows.of(artifact, 16).vocab
    assert vocab.size == min(1 << width, whole.size)
    assert vocab.pieces == whole.pieces[: vocab.size]
    assert len(set(vocab.pieces)) == vocab.size
    assert np.array_equal(vocab.splits, whole.splits[: vocab.size - 256])


@pytest.mark.parametrize("n_children", [2, 3, 90, 130, 256])
def test_a_trie_of_any_shape_finds_its_place(n_children: int) -> None:
    """Children that no text has: `n_children` of each byte, far apart, so that they need many cells."""
    last = (np.arange(n_children) * 255 // (n_children - 1)).astype(np.uint8)
    parents = np.arange(min(256, 65_280 // n_children), dtype=np.uint16)[:255]
    arrays = {"windows.parent": np.repeat(parents, n_children), "windows.last": np.tile(last, len(parents))}
    strange = Neural(preset="fast", windows=Artifact(codec="neural", settings={}, arrays=arrays, card={}))
    data = bytes(np.random.default_rng(0).integers(0, 256, 3000, np.uint8))
    for policy in windows.POLICIES:
        cut = Neural(preset="fast", windows=strange.windows, policy=policy)
        assert cut.decode(cut.encode(data)) == data
    assert len(Neural(preset="fast", windows=strange.windows, policy="dense").encode(data)) == fewest(
        data, entries(cut)
    )


def test_an_unknown_preset_is_refused_before_the_work() -> None:
    with pytest.raises(compressors.InvalidConfig, match="no preset 'huge'"):
        Neural.fit([CODE], preset="huge")


def test_no_text_is_refused() -> None:
    with pytest.raises(compressors.InvalidConfig, match="expected some text"):
        Neural.fit([b""], preset="windows")


def test_a_large_corpus_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_MOST", 100)
    thinned = windows.fit([CODE, b"xyz" * 30, CODE])
    assert thinned.card["documents_counted"] == 1
    assert thinned == windows.fit([CODE[:100]]) or thinned == windows.fit([CODE])


# -- the policies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [8, 9, 12, 16])
@given(data=any_bytes)
def test_words_are_those_of_the_slow_twin(codec: Neural, width: int, data: bytes) -> None:
    for policy in ("words", "word"):
        cut = codec_of(codec, policy, width)
        pieces = cut.vocab.pieces
        expected = slow_words(data, entries_of(cut), one=policy == "word")
        assert [pieces[symbol] for symbol in cut.encode(data).tolist()] == expected


@pytest.mark.parametrize("width", [8, 9, 12, 16])
@given(data=any_bytes)
def test_dense_windows_are_the_fewest(codec: Neural, width: int, data: bytes) -> None:
    cut = codec_of(codec, "dense", width)
    symbols = cut.encode(data)
    assert b"".join(cut.vocab.pieces[symbol] for symbol in symbols.tolist()) == data
    assert len(symbols) == fewest(data, entries_of(cut))


CUT: dict[tuple[str, int], Neural] = {}
ENTRIES: dict[int, set[bytes]] = {}


def codec_of(codec: Neural, policy: str, width: int) -> Neural:
    if (policy, width) not in CUT:
        CUT[policy, width] = Neural(preset="fast", windows=codec.windows, policy=policy, width=width)
    return CUT[policy, width]


def entries_of(codec: Neural) -> set[bytes]:
    return ENTRIES.setdefault(codec.width, entries(codec))


@pytest.mark.parametrize("policy", windows.POLICIES)
def test_all_laws_hold_for_each_policy_and_width(codec: Neural, policy: str) -> None:
    for width in (8, 11, 16):
        testing.check(codec_of(codec, policy, width), [b"", CODE, bytes(range(256)), b" " * 70])


@pytest.mark.parametrize("policy", windows.POLICIES)
def test_batches_of_many_documents_are_cut_one_by_one(codec: Neural, policy: str, documents: list[bytes]) -> None:
    cut = codec_of(codec, policy, 16)
    rows = [cut.encode(document) for document in documents]
    for threads in (1, 2):
        batch = cut.encode_batch(documents, threads=threads)
        assert all(np.array_equal(row, expected) for row, expected in zip(batch, rows, strict=True))


def test_a_deleted_character_changes_a_few_symbols_only(documents: list[bytes]) -> None:
    shipped, text = compressors.get("neural"), documents[3]
    whole = shipped.encode(text).tolist()
    for at in range(100, len(text), 997):
        edited = shipped.encode(text[:at] + text[at + 1 :]).tolist()
        same_start = next(k for k, (a, b) in enumerate(zip(whole, edited, strict=False)) if a != b)
        same_end = next(k for k, (a, b) in enumerate(zip(whole[::-1], edited[::-1], strict=False)) if a != b)
        assert len(whole) - same_start - same_end <= 12


# -- where they are kept -----------------------------------------------------------------------------------------------


def test_one_file_holds_network_and_windows(codec: Neural, tmp_path: Path) -> None:
    arrays = {**codec.artifact.arrays, "mixer": codec.artifact.arrays["mixer"][::-1]}
    both = Neural(artifact=artifact_of("fast", arrays, {"a": 1}), windows=codec.windows)
    both.save(tmp_path / "both.pxa")
    codec.save(tmp_path / "windows.pxa")
    assert (tmp_path / "windows.pxa").stat().st_size < 250_000  # the package's own network is not written again
    for name, original in (("both.pxa", both), ("windows.pxa", Neural(windows=codec.windows))):
        again = compressors.load(tmp_path / name)
        assert again == original
        assert again.fingerprint == original.fingerprint
        assert again.windows.card == codec.windows.card
        assert again.decompress(original.compress(CODE)) == CODE
    assert compressors.parse(f"neural:preset=fast,windows={tmp_path / 'both.pxa'}") == codec


def test_other_symbols_have_other_fingerprints_but_streams_stay(codec: Neural) -> None:
    shipped = compressors.get("neural", preset="fast")
    variants = [
        shipped,
        codec,
        *(codec_of(codec, policy, 16) for policy in ("dense", "word")),
        codec_of(codec, "words", 9),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert len({pxc.pack_header(pxc.Header.of(variant)) for variant in variants}) == 1
    assert len({variant.compress(CODE) for variant in variants}) == 1
    packed = [compressors.get("pack", codec=variant, bits=8) for variant in variants]
    assert len({pack.fingerprint for pack in packed}) == len(variants)
    assert len({pxc.pack_header(pxc.Header.of(pack)) for pack in packed}) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {"windows.parent": np.array([256], np.uint16), "windows.last": np.array([0], np.uint8)},  # its own parent
        {"windows.parent": np.array([7, 7], np.uint16), "windows.last": np.array([0, 0], np.uint8)},  # one string twice
        {"windows.parent": np.array([7], np.uint16), "windows.last": np.array([0, 0], np.uint8)},
        {"windows.parent": np.array([7], np.int32), "windows.last": np.array([0], np.uint8)},
        {"windows.parent": np.zeros(65_281, np.uint16), "windows.last": np.zeros(65_281, np.uint8)},
        {"windows.parent": np.array([7], np.uint16)},
        {
            "windows.parent": np.arange(255, 355, dtype=np.uint16),
            "windows.last": np.zeros(100, np.uint8),
        },  # 101 bytes long
        {"tokenizer": np.array([7], np.uint16)},
    ],
)
def test_damaged_windows_are_refused(arrays: dict[str, np.ndarray]) -> None:
    damaged = Artifact(codec="neural", settings={}, arrays=arrays, card={})
    with pytest.raises(compressors.InvalidConfig, match="proxyc fit"):
        Neural(windows=damaged).encode(b"x")


@pytest.mark.parametrize(("field", "value"), [("policy", "longest"), ("width", 7), ("width", 17), ("width", True)])
def test_bad_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(compressors.InvalidConfig, match=f"{field} is"):
        Neural(**{field: value})


def test_the_shipped_windows_are_all_of_sixteen_bits() -> None:
    for preset in ("best", "fast"):
        assert compressors.get("neural", preset=preset).vocab.size == 1 << 16
