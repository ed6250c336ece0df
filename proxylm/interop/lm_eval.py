"""A model of ours in lm-evaluation-harness (extra `lm-eval`); tasks and metrics are theirs, text goes in as its bytes.

lm_eval --model proxyc --model_args pretrained=RUN --tasks ...   where the harness reads the entry points `lm_eval.models`
proxyc lm-eval RUN --tasks ...                                   with any of its releases
lm_eval.simple_evaluate(ProxycLM("RUN"), tasks=[...])
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
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager

from compressors.errors import InvalidConfig
from proxylm.data import frame
from proxylm.evaluation.bits_per_byte import evaluate
from proxylm.evaluation.scoring import byte_ids, score
from proxylm.generation import Sampling, complete
from proxylm.model.decoder import Decoder
from proxylm.trained import AnyPath, open_run

BYTES_PER_TOKEN = 4  # tasks say in tokens of subword models how long an answer may be: about four bytes each
_OPENING = np.array(frame.opening())


@register_model("proxyc")
class ProxycLM(LM):
    """The newest model of a run, or the `best` one; `window`: context in bytes, by default what it was trained with."""

    def __init__(
        self,
        pretrained: AnyPath | Decoder,
        window: int | None = None,
        best: bool = False,
        batch_size: int | str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        max_batch_size: int | None = None,
    ) -> None:
        """pretrained: the folder of a run, or a model with its `window`.

        batch_size: rows of one forward pass; auto, or nothing: as many as 16,384 positions hold. device, dtype: as for
        `proxylm.trained.open_run`. Raises `InvalidConfig`, or what `open_run` does.
        """
        super().__init__()
        self.max_rows = _rows(batch_size) or max_batch_size
        if isinstance(pretrained, Decoder):
            if window is None:
                raise InvalidConfig("a model without its run has no window; give one, in bytes")
            self.model, self.window = pretrained, int(window)
        else:
            trained = open_run(str(pretrained), best=best, device=device or "auto", dtype=dtype)
            trained.warn_without_bytes()
            self.model, self.window = trained.model, trained.window(window)
        self._device = next(self.model.parameters()).device

    def loglikelihood(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
        """(ln p of the continuation, is it the greedy one?) of every (context, continuation)."""
        rows, owners, sizes = [], [], []
        for number, (context, continuation) in enumerate(request.args for request in requests):
            # First byte that is scored.
            text, first = (context + continuation).encode(), len(context.encode())
            sizes.append(len(text) - first)
            for begin, scored, end in stretches(first, len(text), self.window):
                rows.append((np.append(_OPENING, byte_ids(text[begin:scored])), byte_ids(text[scored:end])))
                owners.append(number)
        nats, right = score(self.model, rows, max_rows=self.max_rows)
        owner = np.array(owners, np.int64)
        total = np.bincount(owner, nats, len(requests))  # (requests,) nats
        greedy = np.bincount(owner, right, len(requests)) == sizes  # all bytes were the likeliest
        return list(zip((-total).tolist(), greedy.tolist(), strict=True))

    def loglikelihood_rolling(self, requests: Sequence[Any], **_: Any) -> list[float]:
        """ln p of every text, by the windows of `proxyc eval`: its bits per byte without the end of the document."""
        texts = [request.args[0].encode() for request in requests]
        if not any(texts):
            return [0.0] * len(texts)
        bits = evaluate(self.model, texts, window=self.window, max_rows=self.max_rows).text_bits
        return [-float(b) * math.log(2) for b in bits]

    def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
        """What follows every context, up to the first of its `until`; requests with equal settings side by side."""
        groups: dict[Sampling, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            groups[sampling_of(request.args[1])].append(number)
        answers = [""] * len(requests)
        for sampling, numbers in groups.items():
            prompts = [requests[number].args[0].encode() for number in numbers]
            texts = complete(self.model, prompts, sampling, context=self.window)
            for number, text in zip(numbers, texts, strict=True):
                answers[number] = text.decode("utf-8", "replace")
        return answers


def _rows(batch_size: int | str | None) -> int | None:
    """Rows of one forward pass, None for as many as fit. Raises `InvalidConfig`."""
    if batch_size is None or str(batch_size).startswith("auto"):
        return None
    if not str(batch_size).isdecimal() or int(batch_size) < 1:
        raise InvalidConfig(f"batch_size is {batch_size!r}; expected 1 or more, or auto")
    return int(batch_size)


def stretches(first: int, size: int, window: int) -> Iterator[tuple[int, int, int]]:
    """(begin, scored, end): bytes first..size-1 scored once each, in windows that keep half of theirs for what is before."""
    while first < size:
        end = min(size, max(first + window // 2, window))  # the first window is full
        yield max(0, end - window), first, end
        first = end


def sampling_of(settings: dict[str, Any]) -> Sampling:
    """What a task says of generation, by any of the names that the harness knows; greedy unless it samples."""
    asked = dict(normalize_gen_kwargs(settings))
    return Sampling(
        max_bytes=BYTES_PER_TOKEN * int(asked["max_gen_toks"]),
        temperature=float(asked.get("temperature", 1.0)) if asked["do_sample"] else 0.0,
        top_p=float(asked.get("top_p", 1.0)),
        min_p=float(asked.get("min_p", 0.0)),
        stop=tuple(text.encode() for text in asked["until"] if text),
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

    include: a folder with tasks, instead of the many thousand that come with it, whose index takes ten seconds.
    """
    manager = TaskManager(include_path=include, include_defaults=include is None)
    unknown = [task for task in tasks if not manager.match_tasks([task])]
    if unknown:
        raise InvalidConfig(
            f"lm-eval has no task {', '.join(unknown)}; `lm-eval ls tasks` lists them, --include takes those of a folder"
        )
    results: dict[str, Any] = simple_evaluate(
        model, tasks=manager.match_tasks(list(tasks)), task_manager=manager, num_fewshot=shots, limit=limit
    )
    return results
