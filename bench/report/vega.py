"""Vega-Lite: specifications become pictures here, and the libraries that a page carries come from
here.

altair and vl-convert-python are in the extra `report`; they are imported when something is drawn.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compressors.atomic import write_atomically
from compressors.errors import MissingExtra

PICTURES = (".png", ".svg", ".pdf")
_PIXELS = 2  # of a PNG, for each pixel of the specification: sharp on dense screens


def require() -> None:
    """Raise `MissingExtra` if charts cannot be drawn: before hours of training, not after them."""
    if missing := [name for name in ("altair", "vl_convert") if find_spec(name) is None]:
        raise MissingExtra(f"charts need {' and '.join(missing)}: pip install 'proxyc[report]'")


def compiled(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification of Vega-Lite as one of Vega, which a page draws at once and without warnings."""
    import vl_convert

    found: dict[str, Any] = vl_convert.vegalite_to_vega(spec, vl_version=_version())
    return found


@cache
def libraries() -> str:
    """JavaScript that gives a page the name `vegaEmbed`: Vega and its tooltips, 0.9 MB."""
    import vl_convert

    code: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_version())
    return code.replace("</script", "<\\/script")  # nothing may end the element that carries it


def save(spec: dict[str, Any], path: Path) -> None:
    """Draw a specification; the suffix of `path`, one of `PICTURES`, says in which format."""
    import vl_convert

    if path.suffix == ".png":
        drawn: bytes = vl_convert.vegalite_to_png(spec, vl_version=_version(), scale=_PIXELS)
    elif path.suffix == ".pdf":
        drawn = vl_convert.vegalite_to_pdf(spec, vl_version=_version())
    else:
        drawn = (vl_convert.vegalite_to_svg(spec, vl_version=_version()) + "\n").encode()
    write_atomically(path, drawn)


def _version() -> str:
    """Of the Vega-Lite that altair writes, as vl-convert names it: 6.4 of v6.4.1."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
