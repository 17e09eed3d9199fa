"""The base of a lazy X: choosing rows reads nothing, and rows may carry groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from skimgcv._data.digests import KeptDigests


class LazyImages(ABC):
    """Images that are read when needed.

    Indexing with an index array, a slice or a mask returns other rows and reads nothing, so every
    scikit-learn tool can split it. An integer returns an image, and ``np.asarray`` all images.
    """

    _groups: np.ndarray | None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """``(n, height, width, channels)``."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each row, if it is known."""
        return None if self._groups is None else self._groups.copy()

    @abstractmethod
    def _select(self, rows: Any) -> Self:
        """Return these rows, and their groups."""

    @abstractmethod
    def _read(self) -> np.ndarray:
        """Read all rows."""

    def kept_digests(self) -> KeptDigests | None:
        """Return the store of digests for these rows, if they certainly stay the same."""
        return None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        if rows is Ellipsis:
            rows, rest = slice(None), [Ellipsis, *rest]
        if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
            at = range(len(self))[rows]
            return self._select(slice(at, at + 1))._read()[(0, *rest)]
        part = self._select(_as_rows(rows, type(self).__name__))
        whole = all(r is Ellipsis or (isinstance(r, slice) and r == slice(None)) for r in rest)
        return part if whole else part._read()[(slice(None), *rest)]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Images of files are always copied: leave copy=False out.")
        return self._read().astype(self.dtype if dtype is None else dtype, copy=False)

    def _with(self, **attributes: Any) -> Self:
        """Return a copy that differs in these attributes."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **attributes)
        return other

    def _groups_of(self, rows: Any) -> np.ndarray | None:
        return None if self._groups is None else self._groups[rows]

    def __copy__(self) -> Self:
        return self  # it is immutable

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def flat(self) -> np.ndarray:
        """Return row numbers in one column, for tools that require two dimensions.

        As the first step of a pipeline, ``from_flat`` turns them into images.

        Returns
        -------
        ndarray of int, shape (n, 1)

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import BaggingClassifier
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import FunctionTransformer
        >>> from skimgcv import ImageArray
        >>> X = ImageArray(np.arange(8).reshape(8, 1, 1))
        >>> to_pixels = FunctionTransformer(lambda X: np.asarray(X).reshape(len(X), -1))
        >>> clf = make_pipeline(
        ...     FunctionTransformer(X.from_flat), to_pixels, LogisticRegression())
        >>> bagging = BaggingClassifier(clf, random_state=0).fit(X.flat(), [0] * 4 + [1] * 4)
        >>> bagging.predict(X.flat()[[0, 7]])
        array([0, 1])
        """
        return np.arange(len(self))[:, np.newaxis]

    def from_flat(self, rows: Any) -> Self:
        """Return the images of some rows of ``flat()``, with their groups.

        Parameters
        ----------
        rows : array-like of shape (n_rows, 1)
            Whole numbers, of any type.

        Raises
        ------
        ValueError
            If they have another shape, or are not whole numbers.
        IndexError
            If a row does not exist.
        """
        column = np.asarray(rows)
        if column.ndim != 2 or column.shape[1] != 1 or column.dtype.kind not in "iuf":
            raise ValueError(
                "rows must be some of flat(), numbers of shape (n_rows, 1); got "
                f"{column.dtype} of shape {column.shape}"
            )
        numbers = column[:, 0]
        places = numbers.astype(np.intp)
        if not np.array_equal(places, numbers):
            raise ValueError("rows must be whole numbers, some of flat(); a step changed them")
        if np.any((places < 0) | (places >= len(self))):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}, some of flat()")
        return self._select(places)

    def with_groups(self, groups: Any) -> Self:
        """Return the same images with groups.

        Parameters
        ----------
        groups : array-like of shape (n,), or None
            The patient, smear or plant of each image.

        Returns
        -------
        An X of the same kind.

        Examples
        --------
        >>> from skimgcv import ImageFiles
        >>> X = ImageFiles(["p1_a.png", "p1_b.png", "p2_a.png"], (8, 8))
        >>> X.with_groups(["p1", "p1", "p2"])[[0, 2]].groups.tolist()
        ['p1', 'p2']
        """
        return self._with(_groups=check_groups(groups, len(self)))


def check_groups(groups: Any, n: int) -> np.ndarray | None:
    """Return the groups of n images as an array, if there are any.

    Raises
    ------
    ValueError
        If their number is not n, or if one is missing.
    """
    if groups is None:
        return None
    array = np.array(groups)
    if array.shape != (n,):
        raise ValueError(f"groups must have one entry for each image, {n}; it has {array.shape}")
    lacking = [row for row, group in enumerate(array.tolist()) if group is None or group != group]
    if lacking:
        raise ValueError(
            f"groups must not be missing; row {lacking[0]} has {array[lacking[0]]!r}. An image "
            "that belongs to no other needs its own group."
        )
    return array


def _as_rows(rows: Any, name: str) -> Any:
    if isinstance(rows, slice):
        return rows
    rows = np.asarray(rows)
    if rows.size == 0 and rows.dtype.kind == "f":  # an empty list
        rows = rows.astype(np.intp)
    if rows.ndim != 1 or rows.dtype.kind not in "iub":
        raise IndexError(
            f"{name} take an integer, a slice, a mask or a list of integers for their rows; "
            f"got an array of {rows.dtype} with shape {rows.shape}"
        )
    return rows
