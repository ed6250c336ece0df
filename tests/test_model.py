import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from proxylm.config import ModelConfig
from proxylm.data.alphabet import RAW_SIZE, RAW_SLICE, Alphabet, HeadSlice, byte_ids
from proxylm.model import heads
from proxylm.model.attention import document_mask
from proxylm.model.decoder import Decoder, document_positions
from proxylm.model.flops import training_flops
from proxylm.model.kv_cache import Cache
from proxylm.training.newton_schulz import orthogonal

ALPHABET = Alphabet({"a": 100, "b": 7})


def model(**options):
    torch.manual_seed(0)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=4, **options), ALPHABET)
    for parameter in made.parameters():  # the zeros of a fresh model would hide mistakes
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_alphabet_offsets():
    firsts = [int(ALPHABET.symbol_ids(view, np.array([0]))[0]) for view in ("a", "b")]
    assert (byte_ids(np.zeros(1, np.uint8)), *firsts, ALPHABET.size) == (64, 320, 420, 427)
    both = Alphabet({"a": 300}, {"a": 44, "b": 1})  # merges come first, and single bytes are those of the raw text
    assert (both.n_merges, both.size) == (45, 320 + 45 + 300)
    assert both.merge_ids("a", np.array([65, 256, 299])).tolist() == [64 + 65, 320, 363]
    assert both.merge_ids("b", np.array([0, 255, 256])).tolist() == [64, 319, 364]
    assert both.symbol_ids("a", np.array([0, 299])).tolist() == [365, 664]
    assert both.merge_head("b", 1) == HeadSlice(320, 44, 45)
    assert both.merge_head("a", 7) == HeadSlice(320, 0, 7)
    assert both.symbol_head("a") == HeadSlice(64, 45, 345)
    assert ALPHABET.symbol_head("b") == HeadSlice(64, 100, 107)


@pytest.mark.parametrize("options", [{}, {"n_kv_heads": 2}, {"partial_key_offset": True}])
def test_documents_in_a_row_do_not_see_each_other(options):
    made = model(**options)
    a, b = torch.randint(64, 320, (1, 9)), torch.randint(64, 320, (1, 7))
    together = made(torch.cat([a, b], 1), torch.tensor([[0] * 9 + [1] * 7]))
    torch.testing.assert_close(together[:, :9], made(a))
    torch.testing.assert_close(together[:, 9:], made(b))


@pytest.mark.parametrize("partial_key_offset", [False, True])
def test_attention_is_causal(partial_key_offset):
    made, x = model(partial_key_offset=partial_key_offset), torch.randint(64, 320, (1, 12))
    y = x.clone()
    y[0, 7] = 65
    torch.testing.assert_close(made(x)[:, :7], made(y)[:, :7])
    assert not torch.allclose(made(x)[:, 7:], made(y)[:, 7:])


def test_half_of_a_shifted_key_is_that_of_the_position_before():
    made, x = model(partial_key_offset=True), torch.randn(1, 5, 32)
    attention, where = made.blocks[0].attention, made.where(torch.tensor([[0, 1, 2, 0, 1]]))
    found = attention(x, where, document_mask(torch.tensor([[0, 0, 0, 1, 1]])), None)

    # Pair by pair: of the four pairs (i, i + 4) of a head of 8 the last two are the slow ones.
    split = [projection(x)[0].view(5, 4, 8) for projection in (attention.q, attention.k, attention.v)]
    q, k = (norm(part) for norm, part in zip((attention.q_norm, attention.k_norm), split, strict=False))
    at = [0, 1, 2, 0, 1]
    turned = [[[_turned(part[t, h], at[t]) for h in range(4)] for t in range(5)] for part in (q, k)]
    expected = torch.zeros(5, 4, 8)
    for t in range(5):
        for h in range(4):
            scores = []
            for s in range(t - at[t], t + 1):
                fast = turned[1][s][h]
                slow = turned[1][s - 1][h] if at[s] else torch.zeros(4, dtype=torch.complex64)
                key = torch.cat([fast[:2], slow[2:]])
                scores.append((turned[0][t][h] * key.conj()).real.sum() / 8**0.5)
            weights = torch.stack(scores).softmax(0)
            expected[t, h] = sum(w * split[2][t - at[t] + i, h] for i, w in enumerate(weights))
    torch.testing.assert_close(found[0], attention.o(expected.view(5, 32)))


def _turned(x, position):
    """(4,) complex pairs of one head (8,), rotary."""
    return torch.complex(x[:4], x[4:]) * torch.polar(torch.ones(4), position * 10_000.0 ** (-torch.arange(4) / 4))


def test_mask_and_positions():
    doc = torch.tensor([[0, 0, 1, 1, 1, -1]])
    assert document_positions(doc).tolist() == [[0, 1, 0, 1, 2, 0]]
    assert document_mask(doc)[0, 0].int().tolist()[4] == [0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("partial_key_offset", [False, True])
def test_cache_gives_the_same_hidden_states(partial_key_offset):
    """Rows of different lengths, padded behind, continue by one id and by several; one row is taken back, one is dropped."""
    made, x = model(n_kv_heads=2, partial_key_offset=partial_key_offset), torch.randint(64, 320, (3, 20))
    cache, whole = Cache(made.config, 3, 20, x.new_zeros((), dtype=torch.float32)), made(x)
    read = [2, 5, 4]
    padded = torch.tensor([[*x[i, :n].tolist(), *[0] * (5 - n)] for i, n in enumerate(read)])
    hidden = made(padded, cache=cache)
    for i, n in enumerate(read):
        torch.testing.assert_close(hidden[i, :n], whole[i, :n])
    cache.lengths = read = [2, 3, 4]  # the second forgets two
    for T in (1, 3, 1, 4):
        hidden = made(torch.stack([x[i, n : n + T] for i, n in enumerate(read)]), cache=cache)
        for i, n in enumerate(read):
            torch.testing.assert_close(hidden[i], whole[i, n : n + T])
        cache.lengths = read = [n + T for n in read]
        if T == 3:
            cache.keep([0, 2])
            x, whole, read = x[[0, 2]], whole[[0, 2]], cache.lengths
    other = Cache(made.config, 1, 4, cache.keys)
    made(x[1:, :4], cache=other)
    other.lengths = [4]
    cache.put([0], other)
    hidden = made(x[1:, 4:5].expand(2, 1), cache=cache)
    torch.testing.assert_close(hidden[0], whole[1, 4:5])


@pytest.mark.parametrize("chunk", [1, 300, 1 << 22])
def test_sliced_chunked_loss_and_gradients_equal_the_plain_ones(chunk, monkeypatch):
    monkeypatch.setitem(heads.CHUNK_LOGITS, "cpu", chunk)
    made = model()
    hidden = torch.randn(2, 11, 32, requires_grad=True)
    slices = (RAW_SLICE, HeadSlice(64, 0, 50), HeadSlice(RAW_SIZE, 100, 107))  # the last: shared bytes
    mode = torch.randint(3, (2, 11))
    mode[1, :4] = torch.tensor([0, 0, 1, 2])
    first, last = torch.tensor([64, 320, 420]), torch.tensor([320, 370, 427])
    targets = first[mode] + (torch.rand(2, 11) * (last - first)[mode]).long()
    targets[0, :3] = -1
    targets[1, :4] = torch.tensor([13, 2, 15, 99])  # specials are in all softmaxes, bytes in the last
    nats = made.heads.nats(hidden, targets, mode, slices)
    (nats * torch.tensor([1, 2, 3])).sum().backward()
    found = [hidden.grad.clone(), made.heads.raw.grad.clone(), made.heads.comp.grad.clone()]
    hidden.grad = made.heads.raw.grad = made.heads.comp.grad = None

    plain = []
    for number, head in enumerate(slices):
        here = (targets >= 0) & (mode == number)
        rows = torch.cat([made.heads.raw[: head.common], made.heads.comp[head.first : head.last]])
        places = [int(t) if t < head.common else int(t) - 320 - head.first + head.common for t in targets[here]]
        plain.append(F.cross_entropy(hidden[here] @ rows.T, torch.tensor(places), reduction="sum"))
        total = made.heads.token_nats(hidden[here], targets[here], head).sum()
        torch.testing.assert_close(total, plain[-1].detach())
    torch.testing.assert_close(nats, torch.stack(plain))
    sum(weight * loss for weight, loss in enumerate(plain, 1)).backward()
    for a, b in zip(found, [hidden.grad, made.heads.raw.grad, made.heads.comp.grad], strict=True):
        torch.testing.assert_close(a, b)


def test_uniform_model_gives_exactly_log2_of_the_slice():
    made = model()
    torch.nn.init.zeros_(made.heads.raw)
    torch.nn.init.zeros_(made.heads.comp)
    hidden, targets = torch.randn(1, 8, 32), torch.full((1, 8), 70)
    slices = (RAW_SLICE, ALPHABET.symbol_head("a"))
    raw, _ = made.heads.nats(hidden, targets, torch.zeros(1, 8), slices)
    _, comp = made.heads.nats(hidden, targets + 300, torch.ones(1, 8), slices)
    assert raw.item() / 8 == pytest.approx(np.log(RAW_SIZE), rel=1e-6)
    assert comp.item() / 8 == pytest.approx(np.log(64 + 100), rel=1e-6)


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
        made.heads.nats(made(ids, torch.zeros(3, 16)), targets, mode, (RAW_SLICE, ALPHABET.symbol_head("a")))
    n_raw, n_comp = int(((targets >= 0) & ~mode).sum()), int(((targets >= 0) & mode).sum())
    ours = training_flops(made.config, 16, 3, [(RAW_SLICE, n_raw), (ALPHABET.symbol_head("a"), n_comp)]) / 3
    # The heads compute their gradients in the forward pass: two thirds of their work come early.
    early = 2 * 2 * 32 * (n_raw * RAW_SIZE + n_comp * (64 + 100))
    assert counter.get_total_flops() == pytest.approx(ours + early, rel=1e-6)


def test_orthogonal_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (2, 40, 16), (1, 24, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3
