"""X as rows of images that are read when asked for, and never copied whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv._runtime.paging import Pages
from skimgcv.exceptions import UnreadableImagesWarning

_CHUNK_BYTES = 8 << 20
_MOST_NAMED = 5


class ImageRows:
    """A view of X: ``(n, height, width, channels)``, or ``(n, features)``.

    Parameters
    ----------
    X : array-like with ``shape``, ``dtype`` and indexing by an integer array
        In memory, memory-mapped, or read from files when indexed.
    row_shape : tuple of int
        What one row is to be: an image with its channels, or the features.
    """

    def __init__(self, X: Any, row_shape: tuple[int, ...]) -> None:
        self._X = X
        self._pages = Pages(X)
        self.shape = (int(X.shape[0]), *row_shape)
        self.dtype = _plain_dtype(np.dtype(X.dtype))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def is_table(self) -> bool:
        """Whether X is 2-D, of columns that may have names."""
        return len(self._X.shape) == 2

    @property
    def is_in_memory(self) -> bool:
        """Whether pixels can be looked at without decoding files."""
        return isinstance(self._X, np.ndarray)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read rows: an array of shape ``(len(rows), *row_shape)``, native byte order."""
        read = np.asarray(self._X[rows])
        self._pages.have_read(read.nbytes)
        return read.reshape(len(read), *self.shape[1:]).astype(self.dtype, copy=False)

    def readable(self, rows: np.ndarray) -> np.ndarray:
        """Leave out the rows of files that give no image, where X is to skip them.

        Warns
        -----
        UnreadableImagesWarning
            Where there are any, with their number.
        """
        if getattr(self._X, "on_error", "raise") != "skip":
            return rows
        errors = self._X[rows].errors()
        if not errors:
            return rows
        listed = "; ".join(f"{error.path}: {error.reason}" for error in errors[:_MOST_NAMED])
        more = f"; and {len(errors) - _MOST_NAMED} more" if len(errors) > _MOST_NAMED else ""
        warnings.warn(
            f"{len(errors)} of {len(rows)} files cannot be read, and this fit leaves them out: "
            f"{listed}{more}.",
            UnreadableImagesWarning,
            stacklevel=5,
        )
        return rows[~np.isin(self._X.rows[rows], [error.row for error in errors])]

    def chunks(self) -> Iterator[np.ndarray]:
        """Read all rows, in pieces of a few megabytes."""
        row_bytes = max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        step = max(1, _CHUNK_BYTES // row_bytes)
        for start in range(0, len(self), step):
            yield self[start : start + step]


@dataclass(frozen=True)
class LabelledRows:
    """Rows of images with their class numbers and weights.

    Attributes
    ----------
    images : ImageRows
    y : ndarray of int, shape (n,)
        Class numbers, with one for every row of ``images``.
    weights : ndarray of float32, shape (n,), or None
    rows : ndarray of int
        Those of the images that are meant.
    """

    images: ImageRows
    y: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray


class RowSubset:
    """Some rows of an ``ImageRows``: what an augmenter may learn statistics from."""

    def __init__(self, images: ImageRows, rows: np.ndarray) -> None:
        self._images = images
        self._rows = rows
        self.shape = (len(rows), *images.shape[1:])
        self.dtype = images.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._images[self._rows[rows]]


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the native type that holds these values and that image libraries know."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")
