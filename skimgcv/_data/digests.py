"""Digests of images: 128 bits from their values, the same for any array or file."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np


class KeptDigests(Protocol):
    """Digests of rows that cannot change, for the next fit in this process."""

    def fetch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return digests of some rows, and a mask of the rows that have one."""
        ...

    def keep(self, rows: np.ndarray, found: np.ndarray) -> None:
        """Store the digests of some rows."""
        ...


class DigestTable:
    """Digests of rows, by row number.

    Parameters
    ----------
    n : int
        Number of rows.
    """

    def __init__(self, n: int) -> None:
        self._digests = np.zeros((n, 2), np.uint64)
        self._is_here = np.zeros(n, bool)

    def fetch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return digests of some rows, and a mask of the rows that have one."""
        return self._digests[rows], self._is_here[rows]

    def keep(self, rows: np.ndarray, found: np.ndarray) -> None:
        """Store the digests of some rows."""
        self._digests[rows] = found
        # Set after them, since another thread may read.
        self._is_here[rows] = True


class DigestsOfRows:
    """Digests of some rows of a table.

    Parameters
    ----------
    table : DigestTable
    rows : ndarray of int
        The row numbers, in order.
    """

    def __init__(self, table: DigestTable, rows: np.ndarray) -> None:
        self._table = table
        self._rows = rows

    def fetch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return digests of some rows, and a mask of the rows that have one."""
        return self._table.fetch(self._rows[rows])

    def keep(self, rows: np.ndarray, found: np.ndarray) -> None:
        """Store the digests of some rows."""
        self._table.keep(self._rows[rows], found)


def digests(images: np.ndarray) -> np.ndarray:
    """Return a digest of each image's values.

    Parameters
    ----------
    images : ndarray of shape (n, ...)

    Returns
    -------
    ndarray of uint64, shape (n, 2)
        Equal for equal values: a PNG file, its uint8 array, and the same values as floats.

    References
    ----------
    Aumasson et al. (2013), "BLAKE2: simpler, smaller, fast as MD5".

    Examples
    --------
    >>> images = np.arange(8).reshape(2, 2, 2, 1)
    >>> bool((digests(images.astype(np.uint8)) == digests(images.astype(float))).all())
    True
    """
    found = np.empty((len(images), 2), dtype=np.uint64)
    for row, image in zip(found, images, strict=True):
        content = hashlib.blake2b(_smallest(image).data, digest_size=16).digest()
        row[:] = np.frombuffer(content, dtype=np.uint64)
    return found


def _smallest(image: np.ndarray) -> np.ndarray:
    """Return the values in the first type that can represent them."""
    image = np.ascontiguousarray(image)
    for dtype in (np.uint8, np.float32):
        if image.dtype == dtype:
            return image
        # The first values of most images show whether all are whole numbers.
        if _are_held(image.reshape(-1)[:16], dtype) and _are_held(image, dtype):
            return image.astype(dtype)
    return image.astype(np.float64)


def _are_held(values: np.ndarray, dtype: type[np.generic]) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.array_equal(values.astype(dtype), values)
