"""FoldScoresDisplay: the scores of every fold, their mean, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from skimgcv.display._plotting import pyplot


class FoldScoresDisplay:
    """Scores of every fold, with mean and confidence interval.

    Use ``from_cv_results``. Training sets of different folds overlap, so the plain
    standard error of their scores is too small. The interval is a Student one with the
    variance corrected for that: ``(1 / k + test_over_train) * variance`` where the plain
    one has ``1 / k``, for k folds in all.

    Parameters
    ----------
    scores : dict of str to array-like of shape (n_folds,)
        By what they are called in the figure.
    test_over_train : float, optional
        Test rows over training rows of a fold; None takes k folds for plain k-fold,
        1 / (k - 1). Pass it for repeated k-fold (1 / 4 where k is 5, however often) and
        for shuffled splits.
    confidence : float, default=0.95
        Level of the interval.

    Attributes
    ----------
    means : dict of str to float
    intervals : dict of str to (float, float)
        Not a number for a single fold.
    points_ : dict of str to matplotlib PathCollection
        After ``plot``.
    bars_ : dict of str to matplotlib ErrorbarContainer
    ax_, figure_ : matplotlib Axes, Figure

    Notes
    -----
    The correction is a rule of thumb that holds well in simulations, not a theorem. To
    tell two policies apart, compare their scores on the same folds, not two intervals.

    References
    ----------
    Nadeau and Bengio (2003), "Inference for the generalization error", Machine Learning
    52, section 5.

    Examples
    --------
    >>> from skimgcv.display import FoldScoresDisplay
    >>> display = FoldScoresDisplay({"accuracy": [0.8, 0.9, 0.85, 0.9, 0.8]})
    >>> [round(limit, 3) for limit in display.intervals["accuracy"]]
    [0.757, 0.943]
    """

    def __init__(
        self,
        scores: Mapping[str, ArrayLike],
        *,
        test_over_train: float | None = None,
        confidence: float = 0.95,
    ) -> None:
        if not scores:
            raise ValueError("scores needs at least one name with its scores, got none")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence needs to be between 0 and 1, got {confidence}")
        self.scores = {name: _checked(name, values) for name, values in scores.items()}
        self.test_over_train = test_over_train
        self.confidence = confidence
        self.means = {name: float(values.mean()) for name, values in self.scores.items()}
        self.intervals = {name: self._interval(values) for name, values in self.scores.items()}

    def _interval(self, scores: np.ndarray) -> tuple[float, float]:
        n_folds = len(scores)
        if n_folds == 1:
            return float("nan"), float("nan")
        ratio = 1 / (n_folds - 1) if self.test_over_train is None else self.test_over_train
        error = np.sqrt((1 / n_folds + ratio) * scores.var(ddof=1))
        half = float(stats.t.ppf((1 + self.confidence) / 2, n_folds - 1) * error)
        return float(scores.mean()) - half, float(scores.mean()) + half

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        metric: str | None = None,
        test_over_train: float | None = None,
        confidence: float = 0.95,
        ax: Any = None,
    ) -> FoldScoresDisplay:
        """Draw the scores of ``cross_validate``, of one run or of several by name.

        Parameters
        ----------
        cv_results : dict
            What ``cross_validate`` gave, or a dict from names to such.
        metric : str, optional
            None draws all: ``"accuracy"`` for ``"test_accuracy"``.
        test_over_train : float, optional
            Test rows over training rows; None reads it from ``"indices"``, there with
            ``return_indices=True``, and takes the folds for plain k-fold without.
        confidence : float, default=0.95
        ax : matplotlib Axes, optional

        Returns
        -------
        FoldScoresDisplay

        Raises
        ------
        ValueError
            Where there are no scores of that name, or runs whose folds have different
            proportions.
        """
        several = all(isinstance(result, Mapping) for result in cv_results.values())
        runs = cv_results if several and cv_results else {"": cv_results}
        names = {run: _metrics(result, metric) for run, result in runs.items()}
        one = len({name for each in names.values() for name in each}) == 1
        scores = {
            (run if run and one else f"{run}, {name}" if run else name): runs[run][f"test_{name}"]
            for run, each in names.items()
            for name in each
        }
        if test_over_train is None:
            test_over_train = _ratio(runs)
        display = cls(scores, test_over_train=test_over_train, confidence=confidence).plot(ax)
        if "" not in runs and one:
            metric = next(iter(names.values()))[0]
            display.ax_.set_xlabel(f"{metric}: {display.ax_.get_xlabel()}")
        return display

    def plot(self, ax: Any = None) -> FoldScoresDisplay:
        """Draw a row a name: a point a fold, the mean and its interval below them.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a new figure.

        Returns
        -------
        self
        """
        plt = pyplot("FoldScoresDisplay.plot")
        if ax is None:
            # 10-point letters are about 0.085 inches wide.
            letters = max(map(len, self.scores))
            size = (5 + 0.085 * letters, 1.1 + 0.6 * len(self.scores))
            ax = plt.subplots(figsize=size, layout="constrained")[1]
        self.points_, self.bars_ = {}, {}
        for row, (name, scores) in enumerate(self.scores.items()):
            color, above = f"C{row % 10}", np.full(len(scores), row - 0.14)
            self.points_[name] = ax.scatter(scores, above, color=color, alpha=0.6, s=22, lw=0)
            mean, (low, _) = self.means[name], self.intervals[name]
            self.bars_[name] = ax.errorbar(
                mean, row + 0.14, xerr=mean - low, fmt="D", ms=5, capsize=4, color=color
            )
        ax.set(yticks=range(len(self.scores)), yticklabels=list(self.scores))
        ax.set_ylim(len(self.scores) - 0.5, -0.5)
        one_fold = all(len(scores) == 1 for scores in self.scores.values())
        below = "one fold" if one_fold else f"each fold; mean and {self.confidence:.0%} interval"
        ax.set_xlabel(below)
        ax.grid(axis="x", alpha=0.3)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _checked(name: str, scores: ArrayLike) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"scores of {name!r} need shape (n_folds,), got {values.shape}")
    return values


def _metrics(result: Mapping[str, Any], metric: str | None) -> list[str]:
    names = [name.removeprefix("test_") for name in result if name.startswith("test_")]
    chosen = names if metric is None else [name for name in names if name == metric]
    if not chosen:
        raise ValueError(
            f"cv_results needs test scores of {metric or 'some metric'}, it has {sorted(result)}"
        )
    return chosen


def _ratio(runs: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return test rows over training rows, where the rows were kept."""
    ratios = {
        sum(map(len, result["indices"]["test"])) / sum(map(len, result["indices"]["train"]))
        for result in runs.values()
        if "indices" in result
    }
    if len(ratios) > 1:
        raise ValueError(
            "cv_results have folds of different proportions, test over training rows "
            f"{sorted(ratios)}; draw them apart, or pass test_over_train"
        )
    return ratios.pop() if ratios else None
