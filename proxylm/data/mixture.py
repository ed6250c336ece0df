"""Which view of a document (or of a chunk of it) is shown: the rate, and its calibration while both views may share a context.

Let r be the share of the shown views that are compressed. Without pairs a document is compressed with probability r.
In a pairing phase (arXiv 2602.04289, read in the authors' code) the share stays r:

    r > 0.5    every raw document becomes a pair:         P(comp only) = 2 - 1/r,     P(pair) = 1/r - 1
    r <= 0.5   every compressed document becomes a pair:  P(raw only) = 1 - r/(1-r),  P(pair) = r/(1-r)

A pair shows its two views in random order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from proxylm.config import Phase


def probabilities(rate: float, pair: bool) -> tuple[float, float, float]:
    """(raw only, comp only, pair) for a rate; they sum to 1."""
    if not pair:
        return 1 - rate, rate, 0.0
    if rate > 0.5:
        # Views shown: (2 - 1/r) + 2 (1/r - 1) = 1/r, of which 1 is compressed.
        return 0.0, 2 - 1 / rate, 1 / rate - 1
    # Views shown: 1 + r/(1-r) = 1/(1-r), r/(1-r) compressed.
    return 1 - rate / (1 - rate), 0.0, rate / (1 - rate)


def table(schedule: Sequence[Phase], readings: Sequence[str] = (), steps: int = 4096) -> npt.NDArray[np.float64]:
    """(steps, 2 + readings) at `steps` equal shares of the run: cumulative probabilities [raw only, raw or comp only],
    then the cumulative weights of the readings (of one at least). A phase that names no views shows the first.

    schedule: phases in order, the last one until 1. readings: what compressed documents are shown as (`MixConfig.views`).

    A table instead of a formula keeps the schedule data: the row planner only looks it up.
    """
    out = np.ones((steps, 2 + max(1, len(readings))))
    for i in range(steps):
        at, begin = i / steps, 0.0
        # The phase at this point of the run, and where it began.
        for phase in schedule:
            if at < phase.until:
                break
            begin = phase.until
        share = (at - begin) / (phase.until - begin)  # of the phase that has passed
        raw, comp, _ = probabilities(phase.start + (phase.end - phase.start) * share, phase.pair)
        out[i, :2] = raw, raw + comp  # the rest up to 1 are pairs
        if phase.views:
            weights = np.array([phase.views.get(name, 0.0) for name in readings])
            out[i, 2:] = np.cumsum(weights) / weights.sum()
    return out
