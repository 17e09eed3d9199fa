"""The deterministic steps: rescaling, and standardisation by statistics of the training rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._runtime.chunks import chunks
from .._runtime.memory import total_bytes
from .._runtime.paging import Pages

EPSILON = 1e-6
"""Added to a standard deviation before dividing, as in Keras."""

_WHITENING_ROWS = 16
_BAND_ROWS = 1024
_BLOCK_VALUES = 1 << 16
"""Values in each partial sum: half a megabyte of float64 fits the cache of a core."""


@dataclass(frozen=True)
class Standardizer:
    """Standardises images for the model, in the order of Keras.

    Parameters
    ----------
    preprocess : callable or None
        Takes one float image (height, width, channels); returns one of the same shape.
    rescale : float or None
        A factor of all values.
    samplewise_center, samplewise_std : bool
        Subtract each image's own mean; divide by its own standard deviation.
    mean, std : ndarray of shape (channels,), or None
        Statistics of the training rows.
    whitening : ndarray of shape (d, d), or None
        With d = height * width * channels.
    dtype : numpy dtype
        The dtype of the result: float16, float32 or float64.
    """

    preprocess: Callable[[np.ndarray], np.ndarray] | None = None
    rescale: float | None = None
    samplewise_center: bool = False
    samplewise_std: bool = False
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    whitening: np.ndarray | None = None
    dtype: Any = np.float32

    @property
    def computing_dtype(self) -> np.dtype:
        """The dtype of sums and products."""
        return np.promote_types(self.dtype, np.float32)

    def centered(self, mean: np.ndarray | None) -> Standardizer:
        """Return a copy that also subtracts ``mean``, and returns its computing dtype."""
        return replace(self, mean=mean, dtype=self.computing_dtype)

    def __call__(self, images: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Standardise (n, height, width, channels) into a new array, or into ``out``."""
        if out is None:
            out = np.empty(images.shape, self.dtype)
        # Half precision is only for storage: sums over an image would overflow.
        work = out if out.dtype == self.computing_dtype else np.empty(out.shape, np.float32)
        self._read(images, work)
        self._scale(work)
        if work is not out:
            np.copyto(out, work, casting="same_kind")
        return out

    def _read(self, images: np.ndarray, work: np.ndarray) -> None:
        if self.preprocess is None:
            np.copyto(work, images, casting="unsafe")
            return
        for image, target in zip(images, work, strict=True):
            # A copy, since many such functions change their input.
            result = np.asarray(self.preprocess(image.astype(work.dtype)))
            if result.shape != target.shape:
                raise ValueError(
                    "`preprocessing_function` needs to return an image of the shape "
                    f"{target.shape} that it got, it returned {result.shape}; "
                    "resize images before they are given to fit and predict"
                )
            np.copyto(target, result, casting="unsafe")

    def _scale(self, work: np.ndarray) -> None:
        gain = self.rescale or 1.0
        rows = work.reshape(len(work), -1)
        if self.samplewise_center or self.samplewise_std:
            if gain != 1:
                work *= work.dtype.type(gain)
            gain = 1.0
            rows -= rows.mean(axis=1, keepdims=True)
        if self.samplewise_std:
            rows /= rows.std(axis=1, keepdims=True) + work.dtype.type(EPSILON)
        if self.mean is not None:
            lines = work.reshape(-1, work.shape[2] * work.shape[3])
            gains, offsets = self._featurewise(gain, work.shape[2], work.shape[3], work.dtype)
            lines *= gains
            lines += offsets
        elif gain != 1:
            work *= work.dtype.type(gain)
        if self.whitening is not None:
            _whiten(rows, self.whitening.astype(work.dtype, copy=False))

    def _featurewise(
        self, gain: float, width: int, channels: int, dtype: np.dtype
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the factor and the offset of a line of an image.

        For a whole line, since NumPy is slow along an axis of length 3, and once for all blocks of
        a batch.
        """
        key = (gain, width, channels, dtype)
        if key not in self._lines:
            deviation = 1.0 if self.std is None else self.std + EPSILON
            values = np.empty((2, width, channels))
            values[0] = gain / deviation
            values[1] = -np.asarray(self.mean) / deviation
            self._lines[key] = values.reshape(2, -1).astype(dtype)
        gains, offsets = self._lines[key]
        return gains, offsets

    @functools.cached_property
    def _lines(self) -> dict[Any, np.ndarray]:
        return {}


def _whiten(rows: np.ndarray, matrix: np.ndarray) -> None:
    # Always products of one shape: for another number of rows BLAS sums in another order, and the
    # bits of an image must not depend on other images.
    block = np.zeros((_WHITENING_ROWS, rows.shape[1]), rows.dtype)
    for start in range(0, len(rows), _WHITENING_ROWS):
        part = rows[start : start + _WHITENING_ROWS]
        block[: len(part)] = part
        part[...] = (block @ matrix)[: len(part)]


def read_chunks(images: Any) -> Iterator[np.ndarray]:
    """Read ``images`` in slices of a few megabytes of float64."""
    pages = Pages(images)
    for rows in chunks(len(images), 8 * int(np.prod(images.shape[1:]))):
        part = np.asarray(images[rows])
        yield part
        pages.have_read(part.nbytes)


def channel_moments(parts: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each channel, in float64.

    One pass; chunks are merged as in Chan, Golub and LeVeque (1979), since a
    difference of large sums would lose the digits of a small variance.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for part in parts:
        rows = max(1, _BLOCK_VALUES // part[0].size)
        for start in range(0, len(part), rows):
            size, part_mean, part_squares = _block_moments(part[start : start + rows])
            gap = part_mean - mean
            total = count + size
            mean = mean + gap * (size / total)
            squares = squares + part_squares + gap**2 * (count * size / total)
            count = total
    return mean, np.sqrt(squares / count)


def _block_moments(images: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the count of pixels, and each channel's mean and sum of squares around it."""
    width, channels = images.shape[2:]
    # By lines of an image, since NumPy is slow along an axis of length 3.
    lines = images.reshape(-1, width * channels).astype(np.float64)
    count = len(lines) * width
    mean = lines.sum(axis=0).reshape(width, channels).sum(axis=0) / count
    lines -= np.tile(mean, width)
    lines *= lines
    return count, mean, lines.sum(axis=0).reshape(width, channels).sum(axis=0)


def whitening_matrix(
    parts: Iterator[np.ndarray], epsilon: float, *, n_rows: int, image_shape: tuple[int, ...]
) -> np.ndarray:
    """Return the ZCA whitening matrix of centred images, float32 of shape (d, d).

    Directions in which the training rows do not vary are removed, and not amplified by 1 /
    ``epsilon``.

    Parameters
    ----------
    parts : iterator of ndarray
        The images in chunks, ``n_rows`` in total.
    epsilon : float
        Added to singular values.

    References
    ----------
    Krizhevsky (2009), "Learning multiple layers of features from tiny images",
    appendix A.
    """
    d = int(np.prod(image_shape))
    if n_rows < d:
        variances, directions = _directions_of_rows(parts, n_rows, d)
    else:
        variances, directions = np.linalg.eigh(_products_of_values(parts, d))
    singular = np.sqrt(np.maximum(variances, 0))
    # Smaller values come from rounding.
    noise = np.sqrt(variances[-1] * d * np.finfo(np.float64).eps)
    kept = singular > noise
    directions = directions[:, kept]
    gained = directions * (np.sqrt(n_rows) / (singular[kept] + epsilon))
    matrix = np.empty((d, d), np.float32)
    # In bands, since all of it in float64 would take twice the memory of the result.
    for start in range(0, d, _BAND_ROWS):
        band = slice(start, start + _BAND_ROWS)
        matrix[band] = gained[band] @ directions.T
    return matrix


def _products_of_values(parts: Iterator[np.ndarray], d: int) -> np.ndarray:
    """Return the sums of products of values over all rows, (d, d)."""
    products = np.zeros((d, d))
    for part in parts:
        rows = part.reshape(len(part), -1).astype(np.float64)
        products += rows.T @ rows
    return products


def _directions_of_rows(
    parts: Iterator[np.ndarray], n_rows: int, d: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances that can be above zero with n rows, and their directions (d, n).

    ``rows @ rows.T`` has the same variances as ``rows.T @ rows``, and is smaller.
    """
    rows = np.empty((n_rows, d))
    start = 0
    for part in parts:
        rows[start : start + len(part)] = part.reshape(len(part), -1)
        start += len(part)
    variances, weights = np.linalg.eigh(rows @ rows.T)
    lengths = np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny))
    return variances, (rows.T @ weights) / lengths


def check_whitening_fits(n_rows: int, image_shape: tuple[int, ...]) -> None:
    """Refuse ZCA whitening of images whose matrices are too large for the memory.

    Raises
    ------
    MemoryError
        The message has the memory that it needs.
    """
    d = int(np.prod(image_shape))
    # Products, eigenvectors, and LAPACK's workspace of twice this size, all in float64.
    needed = 4 * 8 * d**2
    if n_rows < d:
        # The rows, twice their directions, the products of pairs of rows, and the result.
        needed = 8 * (3 * n_rows * d + 4 * n_rows**2) + 4 * d**2
    total = total_bytes()
    if needed > total:
        raise MemoryError(
            f"zca_whitening of images of shape {image_shape} needs a matrix of {d} x {d} values "
            f"and {needed / 2**30:.1f} GiB of memory to work it out, this machine has "
            f"{total / 2**30:.1f} GiB; use smaller images, or featurewise_center with "
            "featurewise_std_normalization"
        )
