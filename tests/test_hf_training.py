"""Exports are trained on in `transformers`: gradients, Trainer, LoRA, saved and read back, also in bf16."""

import pytest
import torch

from proxylm.data.alphabet import RAW_SIZE
from tests.exported import exports, opened, quietly

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v:FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def quiet(tmp_path_factory):
    yield from quietly(tmp_path_factory.mktemp("modules"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return exports(tmp_path_factory.mktemp("hf"))


def test_gradient_checkpointing_gives_the_same_gradients(folders):
    ids = torch.randint(64, RAW_SIZE, (2, 30), generator=torch.Generator().manual_seed(1))
    gradients = []
    for checkpointing in (False, True):
        made = opened(folders("all")).train()
        if checkpointing:
            made.gradient_checkpointing_enable()
        made(ids, labels=ids).loss.backward()
        gradients.append(made.model.layers[0].self_attn.k_proj.weight.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_saved_and_read_back_also_in_bf16(folders, tmp_path):
    merges = opened(folders("merges"))
    merges.save_pretrained(tmp_path / "again")
    again = opened(tmp_path / "again")
    ids = torch.randint(0, RAW_SIZE, (2, 20), generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(ids).logits, merges(ids).logits)
    rounded = opened(folders("merges"), dtype=torch.bfloat16)
    assert {p.dtype for p in rounded.parameters()} == {torch.bfloat16}
    difference = (rounded(ids).logits.float() - merges(ids).logits).abs().max() / merges(ids).logits.abs().max()
    assert difference < 0.1
    rounded.generate(ids, max_new_tokens=3)


def test_trainer_takes_twenty_steps(folders, tmp_path):
    pytest.importorskip("accelerate")
    made = opened(folders("all"))
    rows = [
        {
            "input_ids": [1, 12, *(64 + b for b in b"the same text")],
            "labels": [1, 12, *(64 + b for b in b"the same text")],
        }
    ] * 40
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"), max_steps=20, per_device_train_batch_size=2, learning_rate=3e-3, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True, gradient_checkpointing=True, logging_steps=5, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = transformers.Trainer(made, arguments, train_dataset=rows)
    trainer.train()
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert losses[-1] < losses[0]
    trainer.save_model(tmp_path / "saved")
    opened(tmp_path / "saved")


def test_lora_takes_a_step(folders):
    peft = pytest.importorskip("peft")
    made = peft.get_peft_model(
        opened(folders("merges")), peft.LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM")
    )
    ids = torch.randint(64, RAW_SIZE, (2, 20), generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD((p for p in made.parameters() if p.requires_grad), 1.0)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = made(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    made.generate(input_ids=ids, max_new_tokens=2)
