"""X as rows of images that are read when needed, and never copied as a whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from skimgcv._data.digests import DigestTable, KeptDigests, digests
from skimgcv._data.forms import check_form
from skimgcv._data.image_array import ImageArray
from skimgcv._data.lazy_images import LazyImages
from skimgcv._data.validation import row_shape, shape_of_flat_rows, value_scale
from skimgcv._runtime.chunks import chunks
from skimgcv._runtime.paging import Pages


class Rows:
    """A view of X, checked once: ``(n, height, width, channels)``, or ``(n, features)``.

    Parameters
    ----------
    X : array-like with ``shape``, ``dtype`` and indexing by an integer array
        In memory, memory-mapped, or read from files when indexed.
    row_shape : tuple of int
        The shape of one row: an image with its channels, or the features.
    scale : str, optional
        The range of the values: see ``value_scale``.
    given : object
        X as the user passed it, with its column names.
    """

    def __init__(
        self, X: Any, row_shape: tuple[int, ...], scale: str | None = None, given: Any = None
    ) -> None:
        self._X = X
        self._given = X if given is None else given
        self._pages = Pages(X)
        self.shape = (int(X.shape[0]), *row_shape)
        self.dtype = _plain_dtype(np.dtype(X.dtype))
        self.scale = scale
        self._digests = DigestTable(len(self))
        self._kept: KeptDigests | None = None

    @classmethod
    def of(
        cls,
        X: Any,
        *,
        image_shape: tuple[int, ...] | None,
        name: str,
        fitted_shape: tuple[int, ...] | None = None,
    ) -> Rows:
        """Check X: its form, its shape and its values; view it as rows.

        Parameters
        ----------
        X : array-like
            X as the user passed it.
        image_shape : tuple of int, optional
            The shape of the image in each row of a 2-D X.
        name : str
            The estimator's, for errors.
        fitted_shape : tuple of int, optional
            The shape of a row when the model was built, which rows of a 2-D X have.

        Raises
        ------
        ValueError, TypeError
            If X is sparse, empty, ragged, masked, not numeric or not finite,
            or if its shape does not fit ``image_shape``.
        """
        array = check_form(X, name)
        if fitted_shape is not None and len(array.shape) == 2:
            image_shape = shape_of_flat_rows(array.shape, fitted_shape, name)
        rows = cls(array, row_shape(array.shape, image_shape, name), given=X)
        if rows.has_pixels:
            rows.scale = value_scale(rows.chunks(), name)
        else:
            rows.scale = {"uint8": "0..255", "uint16": "0..65535"}.get(rows.dtype.name)
        return rows

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def is_table(self) -> bool:
        """Whether X is 2-D, with columns that may have names."""
        return len(self._X.shape) == 2

    @property
    def has_pixels(self) -> bool:
        """Whether pixels can be read without decoding files."""
        return isinstance(self._X, (np.ndarray, ImageArray))

    @property
    def are_images(self) -> bool:
        """Whether a row is an image, which an augmenter can transform."""
        return len(self.shape) == 4

    def check_are_images(self) -> None:
        """Refuse rows of features, which no augmenter can transform."""
        if not self.are_images:
            raise ValueError(
                f"An augmenter needs images, but X has rows of {self.shape[1]} features; pass "
                "image_shape=(height, width, channels), or X as (n, height, width, channels)."
            )

    def features(self, estimator: Any, *, reset: bool) -> dict[str, Any]:
        """Return the attributes that scikit-learn sets from X, or compare X with them.

        The estimator is not changed.
        """
        if not reset and self.are_images and self.shape[1:] != estimator.image_shape_:
            fitted = estimator.image_shape_
            raise ValueError(
                f"X has images of shape {self.shape[1:]}, but this {type(estimator).__name__} was "
                + (
                    f"fitted on {fitted}. Resize them; a single one is passed as X[None]."
                    if len(fitted) == 3
                    else f"fitted on rows of {fitted[0]} features. Pass X.reshape(len(X), -1) "
                    "if these are the images' values."
                )
            )
        # scikit-learn would set the attributes now, before the fit succeeds.
        blank = copy.copy(estimator)
        if self.is_table:
            validate_data(blank, self._given, reset=reset, skip_check_array=True)
        elif reset:
            vars(blank).pop("feature_names_in_", None)
            # The width of the flat rows that the model accepts as images.
            blank.n_features_in_ = int(np.prod(self.shape[1:]))
        names = ("n_features_in_", "feature_names_in_")
        return {n: getattr(blank, n) for n in names if hasattr(blank, n)}

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read rows: an array of shape ``(len(rows), *row_shape)``, native byte order."""
        read = np.asarray(self._X[rows])
        self._pages.have_read(read.nbytes)
        return read.reshape(len(read), *self.shape[1:]).astype(self.dtype, copy=False)

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each row, if X carries groups."""
        return self._X.groups if isinstance(self._X, LazyImages) else None

    def content(self, rows: np.ndarray) -> Iterator[bytes | memoryview]:
        """Yield what identifies some rows: their values, or the state of their files."""
        yield repr((self.shape[1:], self.dtype, len(rows))).encode()
        if hasattr(self._X, "fingerprint"):
            yield self._X[rows].fingerprint()
            return
        for part in chunks(len(rows), self._row_bytes):
            yield np.ascontiguousarray(self[rows[part]]).data

    def readable(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows that have an image: all, unless X skips damaged files.

        Warns
        -----
        UnreadableImagesWarning
            If files have no image.
        """
        if getattr(self._X, "on_error", "raise") != "skip":
            return rows
        places: np.ndarray = self._X[rows].readable()
        return rows[places]

    def digests(self, rows: np.ndarray) -> np.ndarray:
        """Return the digests of these images. Each image is read once for it.

        Digests of files that cannot change are kept for the next fit.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        ndarray of uint64, shape (len(rows), 2)
        """
        found, is_here = self._digests.fetch(rows)
        if is_here.all():
            return found
        if self._kept is None and isinstance(self._X, LazyImages):
            self._kept = self._X.kept_digests()
        self._find_digests(np.unique(rows[~is_here]))
        return self._digests.fetch(rows)[0]

    def _find_digests(self, rows: np.ndarray) -> None:
        if self._kept is not None:
            found, is_here = self._kept.fetch(rows)
            self._digests.keep(rows[is_here], found[is_here])
            rows = rows[~is_here]
        for part in chunks(len(rows), self._row_bytes):
            found = digests(self[rows[part]])
            self._digests.keep(rows[part], found)
            if self._kept is not None:
                self._kept.keep(rows[part], found)

    def scale_of(self, rows: np.ndarray, name: str) -> str | None:
        """Return the range of the values of some rows: see ``value_scale``."""
        if len(rows) == len(self) or not self.has_pixels:
            return self.scale
        parts = (self[rows[part]] for part in chunks(len(rows), self._row_bytes))
        return value_scale(parts, name)

    def chunks(self) -> Iterator[np.ndarray]:
        """Read all rows, in pieces of a few megabytes."""
        return map(self.__getitem__, chunks(len(self), self._row_bytes))

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize


@dataclass(frozen=True)
class LabelledRows:
    """Rows of images with their class numbers and weights.

    Attributes
    ----------
    images : Rows
    y : ndarray of int, shape (n,)
        Class numbers, with one for every row of ``images``: -1 for rows that do not count.
    weights : ndarray of float32, shape (n,), or None
    rows : ndarray of int
        The row numbers of the images to use.
    """

    images: Rows
    y: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray


class RowSubset:
    """Some rows of a ``Rows``, from which an augmenter learns statistics."""

    def __init__(self, images: Rows, rows: np.ndarray) -> None:
        self._images = images
        self._rows = rows
        self.shape = (len(rows), *images.shape[1:])
        self.dtype = images.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._images[self._rows[rows]]


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the native type that can represent these values and that image libraries know."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")
