"""How a run shows a view of its store, as text: NAME, or NAME:key=value. Pure data.

bpe              its symbols, one id each
bpe:merges=256   only its first 256 merges, each read as the bag of its bytes; single bytes are those of the raw text
bpe:bags=16      its spans as bags of up to 16 bytes (`proxylm.data.bags`)
raw:bags=4       the bytes in bags of four
"""

from __future__ import annotations

from dataclasses import dataclass

RAW = "raw"  # the bytes themselves, which every store has
LIMITS: dict[str, tuple[int, int | None]] = {"merges": (1, None), "bags": (1, 255)}  # setting: least, most
WRITE = "write NAME, NAME:merges=K or NAME:bags=N"


@dataclass(frozen=True)
class ViewSpec:
    """A view and how it is shown. Make one with `parse`; `str` gives the text back."""

    view: str
    """Name of the view in the store."""
    merges: int | None = None
    """Merges of a refinable vocabulary that are kept; later ones are undone."""
    bags: int | None = None
    """Bytes of the largest bag."""

    @classmethod
    def parse(cls, text: str) -> ViewSpec:
        """Raises `ValueError`, in one line."""
        view, colon, settings = text.partition(":")
        values: dict[str, int] = {}
        for setting in settings.split(",") if colon else ():
            key, _, value = setting.partition("=")
            if key not in LIMITS or key in values or not value.isdecimal():
                raise ValueError(f"view {text!r}: {setting!r} is not a setting of a view; {WRITE}")
            least, most = LIMITS[key]
            values[key] = int(value)
            if values[key] < least or (most is not None and values[key] > most):
                expected = f"{least} or more" if most is None else f"{least} to {most}"
                raise ValueError(f"view {text!r}: {key} is {value}; expected {expected}")
        # One setting at most, and none of the bytes but bags.
        if not view or len(values) > 1 or (view == RAW and "bags" not in values):
            raise ValueError(f"view {text!r}: {WRITE}; raw bytes are shown as they are, or in bags")
        return cls(view, **values)

    @property
    def kind(self) -> str:
        """Its row in the table of `proxylm.data.views`."""
        if self.bags is not None:
            return "even bags" if self.view == RAW else "bags"
        return "symbols" if self.merges is None else "merges"

    def __str__(self) -> str:
        settings = [f"{key}={value}" for key in LIMITS if (value := getattr(self, key)) is not None]
        return f"{self.view}:{','.join(settings)}" if settings else self.view
