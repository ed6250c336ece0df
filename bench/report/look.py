"""What the charts of a report share: the colours of arms, small charts by size, scales, hovering."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

PICTURE, PAGE = 650, 940  # pixels of a row of charts, without the legend that a picture has beside it
COLOURS = (
    "#2563a8", "#d9542b", "#2f8f4e", "#8a4fb0", "#c99a06", "#1797a6", "#b0306a", "#6b4f3a", "#7f8790", "#8bb02c",
)  # fmt: skip
STANDS_OUT = "length(picked) == 0 || indexof(picked, datum.group) >= 0"


@dataclass(frozen=True)
class Look:
    """What all charts of a report share."""

    arms: Sequence[str]  # in the order of their colours
    panels: Mapping[str, str]  # size -> heading of its small chart, in order
    # A picture has a legend of arms, which a page has in its list, and no marks to hover over
    still: bool = True

    @property
    def width(self) -> int:
        """Pixels of a row of charts."""
        return PICTURE if self.still else PAGE

    @property
    def columns(self) -> int:
        """Small charts side by side."""
        return min(3, max(1, len(self.panels)))

    @property
    def colours(self) -> list[str]:
        """One for each arm. Beyond ten, hues in a circle, by turns dark and light."""
        n = len(self.arms)
        if n <= len(COLOURS):
            return list(COLOURS[:n])
        circle = [colorsys.hls_to_rgb(i / n, (0.34, 0.6)[i % 2], 0.65) for i in range(n)]
        return ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in circle]

    def colour(self, *, legend: bool = True) -> alt.Color:
        """The arm as colour, the same in every chart. legend: whether a picture needs one."""
        rows = 26  # of the legend, before it takes another column
        shown = alt.Legend(
            title="arm", symbolLimit=0, columns=-(-len(self.arms) // rows), symbolType="circle", symbolOpacity=1
        )
        return alt.Color(
            "arm:N",
            scale=alt.Scale(domain=list(self.arms), range=self.colours),
            legend=shown if self.still and legend else None,
        )

    def small(self, chart: alt.LayerChart, data: str, *, share: Sequence[str] = ()) -> alt.FacetChart:
        """One small chart for each size; axes that are not in `share` have a range for each."""
        # Beside each chart stand its own scale, or once the names of arms.
        named = "y" in share
        room, beside = (PICTURE + 40 if self.still else PAGE - 110, 18) if named else (self.width, 50)
        width = room // self.columns - beside
        height = alt.Step(22) if named else 200 if self.columns > 1 else 340
        sized = chart.properties(width=width, height=height)
        header = alt.Header(title=None, labelFontSize=12, labelFontWeight="bold", labelAnchor="start", labelLimit=width)
        faceted = sized.facet(
            facet=alt.Facet("panel:N", sort=list(self.panels.values()), header=header),
            columns=self.columns,
            data=alt.NamedData(data),
        )
        free: dict[str, Any] = {axis: "independent" for axis in ("x", "y") if axis not in share}
        return faceted.resolve_scale(**free).resolve_axis(**free)


def stands_out(faint: float = 0.12, full: float = 1.0) -> Any:
    """Opacity of what is picked, and of the rest."""
    return alt.condition(STANDS_OUT, alt.value(full), alt.value(faint))


def log_scale(*, ticks: int = 5, padding: int = 12) -> tuple[alt.Scale, dict[str, Any]]:
    """A logarithmic scale that fits its values, and what its axis needs to stay readable."""
    scale = alt.Scale(type="log", nice=False, padding=padding)
    return scale, {"tickCount": ticks, "labelOverlap": "greedy", "labelSeparation": 6}


def tips(*fields: tuple[str, str, str]) -> list[alt.Tooltip]:
    """(field, title, format) of what hovering shows; an empty format is for words."""
    return [
        alt.Tooltip(f"{field}:{'Q' if form else 'N'}", title=title, **({"format": form} if form else {}))
        for field, title, form in fields
    ]
