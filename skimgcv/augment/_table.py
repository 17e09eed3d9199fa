"""The table: all the randomness of an epoch, a row an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_CHUNK_ROWS = 1 << 15

Uniforms = Mapping[str, np.ndarray]
"""Numbers of [0, 1) by what they are for: one array of shape (rows,) each."""


@dataclass(frozen=True)
class Column:
    """One parameter of the transforms: what leaves an image alone, and how to draw it."""

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

    Every slot takes a number from each row's share of the stream, whether a column
    uses it or not. So row k is the same in epochs of any length, and switching a
    parameter on does not change what the others draw.

    Parameters
    ----------
    slots : sequence of str
        The purposes of a row's random numbers; the first decides whether the row
        is augmented at all.
    probability : float
        That a row is augmented; others are neutral.
    """
    table = neutral_table(n, columns)
    # In chunks: a long epoch's raw numbers would take more memory than its table.
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
    """Return a table of ``n`` rows that leave images as they are."""
    dtype = np.dtype([(column.name, column.dtype, column.shape) for column in columns])
    table = np.empty(n, dtype)
    for column in columns:
        table[column.name] = column.neutral
    return table
