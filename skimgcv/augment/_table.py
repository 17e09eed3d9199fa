"""The table: all random numbers of an epoch, with a row for each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_CHUNK_ROWS = 1 << 15

Uniforms = Mapping[str, np.ndarray]
"""Numbers in [0, 1) by purpose: an array of shape (rows,) for each."""


@dataclass(frozen=True)
class Column:
    """A parameter of the transforms: its neutral value, and how to draw it."""

    name: str
    neutral: Any
    draw: Callable[[Uniforms], np.ndarray] | None = None
    dtype: str = "f8"
    shape: tuple[int, ...] = ()


def draw_table(
    rng: np.random.Generator,
    n: int,
    columns: Sequence[Column],
    *,
    slots: Sequence[str],
    probability: float = 1.0,
) -> np.ndarray:
    """Draw ``n`` rows of ``columns``.

    Every slot takes a number from each row's share of the stream, even if no column uses it. So
    row k is the same in epochs of any length, and a parameter does not change the numbers of the
    others.

    Parameters
    ----------
    slots : sequence of str
        The purposes of a row's random numbers; the first decides whether the row
        is augmented at all.
    probability : float
        Probability that a row is augmented. Other rows are neutral.
    """
    table = neutral_table(n, columns)
    # In chunks, since the raw numbers of a long epoch would take more memory than its table.
    for start in range(0, n, _CHUNK_ROWS):
        rows = table[start : start + _CHUNK_ROWS]
        numbers = rng.random((len(rows), len(slots)))
        uniforms = dict(zip(slots, numbers.T, strict=True))
        chosen = uniforms[slots[0]] < probability
        for column in columns:
            if column.draw is not None:
                rows[column.name][chosen] = column.draw(uniforms)[chosen]
    return table


def neutral_table(n: int, columns: Sequence[Column]) -> np.ndarray:
    """Return a table of ``n`` rows that do not change images."""
    dtype = np.dtype([(column.name, column.dtype, column.shape) for column in columns])
    table = np.empty(n, dtype)
    for column in columns:
        table[column.name] = column.neutral
    return table
