"""Numbers into a page, by Jinja2's templates."""

from __future__ import annotations

import functools
import math
from typing import Any

from skimgcv.report._scores import in_digits

_NONE = "\N{EN DASH}"


def render(title: str, made: str, kind: str, sections: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the whole HTML file.

    Parameters
    ----------
    title, made : str
        What it is about, and when it was made.
    kind : str
        Of y: the folder of templates that come before the common ones.
    sections : list of (str, dict)
        Names of templates, and what each needs.
    """
    page = _environment().get_template("report.html")
    return page.render(title=title, made=made, kind=kind, sections=sections)


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("skimgcv.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "digits": in_digits,
        "count": count,
    }
    return environment


def percent(value: float) -> str:
    """Return a share, such as 0.934, as "93.4%"; a dash where there is none."""
    if not math.isfinite(value):
        return _NONE
    if value in (0, 1):
        return f"{value:.0%}"
    # What is nearly all is not all.
    if value >= 0.9995:
        return ">99.9%"
    return "<0.1%" if value < 0.0005 else f"{value:.1%}"


def number(value: float, digits: int = 3) -> str:
    """Return a score; a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else _NONE


def count(value: int) -> str:
    """Return a count with its thousands apart."""
    return f"{value:,}"
