"""A byte-level decoder of proxyc for `transformers`, in one file that needs nothing else of proxyc.

It is Qwen3 (RMSNorm, RoPE, QK-norm, SwiGLU, grouped queries, untied embeddings) with up to three things more:

    hash_ngrams         vectors of the hashed 2..n bytes that end here are added to each byte's (BLT, arXiv 2412.09871)
    partial_key_offset  the slow rotary half of each key is that of the position before (cf. arXiv 2411.19574)
    extra_heads         logits of the bytes after the next one, with `output_extra_logits=True`

Ids 0-63 are specials, 64-319 the bytes. B rows, T new positions, S with those in the cache, D model width, H heads, K head
width. The cache holds plain keys, offset when they are read: it may be of any class that keeps all, and be reordered or cropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP, Qwen3RMSNorm

BYTE_OFFSET = 64
_ODD = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 over the golden ratio, as a signed number
# Releases of transformers differ in what they call the cache in calls and in outputs.
_CACHE = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"


class ProxyLMConfig(PretrainedConfig):
    """Shapes of the model, and what it has beyond Qwen3. Raises `ValueError` for what cannot be."""

    model_type = "proxylm"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values", "cache"]
    defaults: ClassVar = {
        "vocab_size": 320, "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 4, "max_position_embeddings": 512, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rotary_base": 10_000.0, "use_cache": True, "partial_key_offset": False,
        "hash_ngrams": 0,  # bytes of the longest, 0: none
        "ngram_rows": 0,  # vectors of all n-grams together
        "extra_heads": 0,
    }  # fmt: skip

    def __init__(self, **kwargs: Any) -> None:
        found = {name: kwargs.pop(name, default) for name, default in self.defaults.items()}
        heads, kv_heads, n = found["num_attention_heads"], found["num_key_value_heads"], found["hash_ngrams"]
        sound = min(found[name] for name in list(self.defaults)[:7]) >= 1 and 0 <= found["extra_heads"] <= 7
        sound = sound and found["hidden_size"] % (2 * heads) == heads % kv_heads == 0
        if not sound or (n and not (2 <= n <= 8 and found["ngram_rows"] >= 1)):
            said = ", ".join(f"{name} {value}" for name, value in found.items())
            raise ValueError(f"no such model ({said}); was config.json edited by hand? Export the run again")
        for name, value in found.items():
            setattr(self, name, value)
        super().__init__(**{"tie_word_embeddings": False} | kwargs | {"head_dim": found["hidden_size"] // heads})


class HashNgrams(nn.Embedding):
    """Sum of the vectors of the hashed n-grams of bytes, n = 2..longest, that end at each position."""

    def __init__(self, config: ProxyLMConfig) -> None:
        self.longest, self.rows = config.hash_ngrams, config.ngram_rows  # one row more stands for "no n-gram"
        super().__init__(self.rows + 1, config.hidden_size, padding_idx=self.rows)

    def forward(self, ids: Tensor, before: Tensor, positions: Tensor) -> Tensor:
        """(B, T, D) from ids (B, T), the longest-1 ids before them, 0 for none, and positions in the document (B, T)."""
        known, T = torch.cat([before, ids], 1) - BYTE_OFFSET, ids.shape[1]
        known = torch.where((known >= 0) & (known < 256), known, -1)
        number, whole = known[:, self.longest - 1 :] + 1, known[:, self.longest - 1 :] >= 0
        x = 0
        for back in range(1, self.longest):
            first = self.longest - 1 - back
            byte = torch.where(positions >= back, known[:, first : first + T], -1)
            number, whole = number * 257 + (byte + 1), whole & (byte >= 0)  # the bytes as digits; 8 of them wrap around
            rows = torch.where(whole, ((number * _ODD) >> 32) % self.rows, self.rows)  # Fibonacci hashing
            x = x + super().forward(rows)
        return x


class Attention(nn.Module):
    """Causal, with QK-norm and rotary positions; keys may be offset."""

    def __init__(self, config: ProxyLMConfig, layer: int) -> None:
        super().__init__()
        D, K, self.layer, self.width = config.hidden_size, config.head_dim, layer, config.head_dim
        self.q_proj = nn.Linear(D, config.num_attention_heads * K, bias=False)
        self.k_proj = nn.Linear(D, config.num_key_value_heads * K, bias=False)
        self.v_proj = nn.Linear(D, config.num_key_value_heads * K, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * K, D, bias=False)
        self.q_norm, self.k_norm = Qwen3RMSNorm(K, config.rms_norm_eps), Qwen3RMSNorm(K, config.rms_norm_eps)
        self.offset = config.partial_key_offset

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, first: Tensor, cache: Any) -> Tensor:
        B, T, _ = x.shape
        q, k, v = (f(x).view(B, T, -1, self.width).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = _rotated(self.q_norm(q.float()), *turn).to(v.dtype), _rotated(self.k_norm(k.float()), *turn).to(v.dtype)
        if cache is not None:
            S = first.shape[1]
            where = {"cache_position": torch.arange(S - T, S, device=x.device)}  # static ones of transformers 4 need it
            k, v = (kept[:, :, :S] for kept in cache.update(k, v, self.layer, where))  # static ones have more room
            if k.shape[2] < S:
                raise ValueError("this cache forgets positions, all of which are looked at; use one without a window")
        if self.offset:
            k = _offset(k, first)
        y = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1])
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))


class Block(nn.Module):
    def __init__(self, config: ProxyLMConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = Qwen3RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = Qwen3RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = Qwen3MLP(config)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, first: Tensor, cache: Any) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, mask, first, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class ProxyLMPreTrainedModel(PreTrainedModel):
    config_class = ProxyLMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["Block"]
    _supports_sdpa = True

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As always, but a weight that is missing or unknown is an error: made-up numbers would go unnoticed."""
        wants_info = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if names := sorted(map(str, info.get(what) or ())):
                said = f"config.json, {what.replace('_', ' ')}: {', '.join(names[:3])}"
                raise ValueError(f"the weights do not fit {said}; was it edited by hand? Export the run again")
        return (model, info) if wants_info else model


class ProxyLMModel(ProxyLMPreTrainedModel):
    """ids -> hidden states."""

    def __init__(self, config: ProxyLMConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.ngrams = HashNgrams(config) if config.hash_ngrams else None
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = Qwen3RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embed_tokens

    def forward(
        self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None, use_cache=None,
        output_hidden_states=None, cache=None, previous_ids=None, **others,
    ):  # fmt: skip
        """Either input_ids or inputs_embeds of T positions; attention_mask (B, S) 1 for what is not padding.

        position_ids (B, T) start at 0 with each document: attention, offset keys and n-grams stay within one. previous_ids
        (B, past): all ids before these, where the cache does not know them. inputs_embeds get no n-grams.
        """
        cache = past_key_values if past_key_values is not None else cache
        checkpoints = self.gradient_checkpointing and self.training  # layers run twice, which no cache survives
        use_cache = not checkpoints and (self.config.use_cache if use_cache is None else use_cache)
        cache = DynamicCache() if cache is None and use_cache else None if checkpoints else cache
        past = 0 if cache is None else int(cache.get_seq_length())
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        B, T, _ = x.shape
        if position_ids is None:  # counted from the first that is not padding
            padded = attention_mask is not None and attention_mask.ndim == 2
            there = attention_mask.long() if padded else torch.ones(1, past + T, dtype=torch.int64)
            position_ids = (there.cumsum(1) - 1).clamp(min=0)[:, past : past + T]
        position_ids = position_ids.to(x.device).expand(B, T)
        if self.ngrams is not None and input_ids is not None:
            before = self._before(input_ids, previous_ids, cache, past)
            x = x + self.ngrams(input_ids, before, position_ids).to(x.dtype)
        mask, first = _mask(attention_mask, position_ids, past)
        shows = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        turn, shown = self._turn(position_ids), () if shows else None
        for layer in self.layers:
            shown = None if shown is None else (*shown, x)
            run = partial(self._gradient_checkpointing_func, layer.__call__) if checkpoints else layer
            x = run(x, turn, mask, first, cache)
        x = self.norm(x)
        shown = None if shown is None else (*shown, x)
        kept = {_CACHE: cache if use_cache else None}
        return BaseModelOutputWithPast(last_hidden_state=x, hidden_states=shown, **kept)

    def _turn(self, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, T, K/2) cosines and sines of the angles that turn queries and keys, fp32."""
        half = self.config.head_dim // 2
        index = torch.arange(half, device=position_ids.device, dtype=torch.float32)
        angle = position_ids[:, None, :, None].float() * self.config.rotary_base ** (-index / half)
        return angle.cos(), angle.sin()

    def _before(self, ids: Tensor, previous: Tensor | None, cache: Any, past: int) -> Tensor:
        """(B, longest - 1) ids before these, 0 for none. The cache remembers what was read, for calls without `previous`."""
        n = self.ngrams.longest - 1
        known = getattr(cache, "read_ids", None) if previous is None else previous
        if not past:
            known = ids[:, :0]
        elif known is None or known.shape[0] != len(ids) or (previous is None and known.shape[1] < past):
            raise ValueError("the cache does not know which ids it holds; pass previous_ids, those before input_ids")
        known = known[:, :past]
        if cache is not None:
            cache.read_ids = torch.cat([known, ids], 1)
        return F.pad(known, (n, 0))[:, -n:]


class ProxyLMForCausalLM(ProxyLMPreTrainedModel, GenerationMixin):
    """The model with its head over specials and bytes, and perhaps heads for the bytes after the next one."""

    def __init__(self, config: ProxyLMConfig) -> None:
        super().__init__(config)
        D, self.model = config.hidden_size, ProxyLMModel(config)
        self.lm_head = nn.Linear(D, config.vocab_size, bias=False)
        self.extra_heads = nn.ModuleList(nn.Linear(D, D, bias=False) for _ in range(config.extra_heads))
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None, labels=None,
        logits_to_keep=0, output_extra_logits=False, return_dict=None, cache=None, **kwargs,
    ):  # fmt: skip
        """Logits (B, T, 320), or of the last `logits_to_keep` positions; extra_logits (B, T, heads, 320). Arguments: `ProxyLMModel`."""
        found = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, cache=cache, **kwargs
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        hidden = found.last_hidden_state[:, kept]
        logits, loss, extra = self.lm_head(hidden), None, None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        if output_extra_logits and len(self.extra_heads):
            extra = torch.stack([self.lm_head(hidden + F.silu(head(hidden))) for head in self.extra_heads], 2)
        others = {_CACHE: getattr(found, _CACHE), "hidden_states": found.hidden_states, "extra_logits": extra}
        made = ProxyLMOutput(loss=loss, logits=logits, **others)
        return made.to_tuple() if return_dict is False else made

    def prepare_inputs_for_generation(self, input_ids: Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """With the ids before those that are read: the whole text is known here, also where beams were reordered."""
        inputs = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)
        read = inputs.get("input_ids")
        if read is not None and self.model.ngrams is not None and read.shape[1] < input_ids.shape[1]:
            inputs["previous_ids"] = input_ids[:, : -read.shape[1]]
        return inputs

    @staticmethod
    def create_masks_for_generate(attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
        """No mask is made ahead: the offset of keys needs to know where padding is."""
        return attention_mask


@dataclass
class ProxyLMOutput(CausalLMOutputWithPast):
    extra_logits: torch.FloatTensor | None = None  # (B, T, heads, vocabulary) of the bytes after the next one


def _mask(attention_mask: Tensor | None, position_ids: Tensor, past: int) -> tuple[Tensor, Tensor]:
    """(B or 1, 1, T, S) where new positions may look, True or as numbers to add; (B, S) where keys have none before them.

    S counts those in the cache. An attention_mask (B, S) marks padding; one of four dimensions is the first of the two.
    """
    B, S, device = len(position_ids), past + position_ids.shape[1], position_ids.device
    keys, queries = torch.arange(S, device=device), torch.arange(past, S, device=device)
    begins = position_ids == 0
    first = (keys == 0).repeat(B, 1)
    first[:, past:] |= begins
    if attention_mask is not None and attention_mask.ndim == 4:
        return attention_mask, first
    seen = (keys <= queries[:, None])[None]
    if not past and bool(begins[:, 1:].any()):  # several documents, or padding in front
        document = begins.cumsum(1)  # (B, T) number of each document in its row
        seen = seen & (document[:, :, None] == document[:, None, :])
    if attention_mask is not None:
        there = F.pad(attention_mask.to(device).bool(), (0, max(0, S - attention_mask.shape[1])))[:, :S]
        first[:, 1:] |= ~there[:, :-1]
        seen = seen & there[:, None] | (keys == queries[:, None])  # padding sees itself: a softmax needs something
    return seen[:, None], first


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in the half-split layout: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)."""
    a, b = x.float().chunk(2, -1)  # (B, H, T, K/2) each
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _offset(k: Tensor, first: Tensor) -> Tensor:
    """(B, H, S, K) keys; of each the slow rotary pairs are those of the key before, zeros at `first` (B, S)."""
    before = F.pad(k[:, :, :-1], (0, 0, 1, 0)).masked_fill(first[:, None, :, None], 0)
    fast = (k.shape[-1] // 2 + 1) // 2  # pairs that stay at their position
    pairs, pairs_before = k.unflatten(-1, (2, -1)), before.unflatten(-1, (2, -1))
    return torch.cat([pairs[..., :fast], pairs_before[..., fast:]], -1).flatten(-2)
