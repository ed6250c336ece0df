"""What a GPU needs of a step, tested without one: meta tensors refuse whatever would have to be counted on the device."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from compressors.corpus import Document
from proxylm.config import MixConfig, ModelConfig, Phase, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.model import attention, embeddings, heads
from proxylm.model.decoder import Decoder
from proxylm.training import distributed, fsdp, optim
from proxylm.training.distributed import Place
from proxylm.training.precision import numerics
from proxylm.training.run_plan import RunPlan
from proxylm.training.shipping import packed
from proxylm.training.trainer import Trainer

CPU, META = Place(torch.device("cpu")), torch.device("meta")
EVERYTHING = MixConfig(
    phases=(Phase(until=1.0, start=0.7, end=0.7, views={"bpe": 1.0, "bpe:merges=64": 1.0, "bpe:bags=4": 1.0}),),
    chunk=62,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("devices") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:30])], path, {"bpe": bpe})


def trainer_of(store, **options):
    """A run with symbols, merges, bags, n-grams, extra heads and grouped queries."""
    shape = ModelConfig(d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, hash_ngrams=3, ngram_rows=64, n_ahead=2)
    train = TrainConfig(**{"steps": 3, "rows": 8, "row_length": 64, "dtype": "fp32"} | options)
    return Trainer(RunPlan.of(store, RunConfig(train=train, model=shape, mix=EVERYTHING)), CPU)


def test_nothing_inside_a_step_waits_for_the_device(store, monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # meta is not known to it
    trainer = trainer_of(store)
    batch = trainer.loader.batch(0)
    sent = packed(batch, trainer.loader.alphabet, len(trainer.loader.heads), 2, META).to(META)
    assert batch.bags is not None
    assert all(len(places) for places in (*sent.selection.heads, *sent.selection.ahead))
    assert len(sent.selection.bags)
    assert len(sent.selection.merges)
    model = trainer.model.to("meta")
    hidden = model(sent.ids, sent.doc, bags=sent.bags, selection=sent.selection)
    args = (hidden, sent.targets, sent.mode, trainer.loader.heads, sent.bags, sent.doc)
    model.heads.nats(*args, sent.selection).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(NotImplementedError):  # masks are counted
        model.heads.nats(*args)


def test_gradients_of_replicas_are_summed_and_dealt_out_without_waiting(store, monkeypatch):
    """The messages of two processes and the share of the first, on a device that gives no number away."""
    sent = []
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: sent.append(tensor.device.type))
    monkeypatch.setattr(dist, "all_gather_single", lambda *_: sent.append("matrices"), raising=False)
    monkeypatch.setattr(dist, "get_backend_config", lambda: "cpu:gloo,cuda:nccl")
    trainer = trainer_of(store)
    model, place = trainer.model.to("meta"), Place(META, 0, 2)
    unused, *rest = model.parameters()
    for parameter in rest:
        parameter.grad = torch.empty_like(parameter)
    place.reduce_gradients(model)
    assert sent == ["cpu", "meta"]
    assert unused.grad is None
    assert all(parameter.grad is not None for parameter in rest)
    matrices = list(model.matrices())
    optim.Muon(matrices, 0.02, place=place).step()
    assert sent[2:] == ["matrices"]


def test_shipped_places_are_those_of_the_masks(store):
    """Forward and backward, bit for bit."""
    trainer = trainer_of(store)
    (sent,) = trainer.rows_of(0).parts
    found = []
    for selection in (None, sent.selection):
        trainer.model.zero_grad(set_to_none=True)
        hidden = trainer.model(sent.ids, sent.doc, bags=sent.bags, selection=selection)
        nats = trainer.model.heads.nats(
            hidden, sent.targets, sent.mode, trainer.loader.heads, sent.bags, sent.doc, selection
        )
        nats.sum().backward()
        found.append([nats.detach(), *(p.grad.clone() for p in trainer.model.parameters())])
    assert all(one.equal(other) for one, other in zip(*found, strict=True))


def test_padded_bags_are_the_listed_ones():
    torch.manual_seed(0)
    table, n_bytes = torch.randn(4 * 256, 8), torch.randint(1, 5, (50,))
    there = torch.arange(4) < n_bytes[:, None]
    rows = torch.where(there, torch.arange(4) * 256 + torch.randint(0, 256, (50, 4)), torch.arange(4) * 256 - 1)
    padded, listed = (f(rows, there, n_bytes, table) for f in (embeddings._padded, embeddings._listed))
    torch.testing.assert_close(padded, listed)


def test_the_losses_of_the_parts_of_a_step_are_fetched_once(store, monkeypatch):
    """One transfer of the sums at the beginning, which are on the CPU, and one at the end, however many parts there are."""
    asked = []
    summed = Place.summed
    monkeypatch.setattr(Place, "summed", lambda self, values: asked.append(values.shape) or summed(self, values))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: asked.append("cpu") or self)
    trainer = trainer_of(store, micro_rows=1, norms_every=100)
    asked.clear()
    trainer.step(0)
    assert len(asked) == 4  # two sums, each with its way to the CPU


def test_logits_held_at_once_follow_the_device():
    assert heads._rows(32768, torch.device("cpu")) == 128
    assert heads._rows(32768, torch.device("cuda")) == 4096


def test_masked_attention_on_a_gpu_has_no_grouped_heads(monkeypatch):
    """The fused kernels take a mask or grouped heads, not both."""
    kept = []
    plain = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: kept.append((a, k)) or plain(*a, **k))
    q, k, mask = torch.randn(2, 4, 8, 16), torch.randn(2, 2, 8, 16), torch.ones(2, 1, 8, 8, dtype=torch.bool).tril()
    expected = attention.attend(q, k, k, mask, grouped=True)
    attention.attend(q.to("meta"), k.to("meta"), k.to("meta"), mask.to("meta"), grouped=True)
    assert kept[-1][1]["enable_gqa"] is False
    assert kept[-1][0][1].shape == q.shape
    repeated = plain(q, *[k.repeat_interleave(2, 1)] * 2, mask)
    torch.testing.assert_close(repeated, expected)


def test_blocks_that_are_computed_again_give_the_same_bits_and_keep_less(store):
    kept, found = [], []
    for recompute in (False, True):
        trainer = trainer_of(store, recompute=recompute)
        held = {}

        def pack(tensor, held=held):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            nats = trainer._nats(trainer.rows_of(0).parts[0])
        kept.append(sum(held.values()))
        nats.sum().backward()
        found.append([p.grad for p in trainer.model.parameters()])
    assert kept[1] < 0.6 * kept[0]
    assert all(one.equal(other) for one, other in zip(*found, strict=True))


def test_tf32_and_determinism_last_as_long_as_the_run():
    before = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    with numerics(TrainConfig(steps=1, tf32=True, deterministic=True)):
        assert (torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()) == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_group_on_gpus_is_bound_to_the_device_waits_long_and_has_gloo_for_the_cpu(monkeypatch):
    kept = {}
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **rest: kept.update(rest, backend=backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    with Place.here() as place:
        assert place.device == torch.device("cuda", 1) == kept["device_id"]
    assert kept["backend"] == "cpu:gloo,cuda:nccl"
    assert kept["timeout"] == distributed.TIMEOUT > timedelta(minutes=10)


def test_blocks_are_compiled_before_they_are_sliced_and_only_the_first_process_holds_the_model(store, monkeypatch):
    """So the hooks that gather parameters stay outside what is compiled."""
    order, of = [], Decoder.of.__func__

    def made(cls, *args):
        model = of(cls, *args)
        order.append(next(model.parameters()).device.type)
        return model

    monkeypatch.setattr(Decoder, "of", classmethod(made))
    monkeypatch.setattr(torch, "compile", lambda forward, **_: order.append("compiled") or forward)
    monkeypatch.setattr(fsdp, "shard", lambda model, place, dtype: order.append("sliced"))
    monkeypatch.setattr(fsdp, "filled", lambda model, first, place: model.to_empty(device="cpu"))
    monkeypatch.setattr(Place, "summed", lambda self, values: values)
    train = TrainConfig(steps=1, rows=2, row_length=32, dtype="fp32", compile=True, shard=True, attention="bands")
    plan = RunPlan.of(store, RunConfig(train=train, model=ModelConfig(d_model=16, n_layers=2, n_heads=2)))
    for rank, last in ((1, []), (0, ["cpu", "compiled", "compiled"])):
        order.clear()
        Trainer(plan, Place(torch.device("cpu"), rank, 2))
        assert order == ["meta", "compiled", "compiled", "sliced", *last]
