"""Span superposition: bags hold every byte once, are read as a mean, and are predicted by the byte head."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, ModelConfig, Phase, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data import bags
from proxylm.data.alphabet import Alphabet
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.data.pieces import PIECE
from proxylm.model.decoder import Decoder
from proxylm.model.heads import SlicedHeads
from proxylm.training.run_folder import load_run
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import train

BAGS_THEN_BYTES = (Phase(until=0.5, start=1.0, end=1.0), Phase(until=1.0, start=0.0, end=0.0))


@pytest.fixture(scope="module")
def texts(documents):
    return [b"", b"\0", b"a" * 61, *(d[:700] for d in documents[:12])]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, texts):
    path = tmp_path_factory.mktemp("bags") / "s"
    return encode([Document(str(i), t) for i, t in enumerate(texts)], path, {"bpe": bpe})


def config(view="bpe:bags=4", phases=BAGS_THEN_BYTES, rows=4, steps=12):
    mix = MixConfig(view=view, phases=phases, chunk=0)
    settings = TrainConfig(steps=steps, rows=rows, row_length=48, checkpoint_every=5, dtype="fp32")
    return RunConfig(train=settings, model=ModelConfig(d_model=32, n_layers=2, n_heads=2), mix=mix)


@pytest.mark.parametrize(("view", "size"), [("bpe", 3), ("bpe", 16), ("raw", 4)])
def test_every_byte_of_every_document_is_in_one_bag(store, texts, view, size):
    always = config(f"{view}:bags={size}", (Phase(until=1.0, start=1.0, end=1.0),), rows=1, steps=400)
    batch = Loader(store, always, 400).rows(0, 400)
    found, documents = bytearray(), []
    for target, bag in zip(batch.targets.ravel(), batch.bags.reshape(-1, size), strict=True):
        assert (target == ids.BAG) == (bag[0] >= 0)
        found += bytes(bag[bag >= 0].astype(np.uint8))
        if target == ids.EOS:
            documents.append(bytes(found))
            found.clear()
    assert sorted(documents[: len(texts)]) == sorted(texts)
    assert batch.shares.n_bytes["comp"] == sum(map(len, documents)) + len(found)
    # What is read is the bag that was predicted one position before.
    read = batch.inputs[:, 1:] == ids.BAG
    assert (batch.bags[:, :-1][read][:, 0] >= 0).all()


def filled(data, spans, largest, skip, length):
    """The bags of a piece that is a text, and the bytes that they stand for."""
    piece, found = np.zeros(1, PIECE), np.full((1, length, largest), -1, np.int16)
    piece["length"], piece["skip"], piece["end"] = length, skip, len(spans)
    bags.fill(piece, np.arange(1), np.frombuffer(data, np.uint8), np.asarray(spans), found)
    return [bytes(bag[bag >= 0].astype(np.uint8)) for bag in found[0]], int(piece["n_bytes"][0])


def test_bags_are_the_spans_of_the_view(store, bpe, texts):
    comp = store.column("bpe")
    for i, text in enumerate(texts):
        spans = comp.spans_of(i).astype(int)
        slow = [text[end - n : end] for end, n in zip(np.cumsum(spans), spans, strict=True)]
        assert filled(text, spans, 255, 0, len(spans)) == (slow, len(text))
        assert filled(text, spans, 255, len(spans) // 2, 1 if text else 0)[0] == slow[len(spans) // 2 :][:1]
    assert filled(b"abcdefghijkl", [3, 0, 8, 1], 3, 0, 5) == ([b"abc", b"def", b"ghi", b"jk", b"l"], 12)
    assert filled(b"abcdefghijkl", [3, 0, 8, 1], 3, 2, 2) == ([b"ghi", b"jk"], 5)
    counts = bags.counts(3)
    assert [int(counts[n]) for n in (0, 1, 3, 4, 65535)] == [0, 1, 1, 2, 21845]


def test_a_bag_is_read_as_the_mean_of_its_bytes():
    model = Decoder(ModelConfig(d_model=32, n_layers=1, n_heads=2), Alphabet({}), bags=3)
    torch.nn.init.normal_(model.embedding.places)
    held = torch.tensor([[65, -1, -1], [1, 2, 255], [0, 7, -1]], dtype=torch.int16)
    table = model.embedding.weight
    slow = [
        torch.stack([table[64 + b] * model.embedding.places[k] for k, b in enumerate(bag) if b >= 0]).mean(0)
        for bag in held.tolist()
    ]
    torch.testing.assert_close(model.embedding._of_bytes(held), torch.stack(slow))


def test_a_bag_is_predicted_by_the_mean_of_the_cross_entropies():
    heads = SlicedHeads(16, 0)
    torch.nn.init.normal_(heads.raw)
    hidden = torch.randn(1, 4, 16, requires_grad=True)
    held = torch.tensor([[[9, 9, 200], [3, -1, -1], [-1, -1, -1], [-1, -1, -1]]], dtype=torch.int16)
    targets, mode = torch.tensor([[ids.BAG, ids.BAG, ids.COMP_CLOSE, -1]]), torch.ones(1, 4, dtype=torch.int8)
    raw, comp = heads.nats(hidden, targets, mode, (ids.RAW_SLICE, ids.RAW_SLICE), held)
    comp.backward()
    gradient, hidden.grad = hidden.grad.clone(), None
    logits = hidden[0] @ heads.raw.T
    wanted = [[64 + 9, 64 + 9, 64 + 200], [64 + 3], [ids.COMP_CLOSE]]
    slow = sum(F.cross_entropy(logits[i].expand(len(w), -1), torch.tensor(w)) for i, w in enumerate(wanted))
    slow.backward()
    assert raw == 0
    torch.testing.assert_close(comp, slow)
    torch.testing.assert_close(gradient, hidden.grad)


def test_a_run_goes_from_bags_to_bytes_and_resumes_to_the_same_weights(store, tmp_path):
    def killed(record):
        if record["step"] == 7:
            raise KeyboardInterrupt

    train(store, config(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(store, config(), tmp_path / "killed", report=killed)
    train(store, config(), tmp_path / "killed")
    whole, other = (load_run(tmp_path / name)[0].state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], other[name]) for name in whole)
    assert whole["embedding.weight"].shape[0] == ids.RAW_SIZE  # the view needs no ids
    records = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert records[0]["symbols"]["raw"] == 0
    assert records[-1]["symbols"]["comp"] == 0
    assert records[0]["bytes"]["comp"] > 1.5 * records[0]["symbols"]["comp"]
    assert sum(r["flops"] for r in records) == pytest.approx(RunPlan.of(store, config()).flops)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(InvalidConfig, match="bags is 256; expected 1 to 255"):
        MixConfig(view="bpe:bags=256")
    with pytest.raises(InvalidConfig, match="has pairs"):
        MixConfig(view="bpe:bags=4", recipe="proxy")
    with pytest.raises(InvalidConfig, match="say which"):
        MixConfig(phases=BAGS_THEN_BYTES)
