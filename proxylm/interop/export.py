"""Leaving proxylm: the raw part of a model as a folder that `transformers` opens, with a byte-level tokenizer.

A plain model is a stock Qwen3. One with hashed n-grams, offset keys or extra heads brings its modelling file
(`proxylm.interop.modeling_proxylm`) along, for `trust_remote_code=True`.

What only the compressed views needed is dropped: their rows of embedding and head, and the vectors of places in bags. Ids
stay as in `proxylm.data.alphabet`: 64 specials, then the bytes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from compressors.atomic import sync_folder
from compressors.errors import InputError, InvalidConfig
from proxylm.config import ModelConfig
from proxylm.data.alphabet import RAW_SIZE
from proxylm.interop.byte_tokenizer import SPECIAL_IDS, byte_tokenizer, generation_config, tokenizer_config
from proxylm.model.decoder import Decoder

MODELLING = Path(__file__).with_name("modeling_proxylm.py")
# Our names of parameters, and those of Qwen3 in `transformers`: of a block, then of the rest.
_BLOCK = {
    "attention_norm": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.o": "self_attn.o_proj",
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
    "mlp_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_WHOLE = {
    "heads.raw": "lm_head.weight",
    "norm.weight": "model.norm.weight",
    "embedding.ngrams.table": "model.ngrams.weight",
}
_DROPPED = ("heads.comp", "embedding.places", "embedding.pieces")  # names, or how they begin
_EXTRA_HEADS = "heads.ahead."


def export(
    model: Decoder,
    folder: Path,
    *,
    context: int,
    extra_heads: bool = False,
    check: bool = False,
    card: Callable[[int, bool], str] | None = None,
) -> int:
    """Write `folder`, which must not exist yet or be empty, for `AutoModelForCausalLM` and `AutoTokenizer`; return its parameters.

    context: positions the model was trained on. extra_heads: keep them; without them generation takes more passes, and
    writes the same. check: compare logits in `transformers` first. card: makes README.md of the number of parameters, and of
    whether the export needs its modelling file. Nothing is left of an export that fails. Raises
    `InputError`, or `InvalidConfig` for a model that has something unknown.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty; choose another folder or delete it")
    kept = extra_heads and model.heads.ahead is not None
    config = config_of(model.config, context, kept)
    tensors, folder = _tensors(model, kept), folder.resolve()  # "." has no name to put another beside
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another folder") from error
    try:
        _write(temporary, tensors, config, context)
        n_parameters = sum(tensor.numel() for tensor in tensors.values())
        if card is not None:
            (temporary / "README.md").write_text(card(n_parameters, "auto_map" in config))
        if check:
            compare(model, temporary)
        _put(temporary, folder)
    except SafetensorError as error:  # a full disk, as safetensors says it
        raise InputError(f"cannot write {folder}: {error}; free some space or choose another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return n_parameters


def _write(folder: Path, tensors: dict[str, Tensor], config: dict[str, Any], context: int) -> None:
    """Write all files of an export: weights, configuration, tokenizer, and the modelling file if one is needed."""
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config.json", config),
        ("generation_config.json", generation_config()),
        ("tokenizer_config.json", tokenizer_config(context)),
    ):
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    if "auto_map" in config:
        shutil.copyfile(MODELLING, folder / MODELLING.name)


def _put(temporary: Path, folder: Path) -> None:
    """Move the files into their folder, which is filled, not replaced: somebody may be in it."""
    folder.mkdir(exist_ok=True)
    files = [file for file in temporary.iterdir() if file.is_file()]
    for file in sorted(files, key=lambda file: file.name == "config.json"):  # last: it makes the folder a model
        shutil.copymode(temporary / "config.json", file)  # safetensors makes files that only their owner can read
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
        os.replace(file, folder / file.name)
    sync_folder(folder)


@torch.no_grad()
def compare(model: Decoder, folder: Path) -> float:
    """The largest difference of a logit between `model` and the export in `folder`, both on the device of `model`.

    Raises `InputError` if it is more than rounding: 1e-4 of the largest logit, in bf16 a twentieth.
    """
    from transformers import AutoModelForCausalLM

    device = model.embedding.weight.device
    ids = torch.randint(0, RAW_SIZE, (2, 64), generator=torch.Generator().manual_seed(0)).to(device)
    ours = model.heads.raw_logits(model(ids)).float()
    try:
        theirs: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
        theirs = theirs.to(device).eval()
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(f"{folder}: transformers cannot open it ({str(error).splitlines()[0]})") from error
    rounded = "forward" in vars(model)  # as `proxylm.evaluation.placement.placed` makes it for bf16
    difference = float((theirs(ids).logits.float() - ours).abs().max())
    if not difference <= (0.05 if rounded else 1e-4) * max(1.0, float(ours.abs().max())):
        raise InputError(f"{folder}: its logits differ from the run's by up to {difference:.3g}; export the run again")
    return difference


def _tensors(model: Decoder, extra_heads: bool) -> dict[str, Tensor]:
    """The weights of raw bytes, fp32, by the names that `transformers` looks for. Raises `InvalidConfig`."""
    found = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(_DROPPED) or (name.startswith(_EXTRA_HEADS) and not extra_heads):
            continue
        if name == "embedding.weight":
            found["model.embed_tokens.weight"] = tensor[:RAW_SIZE]
        elif name in _WHOLE:
            found[_WHOLE[name]] = tensor
        elif name.startswith(_EXTRA_HEADS):
            found[f"extra_heads.{name.rpartition('.')[2]}.weight"] = tensor
        elif (block := re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)) and block[2] in _BLOCK:
            found[f"model.layers.{block[1]}.{_BLOCK[block[2]]}.weight"] = tensor
        else:
            raise InvalidConfig(f"the model has {name}, which an export has no place for; train one without it")
    return {name: tensor.detach().cpu().float().clone().contiguous() for name, tensor in found.items()}


def config_of(config: ModelConfig, context: int, extra_heads: bool) -> dict[str, Any]:
    """config.json: a Qwen3 if that is all the model is."""
    common = {
        "vocab_size": RAW_SIZE,
        "hidden_size": config.d_model,
        "intermediate_size": config.ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.d_model // config.n_heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": context,
        "tie_word_embeddings": False,
        "dtype": "float32",
        **SPECIAL_IDS,
    }
    if not (config.hash_ngrams or config.partial_key_offset or extra_heads):
        rope = {"rope_type": "default", "rope_theta": config.rope_theta}
        own = {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "use_sliding_window": False,
        }
        return own | common | {"rope_theta": config.rope_theta, "rope_parameters": rope}  # up to transformers 4; from 5
    file = MODELLING.stem
    return common | {
        "architectures": ["ProxyLMForCausalLM"],
        "model_type": "proxylm",
        "auto_map": {"AutoConfig": f"{file}.ProxyLMConfig", "AutoModelForCausalLM": f"{file}.ProxyLMForCausalLM"},
        "rotary_base": config.rope_theta,
        "hash_ngrams": config.hash_ngrams,
        "ngram_rows": config.ngram_rows if config.hash_ngrams else 0,
        "partial_key_offset": config.partial_key_offset,
        "extra_heads": config.n_ahead if extra_heads else 0,
    }
