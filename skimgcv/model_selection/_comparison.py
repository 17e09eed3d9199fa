"""Test the difference between two models' scores on the same folds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skimgcv.exceptions import SkimgcvWarning

from ._folds import rows_of
from ._resampled import check_finite, check_level, mean_ratio, resampled


@dataclass(frozen=True, repr=False)
class ScoreComparison:
    """The difference between two models on the same folds, and its uncertainty.

    :func:`compare_scores` returns it.

    Attributes
    ----------
    difference : float
        Mean over the folds of a's score minus b's.
    standard_error : float
        Of ``difference``, corrected for folds that share training rows.
    interval : tuple of float
        Confidence interval of the expected difference, at ``confidence_level``. It is also
        the Bayesian credible interval of that level.
    statistic, degrees_of_freedom, p_value : float, int, float
        Of the two-sided corrected resampled t-test for a difference of zero.
    probability_better, probability_equivalent, probability_worse : float
        Probabilities that the expected difference is above ``rope``, within it, and below
        ``-rope``, by the Bayesian correlated t-test. The three add up to 1.
    confidence_level, rope, test_train_ratio : float
        The parameters of the test.
    differences : ndarray of shape (n_folds,)
        a's score minus b's on each fold.
    """

    difference: float
    standard_error: float
    interval: tuple[float, float]
    statistic: float
    degrees_of_freedom: int
    p_value: float
    probability_better: float
    probability_equivalent: float
    probability_worse: float
    confidence_level: float
    rope: float
    test_train_ratio: float
    differences: np.ndarray = field(compare=False)

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"a - b = {self.difference:+.4f}, {self.confidence_level:.0%} interval "
            f"[{low:+.4f}, {high:+.4f}], {len(self.differences)} folds\n"
            f"corrected resampled t-test: t = {self.statistic:.3f} with "
            f"{self.degrees_of_freedom} degrees of freedom, p = {self.p_value:.4f}\n"
            f"probability that a is better: {self.probability_better:.3f}{self._in_rope()}"
        )

    def _in_rope(self) -> str:
        if not self.rope:
            return ""
        return (
            f"; within {self.rope:g} of b: {self.probability_equivalent:.3f}; "
            f"worse: {self.probability_worse:.3f}"
        )


def compare_scores(
    a: Any,
    b: Any,
    *,
    n_train: Any = None,
    n_test: Any = None,
    scoring: str = "score",
    confidence_level: float = 0.95,
    rope: float = 0.0,
) -> ScoreComparison:
    """Compare two models by their scores on the same folds.

    The folds of a cross-validation share training rows, so their scores are correlated, and
    the ordinary paired t-test finds differences that do not exist. This is the corrected
    resampled t-test of Nadeau and Bengio. For the variance of the mean over J folds it uses
    ``1/J + n_test/n_train`` times the variance of a fold's difference, instead of ``1/J`` times.

    Parameters
    ----------
    a, b : array-like of shape (n_folds,), or dict
        Scores on the same folds in the same order, greater is better; or the results of
        ``cross_validate``.
    n_train, n_test : int or array-like of shape (n_folds,), optional
        Numbers of training and test rows of a fold. If folds differ, the mean of their ratios
        is used. Not needed if a and b come from ``cross_validate(..., return_indices=True)``;
        then the function also checks that their folds are equal.
    scoring : str, default="score"
        Which score to read from dicts: ``"accuracy"`` for ``"test_accuracy"``.
    confidence_level : float, default=0.95
        Of the interval.
    rope : float, default=0.0
        Region of practical equivalence, in units of the score. The probabilities treat
        smaller differences as equivalent.

    Returns
    -------
    ScoreComparison
        Estimate, interval, p-value and probabilities.

    Raises
    ------
    ValueError
        If a and b do not have a finite score for each of the same two or more folds, or the
        sizes of the folds are unknown.

    Warns
    -----
    skimgcv.exceptions.SkimgcvWarning
        If the difference is the same on all folds, so that no variance can be estimated.

    Notes
    -----
    The test assumes:

    - Both models ran on the same folds, of k-fold (also repeated, stratified, by group) or of
      repeated random splits.
    - The differences are approximately normal. With few test images in a fold they are not.
    - The correlation between two folds' differences is ``n_test / (n_train + n_test)``. This
      is a heuristic; no unbiased estimate of it exists. It is usually conservative, and more
      so if the test images cause most of a score's variance. Keep n_test well below n_train.
    - The rows are independent. If images belong to groups, the splits must keep groups
      together; :func:`duplicate_groups` finds groups of copies.

    The result is about *training on n_train rows of this kind of data*. It is not about the
    model fitted on all rows, or about other data sets. More repeats of the same folds make the
    result more stable, but only new images make it more certain.

    The Bayesian correlated t-test has a flat prior. Its posterior is a Student distribution
    with the same mean, scale and degrees of freedom. So the credible interval equals the
    confidence interval, and with ``rope=0`` the probability that a is better is one minus the
    one-sided p-value.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52
    (2003), 239-281. R. R. Bouckaert and E. Frank, "Evaluating the replicability of
    significance tests for comparing learning algorithms", PAKDD 2004, for repeated k-fold.
    A. Benavoli, G. Corani, J. Demsar and M. Zaffalon, "Time for a change: a tutorial for
    comparing multiple classifiers through Bayesian analysis", JMLR 18 (2017), 1-36.

    Examples
    --------
    >>> from skimgcv.model_selection import compare_scores
    >>> augmented = [0.91, 0.93, 0.90, 0.94, 0.92]
    >>> plain = [0.88, 0.91, 0.88, 0.90, 0.91]
    >>> compare_scores(augmented, plain, n_train=400, n_test=100)
    a - b = +0.0240, 95% interval [+0.0028, +0.0452], 5 folds
    corrected resampled t-test: t = 3.138 with 4 degrees of freedom, p = 0.0349
    probability that a is better: 0.983
    """
    scores_a, scores_b = _scores(a, scoring, "a"), _scores(b, scoring, "b")
    if len(scores_a) != len(scores_b) or len(scores_a) < 2:
        raise ValueError(
            "a and b need a score for each of the same folds, two or more; "
            f"got {len(scores_a)} and {len(scores_b)} scores"
        )
    if n_train is None and n_test is None:
        n_train, n_test = _fold_sizes(a, b)
    check_level(confidence_level)
    if not rope >= 0:
        raise ValueError(f"rope must be 0 or above, in units of the score; got {rope!r}")
    ratio = mean_ratio(n_train, n_test, len(scores_a))
    differences = scores_a - scores_b
    summary = resampled(differences, ratio)
    if summary.without_spread:
        warnings.warn(
            f"All {len(differences)} folds differ by the same {float(summary.mean):.4g}, so the "
            "error cannot be estimated from their spread. The p-value and the interval are too "
            "certain. Use more folds, or more test images in each.",
            SkimgcvWarning,
            stacklevel=2,
        )
    better, worse = _probabilities(summary, rope)
    low, high = summary.interval(confidence_level)
    return ScoreComparison(
        difference=float(summary.mean),
        standard_error=float(summary.standard_error),
        interval=(float(low), float(high)),
        statistic=float(summary.statistic),
        degrees_of_freedom=summary.degrees_of_freedom,
        p_value=float(summary.p_value),
        probability_better=better,
        probability_equivalent=1 - better - worse,
        probability_worse=worse,
        confidence_level=confidence_level,
        rope=rope,
        test_train_ratio=ratio,
        differences=differences,
    )


def _probabilities(summary: Any, rope: float) -> tuple[float, float]:
    if summary.standard_error == 0:
        mean = float(summary.mean)
        # Without spread, all probability is at the mean; at zero it is halved between the two
        # sides.
        tied = 0.5 if rope == 0 and mean == 0 else 0.0
        return float(mean > rope) + tied, float(mean < -rope) + tied
    better = float(summary.probability_above(rope))
    return better, 1 - float(summary.probability_above(-rope))


def _scores(given: Any, scoring: str, name: str) -> np.ndarray:
    if isinstance(given, Mapping):
        key = f"test_{scoring}"
        if key not in given:
            known = [str(k).removeprefix("test_") for k in given if str(k).startswith("test_")]
            raise ValueError(f"{name} has no {key!r}; pass scoring, one of {known}")
        given = given[key]
    scores = np.asarray(given, dtype=float)
    if scores.ndim != 1:
        raise ValueError(
            f"{name} must be one score a fold, of shape (n_folds,); got shape {scores.shape}"
        )
    check_finite(scores, name)
    return scores


def _fold_sizes(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the sizes of the folds, if both results have their rows."""
    if not all(isinstance(given, Mapping) and "indices" in given for given in (a, b)):
        return None, None
    sizes = []
    for part, done in (("test", "tested"), ("train", "trained")):
        of_a, of_b = (list(map(rows_of, given["indices"][part])) for given in (a, b))
        for fold, (one, other) in enumerate(zip(of_a, of_b, strict=True)):
            if not np.array_equal(np.sort(one), np.sort(other)):
                raise ValueError(
                    f"a and b were not {done} on the same rows in fold {fold}; give both the same "
                    "folds: cv=list(splitter.split(X, y, groups)), or a splitter with a "
                    "random_state"
                )
        sizes.append([len(rows) for rows in of_a])
    n_test, n_train = sizes
    return n_train, n_test
