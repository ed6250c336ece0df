"""Metrics by name: what `proxyc eval --metric NAME` finds of a model beside its bits per byte.

A new metric is a function of (subject, result) and a line in `METRICS`. Nothing is imported before a metric is asked for,
so that the names can be listed without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compressors.errors import InvalidConfig

if TYPE_CHECKING:
    from compressors.base import Compressor
    from proxylm.evaluation.result import Result
    from proxylm.model.decoder import Decoder
    from proxylm.view_spec import ViewSpec


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, what it is shown, and how."""

    model: Decoder  # on its device
    documents: Sequence[bytes]  # held out
    window: int  # context in bytes
    positions: int  # of a training row
    codec: Compressor | None = None  # of the compressed view that is scored; None: raw bytes
    view: ViewSpec | None = None  # how the model was shown that view

    @property
    def reading(self) -> dict[str, Any]:
        """What `proxylm.evaluation.bits_per_byte.evaluate` wants to know of the view."""
        return {"codec": self.codec, "view": self.view}


def perturbed(subject: Subject, result: Result) -> dict[str, Any]:
    """Bits per byte after characters are deleted, case or white space changed, names renamed."""
    from proxylm.evaluation.bits_per_byte import deltas

    options = {"window": subject.window, **subject.reading}
    return {"perturbed": deltas(subject.model, subject.documents, result, **options)}


def translation(subject: Subject, result: Result) -> dict[str, Any]:
    """How well bytes are read off the compressed view of their document. Raises `InvalidConfig` without a codec."""
    if subject.codec is None:
        raise InvalidConfig("the metric translation reads bytes off a compressed view; say of which with --codec")
    from proxylm.evaluation.translation import translate

    scores = translate(subject.model, subject.documents, positions=subject.positions, **subject.reading)
    return dict(zip(("translation", "translation_without_view"), (s.to_json() for s in scores), strict=True))


METRICS: dict[str, Callable[[Subject, Result], dict[str, Any]]] = {"perturbed": perturbed, "translation": translation}
