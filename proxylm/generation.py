"""Raw bytes in, raw bytes out, for many prompts side by side. Never a special, never a compressed symbol.

A model with extra heads (`proxylm.model.multi_token`) guesses the bytes after the next one. A forward pass then reads the last byte and the
guesses behind it, bytes are drawn one after the other as always, and the first that is not the one guessed ends the pass:
what was read behind it is forgotten. As many guesses are read as pay (`proxylm.model.speculation`). So guesses change how
many passes a text takes, not the text, greedy or drawn, but for rounding: logits of a pass over several positions differ in
the last bits from those of passes over one, as those of another number of rows do, and where two bytes are that close the
other one may be drawn.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from compressors.errors import InvalidConfig
from proxylm.data import frame
from proxylm.data.alphabet import ALLOWED, BYTE_OFFSET
from proxylm.model.decoder import Decoder
from proxylm.model.kv_cache import Cache
from proxylm.model.speculation import Speculation

_SIDE_BY_SIDE = 32  # prompts; a step of 32 rows takes little longer than one of a single row, and memory is bounded


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How bytes are drawn, and when a text ends: also where the model closes the document.

    Raises `InvalidConfig` for numbers out of range.
    """

    max_bytes: int = 256
    """Bytes that are drawn at most, 1 or more."""
    temperature: float = 1.0
    """Logits are divided by it; 0: always the likeliest byte."""
    top_p: float = 1.0
    """Only the smallest set of bytes with this much probability is drawn from, above 0, at most 1."""
    min_p: float = 0.0
    """Only bytes with at least this share of the likeliest one's probability are, 0 to 1."""
    stop: tuple[bytes, ...] = ()
    """Each ends the text, and is not part of it."""
    seed: int = 0
    """Prompt i draws from seed + i, 0 to 2^62."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            raise InvalidConfig(
                f"temperature {self.temperature} (0 or more), top_p {self.top_p} (above 0, at most 1), min_p {self.min_p} (0 to 1)"
            )
        if self.max_bytes < 1 or b"" in self.stop or not 0 <= self.seed < 1 << 62:
            raise InvalidConfig(
                f"max_bytes {self.max_bytes} (1 or more), stop {list(self.stop)} (none empty), seed {self.seed} (0 to 2^62)"
            )


def generate(
    model: Decoder, prompts: Sequence[bytes], sampling: Sampling, *, context: int
) -> Iterator[tuple[int, bytes]]:
    """(number of the prompt, bytes that continue it), after each forward pass; what may be a stop string is held back.

    context: bytes the model was trained to see. When they are used up, the newer half is read again. Raises `InvalidConfig`.
    """
    _check_context(context)
    return ((number, more) for number, more, _ in _generated(model, prompts, sampling, context) if more)


def _check_context(context: int) -> None:
    """A window that is read again is half of the context: it needs a byte."""
    if context < 2:
        raise InvalidConfig(f"context is {context}; expected 2 or more")


@dataclass(frozen=True)
class Completion:
    """What follows a prompt, and why it ends: "stop" (the model closed the document, or a stop string) or "length"."""

    data: bytes
    """Without the prompt."""
    finish_reason: str

    @property
    def text(self) -> str:
        """The bytes as text; what is not UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


def completions(model: Decoder, prompts: Sequence[bytes], sampling: Sampling, *, context: int) -> list[Completion]:
    """What follows each prompt, for the arguments of `generate`."""
    _check_context(context)
    texts, reasons = [bytearray() for _ in prompts], [""] * len(prompts)
    for number, more, reason in _generated(model, prompts, sampling, context):
        texts[number] += more
        reasons[number] = reason
    return [Completion(bytes(data), reason) for data, reason in zip(texts, reasons, strict=True)]


def complete(model: Decoder, prompts: Sequence[bytes], sampling: Sampling, *, context: int) -> list[bytes]:
    """Only the bytes of `completions`."""
    return [completion.data for completion in completions(model, prompts, sampling, context=context)]


def as_text(pieces: Iterable[bytes]) -> Iterator[str]:
    """Bytes as text, each character once it is whole; what is not UTF-8 becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


@dataclass
class _Row:
    """One prompt on its way."""

    number: int
    text: bytearray  # prompt and all that was drawn
    left: int  # bytes still to draw
    draw: torch.Generator
    guessed: list[int] = field(default_factory=list)  # ids of what may follow the last byte, which the next pass reads
    watched: list[int] = field(default_factory=list)  # bytes that were guessed only to see whether they are right
    watched_from: int = 0  # where in the text they are expected
    held: bytearray = field(default_factory=bytearray)  # drawn, not shown yet: the beginning of a stop string perhaps
    finish_reason: str = ""  # why the text has ended: "stop" or "length"

    def window(self, n_bytes: int) -> list[int]:
        """Ids of the opening and of the last `n_bytes` bytes."""
        return [*frame.opening(), *(byte + BYTE_OFFSET for byte in self.text[-n_bytes:])]

    def take_all(self, drawn: Iterable[int], stop: tuple[bytes, ...]) -> tuple[bytes, bool]:
        """`take` one after the other, until the text has ended."""
        shown, ended = bytearray(), False
        for choice in drawn:
            more, ended = self.take(choice, stop)
            shown += more
            if ended:
                break
        return bytes(shown), ended

    def take(self, drawn: int, stop: tuple[bytes, ...]) -> tuple[bytes, bool]:
        """Add what was drawn: bytes to show now, and whether the text has ended."""
        if drawn == frame.END:
            self.finish_reason = "stop"
            return bytes(self.held), True
        self.text.append(drawn - BYTE_OFFSET)
        self.held.append(drawn - BYTE_OFFSET)
        self.left -= 1
        # The length of a stop string that ends here, else of the longest beginning of one: those bytes are held back.
        ended = max((len(s) for s in stop if self.held.endswith(s)), default=0)
        back = ended or max((n for s in stop for n in range(1, len(s)) if self.held.endswith(s[:n])), default=0)
        if ended:
            self.finish_reason = "stop"
        elif not self.left:
            self.finish_reason, back = "length", 0  # nothing can complete a stop string any more
        shown = bytes(self.held[: len(self.held) - back])
        del self.held[: len(shown)]
        return shown, bool(self.finish_reason)


@torch.no_grad()
def _generated(
    model: Decoder, prompts: Sequence[bytes], sampling: Sampling, context: int
) -> Iterator[tuple[int, bytes, str]]:
    """(number of the prompt, bytes, why the text ends here: "" where it does not)."""
    n_ahead = 0 if model.heads.ahead is None else len(model.heads.ahead.blocks)
    for first in range(0, len(prompts), _SIDE_BY_SIDE):
        rows = [
            _Row(i, bytearray(prompts[i]), sampling.max_bytes, torch.Generator().manual_seed(sampling.seed + i))
            for i in range(first, min(first + _SIDE_BY_SIDE, len(prompts)))
        ]
        speculation = Speculation(n_ahead, model.embedding.weight.device)
        cache = Cache(model.config, len(rows), context + frame.OPENING + n_ahead, model.embedding.weight)
        while rows:
            _read(model, rows, cache, context)
            going = []
            step = _step(model, rows, cache, speculation, sampling, context)
            for i, (row, drawn) in enumerate(zip(rows, step, strict=True)):
                shown, ended = row.take_all(drawn, sampling.stop)
                if shown or ended:
                    yield row.number, shown, row.finish_reason
                if not ended:
                    going.append(i)
            if len(going) < len(rows):
                rows = [rows[i] for i in going]  # texts that have ended make room
                cache.keep(going)


def _read(model: Decoder, rows: list[_Row], cache: Cache, context: int) -> None:
    """Bring rows that have nothing or no room in the cache to where only their last id is to be read."""
    chosen = [i for i, n in enumerate(cache.lengths) if n in (0, context + frame.OPENING)]
    if not chosen:
        return
    windows = [rows[i].window(context // 2 if cache.lengths[i] else context)[:-1] for i in chosen]
    longest = max(map(len, windows))  # shorter ones are padded behind
    ids = torch.tensor([window + [0] * (longest - len(window)) for window in windows], device=cache.keys.device)
    read = Cache(model.config, len(chosen), longest, cache.keys)
    model(ids, cache=read)
    read.lengths = list(map(len, windows))  # what was written for padding is forgotten
    cache.put(chosen, read)


def _step(
    model: Decoder, rows: list[_Row], cache: Cache, speculation: Speculation, sampling: Sampling, context: int
) -> list[list[int]]:
    """One forward pass: the ids that follow each row, one and as many more as were guessed right; new guesses."""
    ids = torch.tensor([row.window(1)[-1:] + row.guessed for row in rows], device=cache.keys.device)
    hidden = model(ids, cache=cache)  # (rows, 1 + guesses, D)
    logits = model.heads.raw_logits(hidden).float().cpu()[..., ALLOWED]
    choose, drawn = _chooser(logits, sampling), []
    for i, row in enumerate(rows):
        chosen, room = [choose(i, 0, row.draw)], context + frame.OPENING - cache.lengths[i]
        # The guess behind the last byte that was chosen is right: the logits behind it are those of the true text.
        while len(chosen) < room and row.guessed[len(chosen) - 1 : len(chosen)] == chosen[-1:]:
            chosen.append(choose(i, len(chosen), row.draw))
        speculation.compare(row.guessed, chosen)
        drawn.append(chosen)
    # Keys of guesses that were wrong lie behind these lengths, and are written over.
    cache.lengths = [n + len(chosen) for n, chosen in zip(cache.lengths, drawn, strict=True)]
    _guess(model, rows, hidden, drawn, speculation)
    return drawn


def _guess(model: Decoder, rows: list[_Row], hidden: Tensor, drawn: list[list[int]], speculation: Speculation) -> None:
    """Guess what follows `drawn`, which is not in the texts yet; hidden (rows, T, D) of the pass that it was drawn from."""
    n_read = speculation.n_guesses(len(rows))
    if not n_read and not speculation.watches():
        for row in rows:
            row.guessed = []
        return
    last = hidden[torch.arange(len(rows)), [len(chosen) - 1 for chosen in drawn]]  # (rows, D)
    guesses = model.heads.guesses(last, n_read or None).tolist()
    for row, chosen, guessed in zip(rows, drawn, guesses, strict=True):
        row.guessed = guessed[:n_read]
        if not n_read:
            speculation.compare(row.watched, row.text[row.watched_from :])
            row.watched = [i - BYTE_OFFSET for i in guessed]
            row.watched_from = len(row.text) + len(chosen)


def _chooser(logits: Tensor, sampling: Sampling) -> Callable[[int, int, torch.Generator], int]:
    """A function of (row, position, its generator): an id; logits (B, T, 257)."""
    if sampling.temperature < 1e-6:
        likeliest = logits.argmax(-1).tolist()
        return lambda row, at, generator: ALLOWED[likeliest[row][at]]
    # The largest logit becomes 0, so nothing overflows.
    scaled = (logits - logits.amax(-1, keepdim=True)).double() / sampling.temperature
    # (B, T, 257) each.
    p, order = torch.softmax(scaled, -1).sort(dim=-1, descending=True, stable=True)
    p = torch.where((p.cumsum(-1) - p < sampling.top_p) & (p >= sampling.min_p * p[..., :1]), p, 0.0)
    # Sums up to each rank; the byte of each rank.
    below, ranked = p.cumsum(-1).numpy(), order.numpy()

    def choose(row: int, at: int, generator: torch.Generator) -> int:
        # A point within the sum of what was kept.
        point = torch.rand(1, generator=generator, dtype=torch.float64).item() * below[row, at, -1]
        rank = int(np.searchsorted(below[row, at], point, side="right"))
        return ALLOWED[int(ranked[row, at, rank])]

    return choose
