"""Folds of images with several labels each."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state, check_scalar

from skimgcv._data.label_tables import as_label_table
from skimgcv._data.stratification import share_out


class MultilabelStratifiedKFold(BaseCrossValidator):
    """Folds that have their share of each label, and keep groups whole.

    Iterative stratification distributes the rarest label first. Without it a fold can lack a
    rare label, and scores of that label are then undefined.

    Parameters
    ----------
    n_splits : int, default=5
        At least 2.
    shuffle : bool, default=False
        Whether to distribute rows in random order. Without it equal rows always give equal
        folds.
    random_state : int, RandomState instance or None, default=None
        Draws that order, if ``shuffle``.

    References
    ----------
    Sechidis, Tsoumakas & Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD
    2011, https://doi.org/10.1007/978-3-642-23808-6_10

    Examples
    --------
    >>> import numpy as np
    >>> from skimgcv.model_selection import MultilabelStratifiedKFold
    >>> y = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 1], [0, 0]])
    >>> for train, test in MultilabelStratifiedKFold(2).split(y, y):
    ...     print(test, y[test].sum(axis=0))
    [0 3 4] [2 1]
    [1 2 5] [1 2]
    """

    # scikit-learn's name for a splitter's request with metadata routing.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        check_scalar(n_splits, "n_splits", Integral, min_val=2)
        check_scalar(shuffle, "shuffle", (bool, np.bool_))
        if random_state is not None and not shuffle:
            raise ValueError(
                "random_state has no effect without shuffle; pass shuffle=True, or leave it out."
            )
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Not used.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: Any, y: ArrayLike, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each fold.

        Parameters
        ----------
        X : array-like of length n
            Not read.
        y : array-like, sparse matrix or data frame of shape (n, labels)
            0 and 1.
        groups : array-like of shape (n,), optional
            Rows of one group are never on both sides.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If y is not such a table, if groups and rows differ in number, or if there are
            fewer rows or groups than folds.
        """
        fold_of_row = self._fold_of_row(as_label_table(y), groups)
        for fold in range(self.n_splits):
            yield np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold)

    def _fold_of_row(self, table: np.ndarray, groups: Any) -> np.ndarray:
        items = np.arange(len(table)) if groups is None else np.asarray(groups)
        if items.shape != (len(table),):
            raise ValueError(
                f"groups must have shape ({len(table)},), one a row; it has {items.shape}."
            )
        names, item_of_row = np.unique(items, return_inverse=True)
        if len(names) < self.n_splits:
            what = "rows" if groups is None else "groups"
            raise ValueError(f"n_splits={self.n_splits} needs as many {what}; y has {len(names)}.")
        counts = np.zeros((len(names), table.shape[1]))
        np.add.at(counts, item_of_row, table)
        rng = None
        if self.shuffle:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            rng = np.random.default_rng(seed)
        sizes = np.bincount(item_of_row).astype(float)
        shares = [1 / self.n_splits] * self.n_splits
        folds: np.ndarray = share_out(counts, sizes, shares, rng)[item_of_row]
        return folds
