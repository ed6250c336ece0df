"""The planner against its definition in plain Python: one row after the other, no shards, no queue, no cursor."""

import itertools
import json

import numpy as np
import pytest

import compressors
from compressors.corpus import Document
from proxylm.config import MixConfig, Phase, RunConfig, TrainConfig
from proxylm.data import mixture, row_plan
from proxylm.data.encode import encode
from proxylm.data.loader import Loader

ROWS, LENGTH, STEPS = 3, 32, 400
FIELDS = ("row", "document", "chunk", "kind", "view_index", "start", "length", "raw_first", "raw_stop", "ends")
PHASES = (
    Phase(until=0.4, start=1.0, end=0.6, views={"bpe": 1.0, "bpe:merges=44": 2.0, "zstd": 1.0, "raw:bags=4": 1.0, "bpe:bags=3": 1.0}),
    Phase(until=0.7, start=0.4, end=0.7, views={"bpe": 1.0, "bpe:merges=44": 1.0}, pair=True),
    Phase(until=1.0, start=0.0, end=0.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def texts():
    return [
        b"",
        b"\0",
        b"x" * 29,
        b"long text, many rows " * 60,
        *(b"the text of %d " % i * (i % 7) for i in range(25)),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, texts):
    """In many shards."""
    documents = [Document(str(i), text) for i, text in enumerate(texts)]
    views = {"bpe": bpe, "zstd": compressors.get("zstd")}
    return encode(documents, tmp_path_factory.mktemp("oracle") / "s", views, shard_bytes=300)


def loader(store, chunk, seed=5):
    train = TrainConfig(steps=STEPS, rows=ROWS, row_length=LENGTH, seed=seed)
    return Loader(store, RunConfig(train=train, mix=MixConfig(phases=PHASES, chunk=chunk)), ROWS * STEPS)


# -- the definition ---------------------------------------------------------------------------------------------------

MASK = (1 << 64) - 1


def mixed(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def bits(seed, index, purpose):
    golden = 0x9E3779B97F4A7C15
    return mixed((mixed(mixed(seed + golden & MASK) ^ index * golden & MASK) + purpose) & MASK)


def shuffled(turn, n, seed):
    """The chunk that is dealt at a turn."""
    epoch, i = divmod(turn, n)
    half = next(h for h in itertools.count(1) if 4**h >= n)
    while True:
        left, right = divmod(i, 1 << half)
        for k in range(4):
            left, right = right, left ^ bits(seed, right, 8 * epoch + k + 4) % (1 << half)
        i = (left << half) + right
        if i < n:
            return i


def positions(store, spec, bpe, text, i):
    """Bytes at which the positions of a document in a view begin, and of each whether a chunk may begin there."""
    if spec == "raw:bags=4":
        return [(at, True) for at in range(0, len(text), 4)]
    spans, symbols = store.column("bpe").spans_of(i).tolist(), store.column("bpe")[i].tolist()
    found = []
    for symbol, span, end in zip(symbols, spans, itertools.accumulate(spans), strict=True):
        at = end - span
        if spec == "bpe:merges=44":

            def parts(symbol):
                return 1 if symbol < 300 else sum(parts(int(s)) for s in bpe.vocab.splits[symbol - 256])

            n = parts(symbol)
        else:
            n = -(-span // 3) if spec == "bpe:bags=3" else 1
        found += [(at, k == 0) for k in range(n)]
    return found


def chunks_of(store, texts, bpe, specs, chunk):
    """Of each chunk: (document, number, last of its document, [(first, stop) in raw and in each view])."""
    found = []
    for i, text in enumerate(texts):
        n, size = len(text), max(1, -(-len(text) // chunk)) if chunk else 1
        cuts = [[n * k // size for k in range(size + 1)]]
        for spec in specs:
            if spec == "zstd":
                length = int(store.column("zstd").lengths[i])
                cuts.append([length * k // size for k in range(size + 1)])
                continue
            where = positions(store, spec, bpe, text, i)
            firsts = [
                next((p for p, (at, ok) in enumerate(where) if ok and at >= n * k // size), len(where))
                for k in range(size)
            ]
            cuts.append([0, *firsts[1:], len(where)])
        found += [(i, k, k == size - 1, [(c[k], c[k + 1]) for c in cuts]) for k in range(size)]
    return found


def slow_plan(chunks, table, seed, last):
    """Rows 0..last-1: the fields of each segment."""
    lanes, turn = [None] * ROWS, 0
    for row in range(last):
        chance, room, lane = table[row * len(table) // (ROWS * STEPS)], LENGTH, row % ROWS
        while room >= 2:
            if lanes[lane] is None:
                kind_draw, view_draw = (2.0**-53 * (bits(seed, turn, purpose) >> 11) for purpose in (1, 3))
                pair = row_plan.RAW_COMP if bits(seed, turn, 2) & 1 else row_plan.COMP_RAW
                kind = row_plan.RAW if kind_draw < chance[0] else row_plan.COMP if kind_draw < chance[1] else pair
                view = next(v for v in range(len(chance) - 2) if view_draw < chance[2 + v] or v == len(chance) - 3)
                lanes[lane] = [chunks[shuffled(turn, len(chunks), seed)], kind, view, 0]
                turn += 1
            (document, number, ends, cuts), kind, view, start = lanes[lane]
            raw, comp = (stop - first for first, stop in (cuts[0], cuts[1 + view]))
            body = [raw, comp, raw + 2 + comp, raw + 2 + comp][kind] + 2 * ends
            if not body:
                lanes[lane] = None
                continue
            count = min(body - start, room - 1)
            fields = (row, document, number, kind, view, start, count, *cuts[0], int(ends))
            # Where the view lies is asked only of segments that show it.
            yield fields, cuts[1 + view] if kind != row_plan.RAW else None
            room -= count + 1
            lanes[lane] = None if start + count == body else [*lanes[lane][:3], start + count]


def fields_of(planned):
    views = zip(planned["kind"].tolist(), planned[["view_first", "view_stop"]].tolist(), strict=True)
    return list(zip(planned[list(FIELDS)].tolist(), (view if kind else None for kind, view in views), strict=True))


# -- what is tested ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 7, 30, 100])
@pytest.mark.parametrize("ahead", [1, 1000])
def test_the_plan_is_that_of_the_definition_and_a_cursor_continues_it(store, texts, bpe, chunk, ahead, monkeypatch):
    monkeypatch.setattr(row_plan, "_AHEAD", ahead)  # how many chunks are looked up at once changes nothing
    monkeypatch.setattr(row_plan, "_WALK", ahead)
    made = loader(store, chunk)
    specs = [str(spec) for spec in MixConfig(phases=PHASES).specs]
    table = mixture.table(PHASES, specs)
    wanted = list(slow_plan(chunks_of(store, texts, bpe, specs, chunk), table, 5, ROWS * STEPS))
    assert fields_of(made.planner.plan(0, ROWS * STEPS)) == wanted
    for step in (1, 150, 300, STEPS - 1):
        made.planner.scan(0, step * ROWS)
        jumped = loader(store, chunk)
        jumped.planner.jump(made.planner.cursor)
        assert fields_of(jumped.planner.plan(step * ROWS, ROWS * STEPS)) == [
            s for s in wanted if s[0][0] >= step * ROWS
        ]
        assert np.array_equal(jumped.batch(step).inputs, loader(store, chunk).batch(step).inputs)


def test_a_cursor_says_the_same_as_json(store):
    made = loader(store, 30)
    made.batch(100)
    cursor = json.loads(json.dumps(made.planner.cursor))
    assert cursor["row"] == 101 * ROWS
    other = loader(store, 30)
    other.planner.jump(cursor)
    assert other.planner.cursor == made.planner.cursor
    assert other.batch(101).checksum == made.batch(101).checksum
