"""A model of ours in lm-evaluation-harness (extra `lm-eval`); tasks and metrics are theirs, text goes in as its bytes.

lm_eval.simple_evaluate(ProxycLM("RUN"), tasks=[...])      or      proxyc lm-eval RUN --tasks ...
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from compressors.errors import InvalidConfig
from proxylm.data import frame
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.evaluation.scoring import byte_ids, score
from proxylm.generation import Sampling, complete
from proxylm.model.decoder import Decoder
from proxylm.training.run_folder import load_run

BYTES_PER_TOKEN = 4  # tasks say in tokens of subword models how long an answer may be: about four bytes each
_OPENING = np.array(frame.opening())


@register_model("proxyc")
class ProxycLM(LM):
    """The newest model of a run, or the `best` one; `window`: context in bytes, by default what it was trained with."""

    def __init__(self, run: str | Path | Decoder, window: int | None = None, best: bool = False, **_: Any) -> None:
        """run: a folder, or a model with its `window`. Settings of other models (batch_size, device) are ignored."""
        super().__init__()
        if isinstance(run, Decoder):
            assert window is not None
            self.model, self.window = run, window
        else:
            self.model, config = load_run(Path(run), best=best)
            self.window = window or trained_window(config)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(ln p of the continuation, is it the greedy one?) of every (context, continuation)."""
        rows, owners, sizes = [], [], []
        for number, (context, continuation) in enumerate(request.args for request in requests):
            text, first = (context + continuation).encode(), len(context.encode())
            sizes.append(len(text) - first)
            for begin, scored, end in stretches(first, len(text), self.window):
                rows.append((np.append(_OPENING, byte_ids(text[begin:scored])), byte_ids(text[scored:end])))
                owners.append(number)
        nats, right = score(self.model, rows)
        owner = np.array(owners, np.int64)
        total = np.bincount(owner, nats, len(requests))
        greedy = np.bincount(owner, right, len(requests)) == sizes
        return list(zip((-total).tolist(), greedy.tolist(), strict=True))

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """ln p of every text, by the windows of `proxyc eval`: its bits per byte without the end of the document."""
        texts = [request.args[0].encode() for request in requests]
        if not any(texts):
            return [0.0] * len(texts)
        bits = evaluate(self.model, texts, window=self.window).text_bits
        return [-float(b) * math.log(2) for b in bits]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """What follows every context, up to the first of its `until`; requests with equal settings side by side."""
        groups: dict[Sampling, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            groups[sampling_of(request.args[1])].append(number)
        found = [""] * len(requests)
        for sampling, numbers in groups.items():
            prompts = [requests[number].args[0].encode() for number in numbers]
            texts = complete(self.model, prompts, sampling, context=self.window)
            for number, text in zip(numbers, texts, strict=True):
                found[number] = text.decode("utf-8", "replace")
        return found


def stretches(first: int, size: int, window: int) -> Iterator[tuple[int, int, int]]:
    """(begin, scored, end): bytes first..size-1 scored once each, in windows that keep half of theirs for what is before."""
    while first < size:
        end = min(size, max(first + window // 2, window))
        yield max(0, end - window), first, end
        first = end


def sampling_of(settings: dict[str, Any]) -> Sampling:
    """What a task asks for, greedy unless it says otherwise."""
    until = settings.get("until") or []
    sampled = settings.get("do_sample", settings.get("temperature", 0) > 0)
    return Sampling(
        max_bytes=BYTES_PER_TOKEN * int(settings.get("max_gen_toks", 256)),
        temperature=float(settings.get("temperature", 1.0)) if sampled else 0.0,
        top_p=float(settings.get("top_p", 1.0)),
        min_p=float(settings.get("min_p", 0.0)),
        stop=tuple(text.encode() for text in ([until] if isinstance(until, str) else until) if text),
    )


def measure(
    model: ProxycLM,
    tasks: Sequence[str],
    *,
    include: Path | None = None,
    shots: int | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """What `lm_eval.simple_evaluate` finds. Raises `InvalidConfig` for an unknown task.

    include: a folder with tasks of one's own, instead of the many thousand that come with it, whose index takes ten seconds.
    """
    manager = TaskManager(include_path=include, include_defaults=include is None)
    unknown = [task for task in tasks if not manager.match_tasks([task])]
    if unknown:
        raise InvalidConfig(
            f"lm-eval has no task {', '.join(unknown)}; `lm-eval ls tasks` lists them, --include takes those of a folder"
        )
    found: dict[str, Any] = simple_evaluate(
        model, tasks=manager.match_tasks(list(tasks)), task_manager=manager, num_fewshot=shots, limit=limit
    )
    return found
