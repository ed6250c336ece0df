"""Bands and FlexAttention equal SDPA under the dense document mask, and the blocks are those torch finds pair by pair."""

import pytest
import torch
from torch.nn.attention import flex_attention

from compressors.errors import InvalidConfig
from proxylm.config import ModelConfig, TrainConfig
from proxylm.data.alphabet import Alphabet
from proxylm.model.attention import BLOCK, document_bands, document_blocks, document_mask, mask_maker
from proxylm.model.decoder import Decoder


def rows(T, n_documents, seed=0):
    """(3, T) documents in stretches of any length; the last one is padding in one row."""
    torch.manual_seed(seed)
    doc = torch.randint(n_documents, (3, T), dtype=torch.int32).sort(1).values
    doc[2] = torch.where(doc[2] == n_documents - 1, -1, doc[2])
    return doc


@pytest.mark.parametrize(("T", "n_documents"), [(64, 3), (128, 1), (300, 2), (1024, 1), (1024, 4), (1000, 30)])
def test_blocks_are_those_found_pair_by_pair(T, n_documents):
    doc = rows(T, n_documents)
    doc[1, : 2 * BLOCK] = 99  # a document that ends where a block does

    def sees(b, h, query, key):
        return (doc[b, query] == doc[b, key]) & (query >= key)

    found, expected = document_blocks(doc), flex_attention.create_block_mask(sees, 3, None, T, T, device="cpu")
    assert found.shape == expected.shape
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert getattr(found, name).equal(getattr(expected, name)), name
    for name in ("kv", "full_kv", "q", "full_q"):
        used = torch.arange(-(-T // BLOCK)) < getattr(expected, f"{name}_num_blocks")[..., None]
        one, two = (getattr(mask, f"{name}_indices") for mask in (found, expected))
        assert one[used].equal(two[used]), name
    assert found.to_dense().equal(expected.to_dense())


@pytest.mark.filterwarnings("ignore")  # that it is slow uncompiled, and of what torch itself does
@pytest.mark.parametrize("kv", [None, 2])
@pytest.mark.parametrize("fast", [document_bands, document_blocks])
def test_all_ways_are_equal_forward_and_backward(kv, fast, monkeypatch):
    """FlexAttention's gradient through the formulas torch has for all devices, which it refuses on a CPU: it has no kernel there."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *tensors: None)
    torch.manual_seed(0)
    model = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=4, n_kv_heads=kv), Alphabet({}))
    for parameter in model.parameters():  # the zeros of a fresh model would hide mistakes
        torch.nn.init.normal_(parameter, std=0.3)
    ids, doc = torch.randint(64, 320, (3, 200)), rows(200, 4)
    found = []
    for mask_of in (document_mask, fast):
        model.mask_of = mask_of
        model.zero_grad()
        hidden = model(ids, doc)
        hidden.sin().sum().backward()
        found.append([hidden.detach(), *(p.grad for p in model.blocks.parameters()), model.embedding.weight.grad])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fast", [document_bands, document_blocks])
def test_all_ways_take_the_types_that_autocast_leaves(fast):
    torch.manual_seed(0)
    model = Decoder(ModelConfig(d_model=32, n_layers=1, n_heads=4, n_kv_heads=2), Alphabet({}))
    torch.nn.init.normal_(model.blocks[0].attention.o.weight, std=0.3)
    ids, doc = torch.randint(64, 320, (3, 200)), rows(200, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = model(ids, doc)
        model.mask_of = fast
        torch.testing.assert_close(model(ids, doc), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("T", [1, 7, 8, 20, 512])
def test_bands_hold_every_pair_that_is_seen(T):
    doc = rows(T, 3)
    mask, first = document_mask(doc), 0
    for band in document_bands(doc):
        last = band.shape[3]
        assert band.equal(mask[:, :, first:last, :last])
        assert not mask[:, :, first:last, last:].any()
        first = last
    assert first == T


def test_flex_is_refused_where_it_cannot_train_or_would_skip_nothing():
    assert mask_maker("sdpa", torch.device("cpu")) is document_mask
    assert mask_maker("bands", torch.device("cpu")) is document_bands
    assert mask_maker("flex", torch.device("cuda")) is document_blocks
    with pytest.raises(InvalidConfig, match="use bands or sdpa on a CPU"):
        mask_maker("flex", torch.device("cpu"))
    assert TrainConfig(steps=1, attention="flex", compile=True)
    for bad in ({"attention": "flex"}, {"attention": "bands"}, {"attention": "dense", "compile": True}):
        with pytest.raises(InvalidConfig, match="attention is"):
            TrainConfig(steps=1, **bad)
