"""The corrected resampled t-test, for one row of differences or for many at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Resampled(NamedTuple):
    """Mean and standard error of differences between scores on the same folds."""

    mean: np.ndarray
    standard_error: np.ndarray
    degrees_of_freedom: int

    @property
    def statistic(self) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self.mean / self.standard_error
        return np.where(self.mean == 0, 0.0, t)

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided, for a mean of zero."""
        return 2 * stats.t.sf(np.abs(self.statistic), self.degrees_of_freedom)

    def probability_above(self, value: float) -> np.ndarray:
        """How probable a mean above ``value`` is, after the folds and under a flat prior."""
        from_mean = Resampled(self.mean - value, self.standard_error, self.degrees_of_freedom)
        return stats.t.cdf(from_mean.statistic, self.degrees_of_freedom)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        reach = self.standard_error * stats.t.ppf((1 + level) / 2, self.degrees_of_freedom)
        return self.mean - reach, self.mean + reach


def resampled(differences: np.ndarray, test_train_ratio: float) -> Resampled:
    """Summarise the last axis, whose folds share training rows.

    Nadeau and Bengio's variance: 1/J + n_test/n_train in the place of 1/J.
    """
    n_folds = differences.shape[-1]
    mean = differences.mean(axis=-1)
    spread = differences.std(axis=-1, ddof=1)
    # What is left of equal scores after their subtraction is rounding, not a difference.
    rounding = 8 * np.finfo(float).eps * np.abs(differences).max(axis=-1, initial=1.0)
    mean = np.where(np.abs(mean) <= rounding, 0.0, mean)
    spread = np.where(spread <= rounding, 0.0, spread)
    return Resampled(mean, spread * np.sqrt(1 / n_folds + test_train_ratio), n_folds - 1)


def check_ratio(n_train: Any, n_test: Any) -> float:
    """Test rows to training rows, of one fold or of all folds together."""
    if n_train is None or n_test is None:
        raise ValueError(
            "the correction needs n_train and n_test, the rows that a fold trains on and is "
            "tested on (k-fold of n rows: n_train=n - n // k, n_test=n // k); or pass what "
            "cross_validate(..., return_indices=True) returned as both a and b"
        )
    train, test = np.asarray(n_train, dtype=float), np.asarray(n_test, dtype=float)
    if not (train.size and test.size and (train > 0).all() and (test > 0).all()):
        raise ValueError(f"n_train and n_test must be above 0; got {n_train!r} and {n_test!r}")
    return float(test.mean() / train.mean())


def check_level(confidence_level: float) -> None:
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"confidence_level must be between 0 and 1, as in 0.95; got {confidence_level!r}"
        )


def check_finite(scores: np.ndarray, name: str) -> None:
    if not np.isfinite(scores).all():
        failed = np.argwhere(~np.isfinite(scores))[0].tolist()
        raise ValueError(
            f"{name} has scores that are not finite, the first at {failed}: a fold that failed "
            "cannot be compared; see what cross-validation warned of"
        )
