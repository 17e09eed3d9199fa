"""Range parameters: their allowed forms, and the numbers that these mean."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np


def symmetric(uniform: np.ndarray, limit: float) -> np.ndarray:
    """Numbers of [-limit, limit)."""
    return limit * (2 * uniform - 1)


def between(uniform: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Numbers of [lower, upper)."""
    return limits[0] + (limits[1] - limits[0]) * uniform


def shift(uniform: np.ndarray, limit: Any, size: int) -> np.ndarray:
    """Pixels of a shift range along an axis of ``size`` pixels.

    A float below 1 is a share of the size, and a larger one is pixels. An integer k means the
    whole numbers in the open interval (-k, k). A list means its own values, which are shares if
    all are within (-1, 1).
    """
    if np.ndim(limit):
        choices = np.asarray(limit, dtype=np.float64).ravel()
        picked = choices[(uniform * len(choices)).astype(np.intp)]
        return picked * size if np.all(np.abs(choices) < 1) else picked
    if isinstance(limit, numbers.Integral):
        steps = max(2 * int(limit) - 1, 1)
        return np.floor(uniform * steps) - (steps - 1) / 2
    return symmetric(uniform, limit * size if limit < 1 else limit)


def whole(uniform: np.ndarray, count: int) -> np.ndarray:
    """Integers of [0, count)."""
    return np.minimum((uniform * count).astype(np.int64), count - 1)


def check_limit(name: str, value: Any, *, most: float = np.inf, unit: str = "") -> float:
    """Return a non-negative number, or raise an error that says what ``name`` needs."""
    if _is_number(value) and 0 <= value <= most:
        return float(value)
    upper = "" if np.isinf(most) else f" and at most {most:g}"
    raise ValueError(
        f"`{name}` needs a number{unit and ' of ' + unit} of at least 0{upper}, got {value!r}"
    )


def check_pair(
    name: str, value: Any, *, least: float = 0.0, most: float = np.inf
) -> tuple[float, float]:
    """Return (lower, upper), or raise an error that says what ``name`` needs."""
    if (
        isinstance(value, (tuple, list, np.ndarray))
        and np.iterable(value)  # an array without dimensions has no length
        and len(value) == 2
        and all(_is_number(part) for part in value)
        and least <= value[0] <= value[1] <= most
    ):
        return float(value[0]), float(value[1])
    upper = "" if np.isinf(most) else f" <= {most:g}"
    raise ValueError(
        f"`{name}` needs two numbers (lower, upper) with {least:g} <= lower <= upper{upper}, "
        f"got {value!r}"
    )


def check_whole(name: str, value: Any, *, least: int, most: int) -> int:
    """Return an integer of [least, most], or raise an error that says what ``name`` needs."""
    if isinstance(value, numbers.Integral) and least <= int(value) <= most:
        return int(value)
    raise ValueError(f"`{name}` needs an integer from {least} to {most}, got {value!r}")


def check_number(name: str, value: Any) -> float:
    """Return a finite number of any sign, or raise an error that says what ``name`` needs."""
    if _is_number(value):
        return float(value)
    raise ValueError(f"`{name}` needs a finite number, got {value!r}")


def check_flag(name: str, value: Any) -> None:
    """Raise an error unless ``value`` is True or False, since "no" would count as true."""
    if not isinstance(value, (bool, np.bool_, numbers.Integral)) or value not in (0, 1):
        raise ValueError(f"`{name}` needs True or False, got {value!r}")


def check_function(name: str, value: Any) -> None:
    """Raise an error unless ``value`` is a function or None."""
    if value is not None and not callable(value):
        raise ValueError(f"`{name}` needs a function of one image, or None, got {value!r}")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise an error unless ``value`` is one of ``choices``."""
    comparable = value is None or isinstance(value, (str, numbers.Integral))
    if isinstance(value, bool) or not comparable or value not in choices:
        named = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` needs one of {named}, got {value!r}")


def check_zoom(value: Any) -> tuple[float, float]:
    """Return (lower, upper) of ``zoom_range``: a number z means (1 - z, 1 + z)."""
    if _is_number(value):
        value = (1 - value, 1 + value)
    try:
        return check_pair("zoom_range", value)
    except ValueError as err:
        raise ValueError(
            "`zoom_range` needs a float from 0 to 1, or two of them (lower, upper) with "
            f"0 <= lower <= upper, got {value!r}"
        ) from err


def check_shift(name: str, value: Any) -> Any:
    """Return a shift range: a number of at least 0, or a list of numbers."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        check_limit(name, value)
        return value
    if not np.iterable(value) or len(value) == 0 or not all(map(_is_number, value)):
        raise ValueError(
            f"`{name}` needs a share of the size (a float below 1), a number of pixels, "
            f"or a list of values to choose from, got {value!r}"
        )
    return np.asarray(value)


def _is_number(value: Any) -> bool:
    # bool is a number in Python, but a mistake here.
    return (
        isinstance(value, numbers.Real)
        and np.asarray(value).dtype.kind in "iuf"
        and bool(np.isfinite(float(value)))
    )
