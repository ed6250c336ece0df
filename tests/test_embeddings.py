"""What a position reads beside the vector of its id: hashed n-grams of bytes, and compressed symbols as bags of bytes."""

import dataclasses

import numpy as np
import pytest
import torch

import compressors
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data.alphabet import BYTE_OFFSET, COMP_OFFSET, Alphabet
from proxylm.data.encode import encode
from proxylm.data.loader import Loader, alphabet_of, pieces_of
from proxylm.interop.export import export
from proxylm.model.decoder import Decoder
from proxylm.model.embeddings import LONGEST_PIECE, Embeddings
from proxylm.model.kv_cache import Cache
from proxylm.training.run_folder import load_run
from proxylm.training.trainer import train

SHAPE = ModelConfig(d_model=32, n_layers=2, n_heads=2, hash_ngrams=4, ngram_rows=61)
PLAIN = dataclasses.replace(SHAPE, hash_ngrams=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("embeddings") / "s"
    views = {"bpe": bpe, "zstd": compressors.get("zstd")}
    return encode([Document(str(i), d[:600]) for i, d in enumerate(documents[:20])], path, views)


def embeddings(config, alphabet, bags=0):
    torch.manual_seed(0)
    made = Embeddings(config, alphabet, bags)
    with torch.no_grad():
        if made.places is not None:
            torch.nn.init.normal_(made.places)
        if made.ngrams is not None:
            torch.nn.init.normal_(made.ngrams.table[:-1])
    return made


def slow_ngrams(made, text):
    """The sum of the vectors of the n-grams that end with the last byte of `text`, by the definition of the hash."""
    total = torch.zeros(made.embedding_dim)
    for n in range(2, min(made.ngrams.longest, len(text)) + 1):
        number = 0
        for byte in reversed(text[-n:]):
            number = number * 257 + byte + 1
        product = number * 0x9E3779B97F4A7C15 % 2**64
        signed = product - 2**64 if product >= 2**63 else product
        total = total + made.ngrams.table[(signed >> 32) % made.ngrams.rows]
    return total


def test_ngrams_end_at_their_byte_and_stay_within_bytes_and_segments():
    made = embeddings(SHAPE, Alphabet({"v": 9}))
    row = [
        ids.BOS,
        ids.RAW_OPEN,
        *(BYTE_OFFSET + b for b in b"abcabca"),
        ids.RAW_CLOSE,
        BYTE_OFFSET,
        COMP_OFFSET,
        70,
        71,
    ]
    doc = torch.tensor([[0] * 6 + [1] * 8])
    found = made(torch.tensor([row]), doc)[0]
    for t, symbol in enumerate(row):
        text = bytearray()
        for back in range(t, -1, -1):
            if doc[0, back] != doc[0, t] or not BYTE_OFFSET <= row[back] < COMP_OFFSET:
                break
            text.insert(0, row[back] - BYTE_OFFSET)
        torch.testing.assert_close(found[t], made.weight[symbol] + slow_ngrams(made, text))
    assert not torch.equal(found[4], found[7])  # the same byte behind others
    other = embeddings(dataclasses.replace(SHAPE, ngram_rows=1 << 16), Alphabet({}))
    kinds = {
        tuple(other(torch.tensor([[BYTE_OFFSET + b for b in pair]]))[0, 1].tolist()) for pair in (b"ax", b"bx", b"cx")
    }
    assert len(kinds) == 3


def test_a_cache_gives_ngrams_what_was_read_before():
    made = Decoder(SHAPE, Alphabet({}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    rows = torch.randint(BYTE_OFFSET, COMP_OFFSET, (2, 9))
    whole = made(rows)
    cache = Cache(SHAPE, 2, 9, made.embedding.weight)
    found = [made(rows[:, :4], cache=cache)]
    cache.lengths = [4, 4]
    for t in range(4, 9):
        found.append(made(rows[:, t : t + 1], cache=cache))
        cache.lengths = [t + 1] * 2
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-4, atol=1e-4)

    uneven = Cache(SHAPE, 2, 9, made.embedding.weight)  # the second row has read two ids less
    made(rows[:, :5], cache=uneven)
    uneven.lengths = [5, 3]
    following = torch.stack([rows[0, 5:6], rows[1, 3:4]])
    expected = torch.stack([whole[0, 5:6], whole[1, 3:4]])
    torch.testing.assert_close(made(following, cache=uneven), expected, rtol=1e-4, atol=1e-4)


def test_bags_and_merges_are_their_bytes_and_the_ngrams_inside():
    made = embeddings(SHAPE, Alphabet({"other": 4}, {"v": 3}), bags=5)
    texts = [b"abcd", b"z", b"no"]
    for row, text in enumerate(texts):
        made.pieces[row, : len(text)] = torch.tensor(list(text), dtype=torch.int16)

    def slow(text):
        return torch.stack([made.weight[BYTE_OFFSET + b] * made.places[k] for k, b in enumerate(text)]).mean(0)

    expected = torch.stack([slow(text) + slow_ngrams(made, text) for text in texts])
    symbols = torch.tensor([[COMP_OFFSET, COMP_OFFSET + 1, COMP_OFFSET + 2]])
    torch.testing.assert_close(made(symbols)[0], expected)  # a merge starts as its bytes
    with torch.no_grad():
        made.weight[COMP_OFFSET:] = torch.randn(7, 32)
    torch.testing.assert_close(made(symbols)[0], expected + made.weight[COMP_OFFSET : COMP_OFFSET + 3])
    torch.testing.assert_close(made(symbols + 3)[0], made.weight[COMP_OFFSET + 3 : COMP_OFFSET + 6])  # one id each
    bags = torch.full((1, 4, 5), -1, dtype=torch.int16)  # the bag of a target is read one position later
    bags[0, :3] = made.pieces[:, :5]
    torch.testing.assert_close(made(torch.tensor([[1, ids.BAG, ids.BAG, ids.BAG]]), bags=bags)[0, 1:], expected)


def test_pieces_are_those_of_the_codec(store, bpe):
    found = pieces_of(store, Alphabet({}, {"bpe": bpe.vocab.size - 256}), LONGEST_PIECE)
    assert len(found) == bpe.vocab.size - 256
    for row, piece in zip(found, bpe.vocab.pieces[256:], strict=True):
        assert bytes(row[row >= 0].astype(np.uint8)) == piece[:LONGEST_PIECE]


def config(model=SHAPE, **mix):
    settings = TrainConfig(steps=8, rows=4, row_length=48, checkpoint_every=3, dtype="fp32")
    return RunConfig(train=settings, model=model, mix=MixConfig(**{"view": "bpe", "recipe": "proxy"} | mix))


def test_a_run_with_both_resumes_to_the_same_weights_and_all_of_them_learn(store, bpe, tmp_path):
    def killed(record):
        if record["step"] == 4:
            raise KeyboardInterrupt

    both = config(view="bpe:merges=700")
    train(store, both, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(store, both, tmp_path / "killed", report=killed)
    train(store, both, tmp_path / "killed")
    whole, other = (load_run(tmp_path / name)[0].state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], other[name]) for name in whole)
    assert np.array_equal(
        whole["embedding.pieces"], pieces_of(store, Alphabet({}, {"bpe": bpe.vocab.size - 256}), LONGEST_PIECE)
    )
    assert whole["embedding.ngrams.table"][:-1].abs().sum() > 0
    assert whole["embedding.ngrams.table"][-1].abs().sum() == 0  # "no n-gram"
    assert (whole["embedding.places"] != 1).any()
    assert whole["embedding.weight"][COMP_OFFSET:].abs().sum() > 0


def test_a_few_merges_among_bytes_spell_the_documents(store, bpe, documents):
    merges = RunConfig(
        train=TrainConfig(steps=400, rows=1, row_length=48),
        model=SHAPE,
        mix=MixConfig(view="bpe:merges=40", recipe="comp", chunk=0),
    )
    loader = Loader(store, merges, 400)
    batch, pieces = loader.rows(0, 400), pieces_of(store, loader.alphabet, LONGEST_PIECE)
    found, spelled = bytearray(), []
    for target in batch.targets.ravel().tolist():
        if target >= COMP_OFFSET:
            assert target < COMP_OFFSET + 40
            piece = pieces[target - COMP_OFFSET]
            found += bytes(piece[piece >= 0].astype(np.uint8))
        elif target >= BYTE_OFFSET:
            found.append(target - BYTE_OFFSET)
        elif target == ids.EOS:
            spelled.append(bytes(found))
            found.clear()
    assert sorted(spelled[:20]) == sorted(d[:600] for d in documents[:20])
    assert (batch.targets >= COMP_OFFSET).sum() > 0.2 * (batch.targets >= BYTE_OFFSET).sum()


def test_settings_that_cannot_be(store, tmp_path):
    for ngrams in (1, 9, -2):
        with pytest.raises(InvalidConfig, match=rf"hash_ngrams is {ngrams}; expected 2 to 8"):
            ModelConfig(hash_ngrams=ngrams)
    with pytest.raises(InvalidConfig, match="ngram_rows is 0"):
        ModelConfig(ngram_rows=0)
    with pytest.raises(InvalidConfig, match=r"mix: view 'zstd' has no merges: its vocabulary is not refinable"):
        alphabet_of(store, config(view="zstd:merges=9"))
    assert export(Decoder(PLAIN, Alphabet({"v": 9}, {"w": 5})), tmp_path / "hf", context=64) > 0
