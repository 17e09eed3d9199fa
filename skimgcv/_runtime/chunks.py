"""Rows in pieces, if all are too many to read or multiply at once."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 8 << 20
"""Large enough that overhead does not matter, and small compared with the memory of a fit."""


def slices(n: int, step: int) -> Iterator[slice]:
    """Cut ``n`` positions into slices of ``step``, in order. The last may be shorter."""
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def chunks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut rows into slices of a few megabytes, with at least one row.

    Parameters
    ----------
    n_rows : int
    row_bytes : int
        Bytes of a row in memory.
    """
    return slices(n_rows, max(1, CHUNK_BYTES // max(1, row_bytes)))
