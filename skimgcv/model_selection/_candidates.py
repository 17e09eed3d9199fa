"""Compare the candidates of a search with the best of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from skimgcv.exceptions import SkimgcvWarning

from ._folds import fold_sizes_of
from ._resampled import check_finite, check_level, mean_ratio, resampled


def compare_candidates(
    search: Any,
    *,
    y: Any = None,
    groups: Any = None,
    n_train: Any = None,
    n_test: Any = None,
    scoring: str = "score",
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """Compare all candidates of a search with the best of them.

    Each comparison is the corrected resampled t-test of :func:`compare_scores`, with the same
    assumptions. The p-values are corrected for the number of candidates.

    Parameters
    ----------
    search : fitted search, or dict
        A ``GridSearchCV``, ``RandomizedSearchCV`` or the like, or its ``cv_results_``.
    y, groups : array-like of shape (n,), optional
        The same as in the search's ``fit``, so that its ``cv`` gives the same folds again. The
        folds give the numbers of training and test rows.
    n_train, n_test : int or array-like of shape (n_folds,), optional
        The numbers of training and test rows, instead of ``y`` and ``groups``. If folds
        differ, as with groups, the mean of their ratios is used.
    scoring : str, default="score"
        Which score to read: ``"accuracy"`` for ``"split0_test_accuracy"``.
    confidence_level : float, default=0.95
        Of each interval, without correction for the number of candidates.

    Returns
    -------
    dict of lists and arrays, with a value for each candidate
        For ``pandas.DataFrame``; best candidate first. ``candidate`` (its row in
        ``cv_results``), ``params``, ``mean_test_score``, ``difference`` (its score minus the
        best score), ``standard_error``, ``interval_low``, ``interval_high``, ``p_value``,
        and ``p_value_adjusted``. The row of the best candidate has a difference of 0 and
        p-values of 1.

    Raises
    ------
    ValueError
        If there are fewer than two folds, or scores that are missing or not finite; if the
        sizes of the folds are unknown, or ``cv`` gives other folds in each call; for a halving
        search, which scores its candidates on different rows.

    Notes
    -----
    The same scores chose the best candidate. As the largest of many, its score is too high, and
    so are its differences to the others. So Holm's correction counts all pairs of candidates,
    and not only those with the best. The chance of wrongly calling any candidate worse stays
    below the significance level. The cost is power: with many candidates, compare fewer of them
    on new images.

    If no difference is found, this does not show that a candidate is as good as the best. Its
    interval says how much worse it may be.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6 (1979), 65-70. Nadeau and Bengio (2003), as in :func:`compare_scores`.

    Examples
    --------
    >>> from skimgcv.model_selection import compare_candidates
    >>> results = {
    ...     "params": [{"rotation": 0}, {"rotation": 20}],
    ...     "split0_test_score": [0.80, 0.91],
    ...     "split1_test_score": [0.82, 0.92],
    ...     "split2_test_score": [0.79, 0.92],
    ... }
    >>> table = compare_candidates(results, n_train=200, n_test=100)
    >>> table["params"]
    [{'rotation': 20}, {'rotation': 0}]
    >>> table["p_value_adjusted"].round(3).tolist()
    [1.0, 0.015]

    With groups the folds have different sizes. They are taken from the search:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.model_selection import GridSearchCV, GroupKFold
    >>> X, y = load_iris(return_X_y=True)
    >>> patients = np.arange(150) // 7
    >>> search = GridSearchCV(RidgeClassifier(), {"alpha": [1, 100]}, cv=GroupKFold(4))
    >>> table = compare_candidates(
    ...     search.fit(X, y, groups=patients), y=y, groups=patients)
    >>> table["params"][0]
    {'alpha': 1}
    """
    cv_results = _results_of(search)
    scores = _split_scores(cv_results, scoring)
    check_level(confidence_level)
    if n_train is None and n_test is None:
        n_train, n_test = _fold_sizes(search, y, groups, n_folds=scores.shape[1])
    ratio = mean_ratio(n_train, n_test, n_folds=scores.shape[1])
    means = scores.mean(axis=1)
    order = np.argsort(-means, kind="stable")
    ranked = scores[order]
    against_best = resampled(ranked - ranked[0], ratio)
    n_equal = np.count_nonzero(against_best.without_spread)
    if n_equal:
        warnings.warn(
            f"{n_equal} of {len(order) - 1} candidates differ from the best by the same score in "
            "all folds, so the error cannot be estimated from the spread. Their p_value and "
            "interval are too certain; their p_value_adjusted is 1. Use more folds, or more test "
            "images in each.",
            SkimgcvWarning,
            stacklevel=2,
        )
    low, high = against_best.interval(confidence_level)
    return {
        "candidate": order,
        "params": [cv_results["params"][row] for row in order],
        "mean_test_score": means[order],
        "difference": against_best.mean,
        "standard_error": against_best.standard_error,
        "interval_low": low,
        "interval_high": high,
        "p_value": against_best.p_value,
        "p_value_adjusted": _adjusted(ranked, ratio),
    }


def _results_of(search: Any) -> Mapping[str, Any]:
    results = search if isinstance(search, Mapping) else getattr(search, "cv_results_", None)
    if results is None:
        raise ValueError(
            "search must be a fitted search, or its cv_results_; this "
            f"{type(search).__name__} has no cv_results_"
        )
    if "n_resources" in results:
        raise ValueError(
            "a halving search scores its candidates on different rows: they cannot be compared; "
            "search the last of them again with GridSearchCV"
        )
    return results


def _fold_sizes(search: Any, y: Any, groups: Any, n_folds: int) -> tuple[Any, Any]:
    """Return the sizes of the folds, by splitting again with y and groups."""
    if y is None and groups is None:
        return None, None
    if y is None or isinstance(search, Mapping):
        raise ValueError(
            "the sizes of folds need the fitted search itself, not its cv_results_, and y; or "
            "pass n_train and n_test"
        )
    n_train, n_test = fold_sizes_of(search, y, groups)
    if len(n_train) != n_folds:
        raise ValueError(
            f"search.cv gives {len(n_train)} folds of this y, and cv_results_ has {n_folds}; pass "
            "y and groups as fit got them, or n_train and n_test"
        )
    return n_train, n_test


def _split_scores(cv_results: Mapping[str, Any], scoring: str) -> np.ndarray:
    """Return (n_candidates, n_folds), in the order of the folds."""
    pattern = re.compile(rf"split(\d+)_test_{re.escape(scoring)}")
    matches = [match for match in map(pattern.fullmatch, cv_results) if match]
    if len(matches) < 2:
        known = {re.sub(r"^split\d+_test_", "", key) for key in cv_results if "_test_" in key}
        raise ValueError(
            f"needs 'split0_test_{scoring}', 'split1_test_{scoring}', ... of two or more folds "
            f"in cv_results, has {len(matches)}; scores there: {sorted(known)}"
        )
    matches.sort(key=lambda match: int(match[1]))
    scores = np.array([cv_results[match[0]] for match in matches], dtype=float).T
    check_finite(scores, "cv_results (candidate, fold)")
    return scores


def _adjusted(ranked: np.ndarray, ratio: float) -> np.ndarray:
    """Holm's p-values over all pairs, for the pairs with the first candidate."""
    n = len(ranked)
    pairs = [resampled(ranked[i + 1 :] - ranked[i], ratio) for i in range(n - 1)]
    p_values = np.concatenate([np.where(p.without_spread, 1, p.p_value) for p in pairs] + [[]])
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return np.concatenate([[1.0], adjusted[: n - 1]])
