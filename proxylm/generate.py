"""Raw bytes in, raw bytes out, with a cache of keys and values. Never a special, never a compressed symbol."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from compressors.errors import InvalidConfig
from proxylm.alphabet import BOS, BYTE_OFFSET, RAW_CLOSE, RAW_OPEN
from proxylm.model import Cache, Decoder


def generate(
    model: Decoder,
    prompt: bytes,
    *,
    max_bytes: int,
    context: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[int]:
    """Up to `max_bytes` byte values that continue `prompt`; stops early where the model ends the document.

    context: bytes the model was trained to see. When they are used up, the newer half is read again.
    temperature 0 is greedy; top_p keeps the smallest set of bytes with that much probability. Raises `InvalidConfig`.
    """
    if not 0 <= temperature < math.inf or not 0 < top_p <= 1 or context < 2:
        raise InvalidConfig(
            f"temperature {temperature} (0 or more), top_p {top_p} (above 0, at most 1), context {context} (2 or more)"
        )
    return _continued(model, prompt, max_bytes, context, temperature, top_p, seed)


@torch.no_grad()
def _continued(
    model: Decoder, prompt: bytes, max_bytes: int, context: int, temperature: float, top_p: float, seed: int
) -> Iterator[int]:
    generator = torch.Generator().manual_seed(seed)
    text, cache = bytearray(prompt), Cache()
    shown = 0  # ids in the cache
    for _ in range(max_bytes):
        if shown == 0 or shown >= context + 2:
            kept = text[-context:] if shown == 0 else text[-(context // 2) :]
            cache.clear()
            window = [BOS, RAW_OPEN, *(byte + BYTE_OFFSET for byte in kept)]
            hidden, shown = model(_ids(window, model), cache=cache), len(window)
        else:
            hidden = model(_ids([text[-1] + BYTE_OFFSET], model), cache=cache, start=shown)
            shown += 1
        drawn = _draw(model.heads.raw_logits(hidden[0, -1]).float().cpu(), temperature, top_p, generator)
        if drawn == RAW_CLOSE:
            return
        text.append(drawn - BYTE_OFFSET)
        yield drawn - BYTE_OFFSET


def _ids(values: list[int], model: Decoder) -> Tensor:
    return torch.tensor([values], device=model.embedding.weight.device)


def _draw(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """An id among the bytes and the closing mark."""
    allowed = torch.full_like(logits, -torch.inf)
    allowed[BYTE_OFFSET:] = logits[BYTE_OFFSET:]
    allowed[RAW_CLOSE] = logits[RAW_CLOSE]
    if temperature < 1e-6:
        return int(allowed.argmax())
    probabilities, order = torch.softmax((allowed - allowed.max()) / temperature, 0).sort(descending=True, stable=True)
    probabilities[probabilities.cumsum(0) - probabilities >= top_p] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])
