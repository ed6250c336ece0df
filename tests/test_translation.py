import numpy as np
import pytest
import torch

import compressors
from compressors.errors import InputError
from proxylm.config import ModelConfig
from proxylm.data import alphabet as ids
from proxylm.data.alphabet import Alphabet
from proxylm.evaluation.perturb import changed, renamed
from proxylm.evaluation.translation import translate
from proxylm.generation import Sampling, complete
from proxylm.model.decoder import Decoder

DOCUMENTS = [b"", b"a", b"short document\n", b"a longer one, " * 9, b"\xff\x00"]


@pytest.fixture(scope="module")
def model(bpe):
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2), Alphabet({"bpe": bpe.vocab.size}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def slow(model, text, before):
    """(bits, bytes that were the likeliest), one byte at a time."""
    bits, right, known = 0.0, 0, list(before)
    for byte in text:
        log_p = torch.log_softmax(model.heads.raw_logits(model(torch.tensor([known]))[0, -1]), 0)
        bits -= log_p[byte + 64].item() / np.log(2)
        right += ids.ALLOWED[int(log_p[ids.ALLOWED].argmax())] == byte + 64
        known.append(byte + 64)
    return bits, right


@pytest.mark.parametrize("name", ["bpe", "gzip"])
@pytest.mark.parametrize("positions", [40, 400])
def test_scores_equal_the_slow_definition(model, bpe, name, positions):
    codec = bpe if name == "bpe" else compressors.get(name)
    within, without = translate(model, DOCUMENTS, codec, positions=positions)
    bits, right, bits_without, n_bytes = 0.0, 0, 0.0, 0
    for document in DOCUMENTS[1:]:
        fitting = [n for n in range(len(document) + 1) if n + len(codec.encode(document[:n])) + 4 <= positions]
        text = document[: fitting[-1]]
        context = [
            ids.BOS,
            ids.COMP_OPEN,
            *model.alphabet.symbol_ids("bpe", codec.encode(text)),
            ids.COMP_CLOSE,
            ids.RAW_OPEN,
        ]
        assert len(context) + len(text) <= positions
        one, hits = slow(model, text, context)
        bits, right, n_bytes = bits + one, right + hits, n_bytes + len(text)
        bits_without += slow(model, text, [ids.BOS, ids.RAW_OPEN])[0]
    assert within.bits == pytest.approx(bits, rel=1e-4)
    assert without.bits == pytest.approx(bits_without, rel=1e-4)
    assert (within.right, within.n_bytes, within.documents) == (right, n_bytes, 4)


def test_what_is_the_likeliest_is_right(model, bpe):
    """The model's own greedy text, scored without the view: every byte right, every document exact."""
    (text,) = complete(model, [b""], Sampling(max_bytes=12, temperature=0), context=100)
    found = translate(model, [text, text[:-1] + bytes([text[-1] ^ 1])], bpe, positions=100)[1].to_json()
    assert (found["byte_accuracy"], found["exact"]) == ((2 * len(text) - 1) / (2 * len(text)), 0.5)
    with pytest.raises(InputError, match="nothing to translate"):
        translate(model, [b"", b"abc"], bpe, positions=4)


def test_names_are_renamed_everywhere_and_nothing_else_changes():
    text = "def area(width):\n    if width:  # the width\n        return width * other\n" + "".join(
        f"name_{i} = name_{i} + if_{i}\n" for i in range(300)
    )
    (found,) = changed([text.encode()], "renamed")
    assert changed([text.encode()], "renamed") == [found] != changed([text.encode()], "renamed", seed=1)
    before, after = text.split(), found.decode().split()
    pairs = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
    assert 15 < len(pairs) < 50
    assert all(a.startswith("name_") for a, _ in pairs)  # the others are keywords, or occur once
    assert len({b for _, b in pairs}) == len(pairs) == len({a for a, _ in pairs})
    assert all(len(b) == len(a) for a, b in pairs)
    assert changed([b"\xff\xfe ab ab", b""], "white_space")[1] == b""
    assert renamed("", None) == ""
