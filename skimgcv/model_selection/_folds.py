"""The folds of a cross-validation, as rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv


def folds_of(
    cv: Any, y: np.ndarray, groups: Any, *, classifier: bool = True
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the training and test rows of each fold."""
    splitter = check_cv(cv, y, classifier=classifier)
    for_splitter = groups if _takes_groups(splitter) else None
    return [
        (rows_of(train), rows_of(test))
        for train, test in splitter.split(np.empty(len(y)), y, for_splitter)
    ]


def fold_sizes_of(search: Any, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of training and test rows in each fold of a fitted search.

    Raises
    ------
    ValueError
        If ``cv`` cannot split again, or may have given folds of other sizes.
    """
    if isinstance(search.cv, Iterator):
        raise ValueError(
            "search.cv is an iterator, which fit has consumed; search with cv=list(...), or pass "
            "n_train and n_test"
        )
    y = np.asarray(y)
    sizes, again = (
        np.array(
            [
                (len(train), len(test))
                for train, test in folds_of(
                    _seeded(search.cv, seed), y, groups, classifier=is_classifier(search.estimator)
                )
            ]
        )
        for seed in (0, 1)
    )
    if not np.array_equal(sizes, again):
        raise ValueError(
            f"{search.cv} gives folds of other sizes in each call; search with its random_state "
            "set to an integer, or pass n_train and n_test"
        )
    n_train, n_test = sizes.reshape(-1, 2).T
    return n_train, n_test


def _seeded(cv: Any, seed: int) -> Any:
    """Return a splitter that draws only from its own generator."""
    cv = copy.deepcopy(cv)
    if not isinstance(getattr(cv, "random_state", seed), Integral):
        cv.random_state = seed
    return cv


def _takes_groups(splitter: Any) -> bool:
    """Whether it splits by groups. Other splitters of scikit-learn warn of groups."""
    if not hasattr(splitter, "get_metadata_routing"):
        return True
    return splitter.get_metadata_routing().split.requests.get("groups") is True


def rows_of(selected: Any) -> np.ndarray:
    """Return row numbers, also for a mask."""
    selected = np.asarray(selected)
    return np.flatnonzero(selected) if selected.dtype == bool else selected
