"""Rows in pieces: what is too much to be read, or multiplied, at once."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 8 << 20
"""Enough that a piece's overhead does not count, and little beside what a fit takes."""


def slices(n: int, step: int) -> Iterator[slice]:
    """Cut ``n`` places into slices of ``step``, the last perhaps shorter, in order."""
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def chunks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut rows into slices of a few megabytes, of a row at the least.

    Parameters
    ----------
    n_rows : int
    row_bytes : int
        What a row takes once it is read.
    """
    return slices(n_rows, max(1, CHUNK_BYTES // max(1, row_bytes)))
