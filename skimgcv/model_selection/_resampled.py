"""The mean over folds that share training rows, and its uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Resampled(NamedTuple):
    """Mean and standard error over folds: of scores, or of differences between them."""

    mean: np.ndarray
    standard_error: np.ndarray
    degrees_of_freedom: int

    @property
    def statistic(self) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self.mean / self.standard_error
        return np.where(self.mean == 0, 0.0, t)

    @property
    def without_spread(self) -> np.ndarray:
        """Whether all folds have the same value, and not 0: its error is unknown."""
        return (self.standard_error == 0) & (self.mean != 0)

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided, for a mean of zero."""
        return 2 * stats.t.sf(np.abs(self.statistic), self.degrees_of_freedom)

    def probability_above(self, value: float) -> np.ndarray:
        """Return the probability of a mean above ``value``, under a flat prior."""
        from_mean = Resampled(self.mean - value, self.standard_error, self.degrees_of_freedom)
        return stats.t.cdf(from_mean.statistic, self.degrees_of_freedom)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        reach = self.standard_error * stats.t.ppf((1 + level) / 2, self.degrees_of_freedom)
        return self.mean - reach, self.mean + reach


def corrected_interval(
    scores: ArrayLike, *, test_train_ratio: float, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Return a confidence interval of the expected score, from the scores of folds.

    Folds share training rows, so their scores are correlated, and the plain standard error is
    too small. This is a Student interval with the variance of Nadeau and Bengio, as in
    :func:`compare_scores`: ``1/J + n_test/n_train`` times the variance of a fold's score, for J
    folds in all, instead of ``1/J`` times.

    Parameters
    ----------
    scores : array-like of shape (n_folds,)
    test_train_ratio : float
        Test rows over training rows of a fold: ``1 / (k - 1)`` for k-fold, also repeated.
    confidence_level : float, default=0.95

    Returns
    -------
    tuple of float
        Lower and upper limit. NaN for a single fold, and for folds with equal scores: such
        scores do not tell their error.

    Raises
    ------
    ValueError
        If the scores are not one-dimensional and finite, or the level or ratio is invalid.

    Notes
    -----
    The correction is a heuristic that works well in simulations. To compare two models, use
    :func:`compare_scores` on the same folds, and not two intervals.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52
    (2003), 239-281, section 5.

    Examples
    --------
    >>> from skimgcv.model_selection import corrected_interval
    >>> low, high = corrected_interval([0.8, 0.9, 0.85, 0.9, 0.8], test_train_ratio=1 / 4)
    >>> round(low, 3), round(high, 3)
    (0.757, 0.943)
    """
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"scores must be one a fold, of shape (n_folds,); got {values.shape}")
    check_finite(values, "the cross-validation")
    check_level(confidence_level)
    if not 0 < test_train_ratio < np.inf:
        raise ValueError(
            f"test_train_ratio must be above 0, as in 1 / 4 for 5 folds; got {test_train_ratio!r}"
        )
    if len(values) == 1:
        return float("nan"), float("nan")
    summary = resampled(values, test_train_ratio)
    if summary.standard_error == 0:
        return float("nan"), float("nan")
    low, high = summary.interval(confidence_level)
    return float(low), float(high)


def resampled(differences: np.ndarray, test_train_ratio: float) -> Resampled:
    """Summarise the last axis, whose folds share training rows.

    The variance of Nadeau and Bengio has 1/J + n_test/n_train in place of 1/J.
    """
    n_folds = differences.shape[-1]
    mean = differences.mean(axis=-1)
    spread = differences.std(axis=-1, ddof=1)
    # A tiny difference of equal scores is rounding.
    rounding = 8 * np.finfo(float).eps * np.abs(differences).max(axis=-1, initial=1.0)
    mean = np.where(np.abs(mean) <= rounding, 0.0, mean)
    spread = np.where(spread <= rounding, 0.0, spread)
    return Resampled(mean, spread * np.sqrt(1 / n_folds + test_train_ratio), n_folds - 1)


def mean_ratio(n_train: Any, n_test: Any, n_folds: int) -> float:
    """Return the mean over folds of test rows over training rows."""
    if n_train is None or n_test is None:
        raise ValueError(
            "the correction needs n_train and n_test, the rows that a fold trains on and is "
            "tested on (k-fold of n rows: n_train=n - n // k, n_test=n // k); or pass what knows "
            "its folds: for a and b what cross_validate(..., return_indices=True) returned, for "
            "candidates the fitted search, with y and groups as it got them"
        )
    train, test = np.asarray(n_train, dtype=float), np.asarray(n_test, dtype=float)
    if not (train.size and test.size and (train > 0).all() and (test > 0).all()):
        raise ValueError(f"n_train and n_test must be above 0; got {n_train!r} and {n_test!r}")
    if not {train.shape, test.shape} <= {(), (n_folds,)}:
        raise ValueError(
            f"n_train and n_test must be a number each, or one for each of the {n_folds} folds; "
            f"got shapes {train.shape} and {test.shape}"
        )
    return float(np.mean(test / train))


def check_level(confidence_level: float) -> None:
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"confidence_level must be between 0 and 1, as in 0.95; got {confidence_level!r}"
        )


def check_finite(scores: np.ndarray, name: str) -> None:
    if not np.isfinite(scores).all():
        failed = np.argwhere(~np.isfinite(scores))[0].tolist()
        raise ValueError(
            f"{name} has scores that are not finite, the first at {failed}: that fold failed; "
            "see the warnings of the cross-validation"
        )
