import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from proxylm import heads
from proxylm.alphabet import RAW_SIZE, Alphabet
from proxylm.config import ModelConfig
from proxylm.model import Decoder, document_mask, document_positions, training_flops
from proxylm.optim import orthogonal

ALPHABET = Alphabet({"a": 100, "b": 7})


def model(**options):
    torch.manual_seed(0)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=4, **options), ALPHABET)
    for parameter in made.parameters():  # the zeros of a fresh model would hide mistakes
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_alphabet_offsets():
    assert (ALPHABET.offset("raw"), ALPHABET.offset("a"), ALPHABET.offset("b"), ALPHABET.size) == (64, 320, 420, 427)


@pytest.mark.parametrize("kv", [None, 2])
def test_documents_in_a_row_do_not_see_each_other(kv):
    made = model(n_kv_heads=kv)
    a, b = torch.randint(64, 320, (1, 9)), torch.randint(64, 320, (1, 7))
    together = made(torch.cat([a, b], 1), torch.tensor([[0] * 9 + [1] * 7]))
    torch.testing.assert_close(together[:, :9], made(a))
    torch.testing.assert_close(together[:, 9:], made(b))


def test_attention_is_causal():
    made, x = model(), torch.randint(64, 320, (1, 12))
    y = x.clone()
    y[0, 7] = 65
    torch.testing.assert_close(made(x)[:, :7], made(y)[:, :7])
    assert not torch.allclose(made(x)[:, 7:], made(y)[:, 7:])


def test_mask_and_positions():
    doc = torch.tensor([[0, 0, 1, 1, 1, -1]])
    assert document_positions(doc).tolist() == [[0, 1, 0, 1, 2, 0]]
    assert document_mask(doc)[0, 0].int().tolist()[4] == [0, 0, 1, 1, 1, 0]


def test_cache_gives_the_same_hidden_states():
    made, x = model(n_kv_heads=2), torch.randint(64, 320, (1, 10))
    cache = []
    steps = [made(x[:, :4], cache=cache)] + [made(x[:, i : i + 1], cache=cache, start=i) for i in range(4, 10)]
    torch.testing.assert_close(torch.cat(steps, 1), made(x))


@pytest.mark.parametrize("chunk", [1, 300, 1 << 22])
def test_sliced_chunked_loss_and_gradients_equal_the_plain_ones(chunk, monkeypatch):
    monkeypatch.setattr(heads, "CHUNK_LOGITS", chunk)
    made = model()
    hidden = torch.randn(2, 11, 32, requires_grad=True)
    mode = torch.rand(2, 11) < 0.5
    targets = torch.where(mode, torch.randint(320, 427, (2, 11)), torch.randint(64, 320, (2, 11)))
    targets[0, :3] = -1
    targets[1, :4] = torch.tensor([13, 2, 15, 2])  # specials are in both heads
    raw, comp = made.heads.nats(hidden, targets, mode)
    (raw + 2 * comp).backward()
    found = [hidden.grad.clone(), made.heads.raw.grad.clone(), made.heads.comp.grad.clone()]
    hidden.grad = made.heads.raw.grad = made.heads.comp.grad = None

    scored = targets >= 0
    raw_plain = F.cross_entropy(hidden[scored & ~mode] @ made.heads.raw.T, targets[scored & ~mode], reduction="sum")
    full = torch.cat([made.heads.raw[:64], made.heads.comp])
    local = torch.where(targets < 64, targets, targets - 256)
    comp_plain = F.cross_entropy(hidden[scored & mode] @ full.T, local[scored & mode], reduction="sum")
    (raw_plain + 2 * comp_plain).backward()
    torch.testing.assert_close((raw, comp), (raw_plain, comp_plain))
    for a, b in zip(found, [hidden.grad, made.heads.raw.grad, made.heads.comp.grad], strict=True):
        torch.testing.assert_close(a, b)
    for view, flag in ((mode & scored, True), (~mode & scored, False)):
        total = made.heads.token_nats(hidden[view], targets[view], flag).sum()
        torch.testing.assert_close(total, comp.detach() if flag else raw.detach())


def test_uniform_model_gives_exactly_log2_of_the_slice():
    made = model()
    torch.nn.init.zeros_(made.heads.raw)
    torch.nn.init.zeros_(made.heads.comp)
    hidden, targets = torch.randn(1, 8, 32), torch.full((1, 8), 70)
    raw, _ = made.heads.nats(hidden, targets, torch.zeros(1, 8, dtype=torch.bool))
    _, comp = made.heads.nats(hidden, targets + 300, torch.ones(1, 8, dtype=torch.bool))
    assert raw.item() / 8 == pytest.approx(np.log(RAW_SIZE), rel=1e-6)
    assert comp.item() / 8 == pytest.approx(np.log(64 + 107), rel=1e-6)


@pytest.mark.parametrize("kv", [None, 2])
def test_flops_equal_those_counted_by_torch(kv):
    made = model(n_kv_heads=kv)
    ids, targets = torch.randint(64, 320, (3, 16)), torch.randint(64, 320, (3, 16))
    mode = torch.zeros(3, 16, dtype=torch.bool)
    mode[:, 8:] = True
    targets[mode] = 320 + targets[mode] % 100
    targets[:, 0] = -1
    # Plain attention: the counter has no formula for the fused kernel of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        made.heads.nats(made(ids, torch.zeros(3, 16)), targets, mode)
    n_raw, n_comp = int(((targets >= 0) & ~mode).sum()), int(((targets >= 0) & mode).sum())
    ours = training_flops(made.config, ALPHABET, 16, 3, n_raw, n_comp) / 3
    # The heads compute their gradients in the forward pass: two thirds of their work come early.
    early = 2 * 2 * 32 * (n_raw * RAW_SIZE + n_comp * (64 + 107))
    assert counter.get_total_flops() == pytest.approx(ours + early, rel=1e-6)


def test_orthogonal_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (2, 40, 16), (1, 24, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3
