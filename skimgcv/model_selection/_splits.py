"""Check the splits of a cross-validation before any model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2
from sklearn.utils.multiclass import type_of_target

from skimgcv import ImageArray, ImageFiles
from skimgcv._data.label_tables import as_label_table
from skimgcv._data.numeric_targets import check_numbers

from ._duplicates import duplicate_groups
from ._folds import folds_of


@dataclass(frozen=True, repr=False)
class SplitReport:
    """The result of :func:`check_splits`, fold by fold.

    Attributes
    ----------
    n_folds : int
        How many splits there are.
    duplicate_rows : tuple of ndarray
        For each fold, the test rows that have a copy among the training rows.
    shared_groups : tuple of ndarray
        For each fold, the groups that are in training and test.
    shared_rows : tuple of ndarray
        For each fold, the rows that are in training and test.
    untrained_classes, untested_classes : tuple of ndarray
        For each fold, the classes that its training rows lack, and that its test rows lack.
    skewed_folds : ndarray of int
        If y is sorted, the folds whose class shares differ much from those of all rows.
    copies_were_sought : bool
        Whether X was given, so that ``duplicate_rows`` are known.
    """

    n_folds: int
    duplicate_rows: tuple[np.ndarray, ...]
    shared_groups: tuple[np.ndarray, ...]
    shared_rows: tuple[np.ndarray, ...]
    untrained_classes: tuple[np.ndarray, ...]
    untested_classes: tuple[np.ndarray, ...]
    skewed_folds: np.ndarray
    copies_were_sought: bool

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each kind of problem, with what to do."""
        found = [
            self._in_folds(
                self.shared_rows, "test rows that are training rows too", "use disjoint splits"
            ),
            self._in_folds(
                self.duplicate_rows,
                "test images with a copy in training",
                "split with groups=duplicate_groups(X, groups=groups)",
            ),
            self._in_folds(
                self.shared_groups,
                "groups on both sides",
                "use StratifiedGroupKFold and pass groups",
            ),
            self._in_folds(
                self.untrained_classes,
                "classes that training lacks",
                "use a stratified splitter, or fewer folds",
            ),
            self._in_folds(
                self.untested_classes,
                "classes that the test lacks",
                "use a stratified splitter, or fewer folds",
            ),
        ]
        if len(self.skewed_folds):
            found.append(
                f"y is sorted and {len(self.skewed_folds)} of {self.n_folds} folds test other "
                "classes than they train on; pass shuffle=True, or use a stratified splitter"
            )
        return tuple(sentence for sentence in found if sentence)

    def _in_folds(self, by_fold: tuple[np.ndarray, ...], what: str, remedy: str) -> str:
        sizes = [len(found) for found in by_fold]
        n_bad = np.count_nonzero(sizes)
        if not n_bad:
            return ""
        return f"{what}: {sum(sizes)}, in {n_bad} of {self.n_folds} folds; {remedy}"

    def __repr__(self) -> str:
        if not self.problems:
            return f"{self.n_folds} folds, no problem found"
        n = len(self.problems)
        title = f"{self.n_folds} folds, {n} problem{'s' if n > 1 else ''}:"
        return "\n- ".join([title, *self.problems])


def check_splits(
    X: Any,
    y: Any,
    cv: Any = None,
    groups: Any = None,
    *,
    duplicates: Any = None,
    classifier: bool | None = None,
    n_jobs: int | None = None,
) -> SplitReport:
    """Look for faults of the splits that make scores wrong.

    It finds copies of an image in training and test, groups in training and test, folds that
    lack a class, and unshuffled folds of sorted labels or numbers. Nothing is trained.

    Parameters
    ----------
    X : array-like of shape (n, height, width[, channels]), or None
        Images, as for :func:`duplicate_groups`. None leaves out the search for copies.
    y : array-like of shape (n,), or (n, labels) of 0 and 1
        Labels. For regression, numbers with fractions, which are not checked for missing
        classes.
    cv : int, splitter, or iterable of (train, test), default=None
        As in ``cross_val_score``. An int means stratified folds if y has one label for each
        row, and plain folds otherwise. Set the ``random_state`` of a splitter, so that it gives
        the same folds again.
    groups : array-like of shape (n,), optional
        Groups that must stay on one side. They are also passed to a group splitter. By
        default the groups of an ``ImageFiles`` or ``ImageArray``.
    duplicates : array-like of shape (n,), optional
        The result of ``duplicate_groups(X)``, if you have it already.
    classifier : bool, optional
        Whether y has classes, or several labels (n, labels). False means numbers, (n,) or
        (n, outputs). By default y has numbers if it is one-dimensional and not all are whole.
    n_jobs : int, optional
        Number of threads for the search.

    Returns
    -------
    SplitReport
        Prints as a list of problems. ``report.problems`` is empty if there are none.

    Raises
    ------
    ValueError
        If y, groups or duplicates do not have one label for each row.

    Notes
    -----
    If the test rows of a fold lack a class, recall and ROC curves of that fold are undefined. If
    its training rows lack a class, the model cannot predict it.

    Labels, or quartiles of numbers, count as sorted if they change along the rows less than a
    tenth as often as in random order. A fold is then skewed if at least a quarter of its test rows
    would have to change class to match all rows, and chance does not explain it (chi-squared,
    0.01).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import KFold
    >>> from skimgcv.model_selection import check_splits
    >>> y = np.repeat(["melanoma", "naevus"], 50)
    >>> check_splits(None, y, cv=KFold(2))
    2 folds, 3 problems:
    - classes that training lacks: 2, in 2 of 2 folds; use a stratified splitter, or fewer folds
    - classes that the test lacks: 2, in 2 of 2 folds; use a stratified splitter, or fewer folds
    - y is sorted and 2 of 2 folds test other classes than they train on; pass shuffle=True, or \
use a stratified splitter
    >>> check_splits(None, y, cv=5)
    5 folds, no problem found
    """
    target = _Target.of(y, classifier)
    y = target.y
    if groups is None and isinstance(X, (ImageArray, ImageFiles)):
        groups = X.groups
    groups = None if groups is None else _labels(groups, len(y), "groups")
    if duplicates is not None:
        duplicates = _labels(duplicates, len(y), "duplicates")
    elif X is not None:
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if n_rows != len(y):
            raise ValueError(f"X has {n_rows} rows and y has {len(y)}")
        duplicates = duplicate_groups(X, n_jobs=n_jobs)
    splits = folds_of(cv, y, groups, classifier=not target.is_numeric)
    rows = np.arange(len(y))

    def on_both_sides(labels: np.ndarray | None) -> tuple[np.ndarray, ...]:
        nothing = np.empty(0, dtype=np.intp)
        if labels is None:
            return (nothing,) * len(splits)
        return tuple(np.intersect1d(labels[train], labels[test]) for train, test in splits)

    shared_copies = on_both_sides(duplicates)
    return SplitReport(
        n_folds=len(splits),
        duplicate_rows=tuple(
            test[np.isin(test, train, invert=True) & np.isin(duplicates[test], shared)]
            if len(shared)
            else test[:0]
            for (train, test), shared in zip(splits, shared_copies, strict=True)
        ),
        shared_groups=on_both_sides(groups),
        shared_rows=on_both_sides(rows),
        untrained_classes=tuple(target.lacking(train) for train, _ in splits),
        untested_classes=tuple(target.lacking(test) for _, test in splits),
        skewed_folds=target.skewed_folds([test for _, test in splits]),
        copies_were_sought=duplicates is not None,
    )


@dataclass(frozen=True)
class _Target:
    """The classes or strata whose share of each fold is checked.

    Attributes
    ----------
    y : ndarray of shape (n,) or (n, labels)
    classes : ndarray
        Classes or labels. Empty for numbers.
    strata : list of ndarray of shape (n,)
        Classes, or quarters of the numbers of each output. Empty for several labels.
    is_numeric : bool
    """

    y: np.ndarray
    classes: np.ndarray
    strata: list[np.ndarray]
    is_numeric: bool

    @classmethod
    def of(cls, y: Any, classifier: bool | None) -> _Target:
        if classifier is False:
            return cls._of_numbers(check_numbers(y, n_rows=len(y), name="check_splits"))
        if getattr(y, "ndim", np.ndim(y)) == 2:
            names = getattr(y, "columns", None)
            table = as_label_table(y)
            labels = np.arange(table.shape[1]) if names is None else np.asarray(list(names))
            return cls(table, labels, [], is_numeric=False)
        y = _labels(y, len(y), "y")
        if classifier is None and type_of_target(y).startswith("continuous"):
            return cls._of_numbers(y)
        return cls(y, np.unique(y), [y], is_numeric=False)

    @classmethod
    def _of_numbers(cls, y: np.ndarray) -> _Target:
        outputs = y.reshape(len(y), -1).T
        quarters = [np.searchsorted(np.quantile(o, [0.25, 0.5, 0.75]), o) for o in outputs]
        return cls(y, y[:0], quarters, is_numeric=True)

    def skewed_folds(self, tests: list[np.ndarray]) -> np.ndarray:
        """Return the folds that test other classes or numbers than sorted rows have in all."""
        found = [np.empty(0, dtype=np.intp)]
        found += [_skewed_folds(strata, tests) for strata in self.strata]
        return np.unique(np.concatenate(found))

    def lacking(self, rows: np.ndarray) -> np.ndarray:
        """Return the classes that some rows lack."""
        if self.is_numeric:
            return self.classes
        if self.y.ndim == 1:
            return np.setdiff1d(self.classes, self.y[rows])
        return self.classes[self.y.any(axis=0) & ~self.y[rows].any(axis=0)]


def _labels(given: Any, n: int, name: str) -> np.ndarray:
    labels = np.asarray(given)
    if labels.shape != (n,):
        raise ValueError(f"{name} must be one label a row, ({n},); got shape {labels.shape}")
    return labels


def _skewed_folds(y: np.ndarray, tests: list[np.ndarray]) -> np.ndarray:
    codes = np.unique(y, return_inverse=True)[1]
    shares = np.bincount(codes) / max(1, len(codes))
    changes = np.count_nonzero(np.diff(codes))
    if changes >= 0.1 * (len(y) - 1) * (1 - (shares**2).sum()):
        return np.empty(0, dtype=np.intp)
    return np.array(
        [fold for fold, test in enumerate(tests) if _is_skewed(codes[test], shares)], dtype=np.intp
    )


def _is_skewed(codes: np.ndarray, shares: np.ndarray) -> bool:
    counts = np.bincount(codes, minlength=len(shares))
    expected = shares * max(1, len(codes))
    moved = np.abs(counts - expected).sum() / 2 / max(1, len(codes))
    # By chance, small folds differ much from the shares.
    by_chance = chi2.sf(((counts - expected) ** 2 / expected).sum(), max(1, len(shares) - 1))
    return bool(moved >= 0.25 and by_chance < 0.01)
