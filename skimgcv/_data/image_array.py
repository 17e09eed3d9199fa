"""ImageArray: an X of images in an array that is too large for memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from skimgcv._data.array_sources import kept_digests, reopened, without_handle
from skimgcv._data.digests import DigestsOfRows, DigestTable, KeptDigests
from skimgcv._data.lazy_images import LazyImages, check_groups
from skimgcv._runtime.paging import Pages


class ImageArray(LazyImages):
    """Images in a memory map, HDF5 or Zarr, which are read when needed.

    Indexing with an index array, a slice or a mask returns another ``ImageArray`` and reads
    nothing, so every scikit-learn tool can split it. (scikit-learn copies each fold of a
    plain memory map into memory.) An integer returns an image, and ``np.asarray`` all images.

    Parameters
    ----------
    source : numpy.memmap, h5py.Dataset, zarr.Array, ndarray
        (n, height, width) or (n, height, width, channels), of integers or floats; or any
        other object with ``shape``, ``dtype`` and slices that return arrays. Worker processes
        open a memory map or an HDF5 file themselves. It must not change while it is used.
    rows : array-like of int, optional
        The rows of the source, in this order. By default all rows.
    groups : array-like of shape (n,), optional
        The patient, smear or plant of each image (of each of ``rows``). Groups stay with
        their rows in every fold, and ``validation_split`` keeps them whole. Pass ``X.groups``
        to the splitter of the folds.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    ndim : int
    source : object
    rows : ndarray of int
    groups : ndarray of shape (n,), or None

    Raises
    ------
    TypeError, ValueError
        If the source is not an array of images, or lacks some of ``rows``.

    Examples
    --------
    >>> import os, tempfile
    >>> import h5py
    >>> import numpy as np
    >>> from skimgcv import ImageArray
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "cells.h5")
    >>> with h5py.File(path, "w") as file:
    ...     file["images"] = np.arange(4 * 2 * 2).reshape(4, 2, 2).astype(np.uint8)
    >>> file = h5py.File(path)
    >>> X = ImageArray(file["images"], groups=["p1", "p1", "p2", "p2"])
    >>> X[[3, 0]].groups.tolist()
    ['p2', 'p1']
    >>> np.asarray(X[[3, 0]])[:, 0, 0]
    array([12,  0], dtype=uint8)
    >>> file.close()
    >>> folder.cleanup()
    """

    def __init__(self, source: Any, *, rows: Any = None, groups: Any = None) -> None:
        self._source = _check_source(source)
        self._rows = _check_rows(rows, int(source.shape[0]))
        self._groups = check_groups(groups, len(self._rows))
        self._pages = Pages(source)
        # A Zarr array says so; other arrays may have a file that shows it.
        is_fixed = getattr(source, "read_only", False) is True
        self._digests = DigestTable(int(source.shape[0])) if is_fixed else None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, height, width)`` or ``(n, height, width, channels)``."""
        return (len(self._rows), *map(int, self._source.shape[1:]))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return np.dtype(self._source.dtype)

    @property
    def source(self) -> Any:
        """The array from which images are read."""
        return self._source

    @property
    def rows(self) -> np.ndarray:
        """Their positions in the source."""
        return self._rows.copy()

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape[1:]))
        kind = type(self._source)
        return (
            f"ImageArray({len(self)} images of {size} {self.dtype}, "
            f"{kind.__module__.partition('.')[0]}.{kind.__qualname__})"
        )

    def _select(self, rows: Any) -> ImageArray:
        return self._with(_rows=self._rows[rows], _groups=self._groups_of(rows))

    def _read(self) -> np.ndarray:
        if isinstance(self._source, np.ndarray):
            images = np.asarray(self._source[self._rows])
        else:
            images = self._read_runs()
        self._pages.have_read(images.nbytes)
        return images

    def kept_digests(self) -> KeptDigests | None:
        """Return the store of digests for these rows, if they certainly stay the same."""
        table = self._digests or kept_digests(self._source)
        return None if table is None else DigestsOfRows(table, self._rows)

    def _read_runs(self) -> np.ndarray:
        """Read each row once, in the order of the source, as HDF5 requires."""
        rows, places = np.unique(self._rows, return_inverse=True)
        sorted_images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                first, last = int(rows[run[0]]), int(rows[run[-1]])
                sorted_images[run[0] : run[-1] + 1] = self._source[first : last + 1]
        if len(rows) == len(self._rows) and np.array_equal(rows, self._rows):
            return sorted_images
        return sorted_images[places]

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_source": without_handle(self._source)}
        del state["_pages"]
        # Not sent: a worker computes the digests of its rows.
        state["_digests"] = self._digests and DigestTable(int(self._source.shape[0]))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _source=reopened(state["_source"]))
        self._pages = Pages(self._source)


def _check_source(source: Any) -> Any:
    lacking = [name for name in ("shape", "dtype", "__getitem__") if not hasattr(source, name)]
    if lacking:
        raise TypeError(
            "source must be an array with shape, dtype and slices, such as numpy.memmap, "
            f"h5py.Dataset or zarr.Array; {type(source).__name__} has no {lacking[0]}."
        )
    if isinstance(source, np.ma.MaskedArray):
        raise TypeError("source has a mask, which would be lost; pass source.filled(value).")
    if len(source.shape) not in (3, 4):
        raise ValueError(
            "source must be images (n, height, width) or (n, height, width, channels); it has "
            f"shape {tuple(source.shape)}."
        )
    if np.dtype(source.dtype).kind not in "buif":
        raise ValueError(f"source must be of integers or floats; it has dtype {source.dtype}.")
    return source


def _check_rows(rows: Any, n: int) -> np.ndarray:
    if rows is None:
        return np.arange(n)
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (n,):
        return np.flatnonzero(array)
    if array.size == 0:
        array = array.astype(np.intp)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"rows must be integers, or a mask of {n}; it has dtype {array.dtype} and shape "
            f"{array.shape}."
        )
    outside = array[(array < -n) | (array >= n)]
    if len(outside):
        raise IndexError(f"rows must be in the {n} of the source; it has {outside[0]}.")
    return np.where(array < 0, array + n, array).astype(np.intp)
