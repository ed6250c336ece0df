"""Leaving proxylm: the raw part of a model as a stock Hugging Face checkpoint (Qwen3), with a byte-level tokenizer.

What only the compressed views needed is dropped: their rows of embedding and head, and the vectors of places in bags; also
the extra heads, which Qwen3 has no place for and whose absence changes no text. Ids stay as in `proxylm.data.alphabet`: 64 specials, then the bytes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from compressors.atomic import sync_folder
from compressors.errors import InputError, InvalidConfig
from proxylm.config import ModelConfig
from proxylm.data import frame
from proxylm.data.alphabet import BYTE_OFFSET, N_SPECIALS, RAW_SIZE
from proxylm.model.decoder import Decoder

PAD = 0
_BEGIN, _OPEN = frame.opening()
_CLOSE, _END = frame.closing()
_NAMED = {PAD: "<|pad|>", _BEGIN: "<|bos|>", _END: "<|eos|>", _OPEN: "<|raw|>", _CLOSE: "<|/raw|>"}
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
_DROPPED = ("heads.comp", "embedding.places", "embedding.pieces", "heads.ahead.")  # names, or how they begin


def export(model: Decoder, folder: Path, *, context: int) -> int:
    """Write `folder`, which must not exist yet or be empty, for `AutoModelForCausalLM` and `AutoTokenizer`; return its parameters.

    context: positions the model was trained on. Raises `InputError`, or `InvalidConfig` for a model that is no Qwen3.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty; choose another folder or delete it")
    tensors, folder = _tensors(model), folder.resolve()  # "." has no name to put another beside
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config.json", _config(model.config, context)),
        ("generation_config.json", _generation_config()),
        ("tokenizer_config.json", _tokenizer_config(context)),
    ):
        (temporary / name).write_text(json.dumps(content, indent=1) + "\n")
    byte_tokenizer().save(str(temporary / "tokenizer.json"))
    folder.mkdir(exist_ok=True)  # filled, not replaced: somebody may be in it
    for file in sorted(
        temporary.iterdir(), key=lambda file: file.name == "config.json"
    ):  # last: it makes the folder a model
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
        os.replace(file, folder / file.name)
    temporary.rmdir()
    sync_folder(folder)
    return sum(tensor.numel() for tensor in tensors.values())


def byte_tokenizer() -> Tokenizer:
    """Byte b is id 64 + b, and a text begins `bos <raw>`; there are no merges, so no special comes of a text's bytes.

    `tokenizers` finds the names of specials in a text all the same, unless `encode_special_tokens` is set; `transformers`
    sets it, as tokenizer_config.json says.
    """
    # The 256 characters that stand for bytes in byte-level tokenizers, printable bytes for themselves (GPT-2).
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    specials = [_NAMED.get(i, f"<|special_{i}|>") for i in range(N_SPECIALS)]
    vocab = {name: i for i, name in enumerate(specials)} | {c: BYTE_OFFSET + b for b, c in characters.items()}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    opening = [(_NAMED[i], i) for i in frame.opening()]
    marks = " ".join(name for name, _ in opening)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{marks} $A", pair=f"{marks} $A $B", special_tokens=opening
    )
    return tokenizer


def _tensors(model: Decoder) -> dict[str, Tensor]:
    """The weights of raw bytes, fp32, by the names of `Qwen3ForCausalLM`. Raises `InvalidConfig`."""
    if model.config.partial_key_offset:
        raise InvalidConfig(
            "the model has partial_key_offset, for which Qwen3 has no place; train one without them to export it"
        )
    found = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(_DROPPED):
            continue
        if name == "embedding.weight":
            found["model.embed_tokens.weight"] = tensor[:RAW_SIZE]
        elif name == "heads.raw":
            found["lm_head.weight"] = tensor
        elif name == "norm.weight":
            found["model.norm.weight"] = tensor
        elif (block := re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)) and block[2] in _BLOCK:
            found[f"model.layers.{block[1]}.{_BLOCK[block[2]]}.weight"] = tensor
        else:
            raise InvalidConfig(
                f"the model has {name}, for which Qwen3 has no place; train one without it to export it"
            )
    return {name: tensor.detach().cpu().float().clone().contiguous() for name, tensor in found.items()}


def _config(config: ModelConfig, context: int) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": RAW_SIZE,
        "hidden_size": config.d_model,
        "intermediate_size": config.ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.d_model // config.n_heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": config.rope_theta,  # up to transformers 4
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # from 5
        "max_position_embeddings": context,
        "attention_bias": False,
        "use_sliding_window": False,
        "tie_word_embeddings": False,
        "dtype": "float32",
        "bos_token_id": _BEGIN,
        "eos_token_id": _CLOSE,
        "pad_token_id": PAD,
    }


def _generation_config() -> dict[str, Any]:
    """Of the specials only the closing mark is ever drawn, and it ends the text, as in `proxylm.generation`."""
    return {
        "bos_token_id": _BEGIN,
        "eos_token_id": _CLOSE,
        "pad_token_id": PAD,
        "suppress_tokens": [i for i in range(N_SPECIALS) if i != _CLOSE],
    }


def _tokenizer_config(context: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _NAMED[_BEGIN],
        "eos_token": _NAMED[_CLOSE],
        "pad_token": _NAMED[PAD],
        "padding_side": "left",
        "split_special_tokens": True,  # the name of a special in a text is text
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
