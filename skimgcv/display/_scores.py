"""FoldScoresDisplay: the scores of every fold, their mean, and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skimgcv.display._plotting import pyplot, styled
from skimgcv.model_selection import corrected_interval


class FoldScoresDisplay:
    """Scores of every fold, with mean and confidence interval.

    Use ``from_cv_results`` or ``from_scores``. The interval is computed by
    :func:`~skimgcv.model_selection.corrected_interval`: folds share training rows, so the
    plain standard error of their scores is too small.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_folds,)
        By their names in the figure.
    means : dict of str to float
    intervals : dict of str to (float, float)
        NaN for a single fold.
    confidence_level : float, default=0.95
        Of the intervals.
    score_name : str, optional
        Label of the axis.

    Attributes
    ----------
    points_ : dict of str to matplotlib PathCollection
        After ``plot``.
    bars_ : dict of str to matplotlib ErrorbarContainer
    ax_, figure_ : matplotlib Axes, Figure

    Notes
    -----
    To compare two models, use :func:`~skimgcv.model_selection.compare_scores` on the same
    folds, and not two intervals.

    Examples
    --------
    >>> from skimgcv.display import FoldScoresDisplay
    >>> display = FoldScoresDisplay.from_scores({"accuracy": [0.8, 0.9, 0.85, 0.9, 0.8]})
    >>> [round(limit, 3) for limit in display.intervals["accuracy"]]
    [0.757, 0.943]
    """

    def __init__(
        self,
        scores: Mapping[str, np.ndarray],
        *,
        means: Mapping[str, float],
        intervals: Mapping[str, tuple[float, float]],
        confidence_level: float = 0.95,
        score_name: str | None = None,
    ) -> None:
        self.scores = scores
        self.means = means
        self.intervals = intervals
        self.confidence_level = confidence_level
        self.score_name = score_name

    @classmethod
    def from_scores(
        cls,
        scores: Mapping[str, ArrayLike],
        *,
        test_train_ratio: float | None = None,
        confidence_level: float = 0.95,
        score_name: str | None = None,
        ax: Any = None,
        scatter_kw: Mapping[str, Any] | None = None,
        errorbar_kw: Mapping[str, Any] | None = None,
    ) -> FoldScoresDisplay:
        """Draw scores, such as those of ``cross_val_score``, by name.

        Parameters
        ----------
        scores : dict of str to array-like of shape (n_folds,)
            By their names in the figure.
        test_train_ratio : float, optional
            Test rows divided by training rows of a fold. None assumes plain k-fold,
            1 / (k - 1). Pass it for repeated k-fold (1 / 4 if k is 5, for any number of
            repeats) and for shuffled splits.
        confidence_level : float, default=0.95
        score_name : str, optional
            Label of the axis.
        ax, scatter_kw, errorbar_kw
            As for ``plot``.

        Returns
        -------
        FoldScoresDisplay

        Raises
        ------
        ValueError
            If there are no scores, or the level or ratio is invalid.
        """
        if not scores:
            raise ValueError("scores needs at least one name with its scores, got none")
        of_folds = {name: _checked(name, values) for name, values in scores.items()}
        intervals = {
            name: corrected_interval(
                values,
                test_train_ratio=_plain_ratio(values)
                if test_train_ratio is None
                else test_train_ratio,
                confidence_level=confidence_level,
            )
            for name, values in of_folds.items()
        }
        return cls(
            of_folds,
            means={name: float(values.mean()) for name, values in of_folds.items()},
            intervals=intervals,
            confidence_level=confidence_level,
            score_name=score_name,
        ).plot(ax, scatter_kw=scatter_kw, errorbar_kw=errorbar_kw)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        scoring: str | None = None,
        test_train_ratio: float | None = None,
        confidence_level: float = 0.95,
        ax: Any = None,
        scatter_kw: Mapping[str, Any] | None = None,
        errorbar_kw: Mapping[str, Any] | None = None,
    ) -> FoldScoresDisplay:
        """Draw the scores of ``cross_validate``, for one run or several.

        Parameters
        ----------
        cv_results : dict
            The result of ``cross_validate``, or a dict from names to such results.
        scoring : str, optional
            Which score to read: ``"accuracy"`` for ``"test_accuracy"``. None draws all.
        test_train_ratio : float, optional
            Test rows divided by training rows, the mean over the folds. None reads it from
            ``"indices"`` (with ``return_indices=True``), and else assumes plain k-fold.
        confidence_level : float, default=0.95
        ax, scatter_kw, errorbar_kw
            As for ``plot``.

        Returns
        -------
        FoldScoresDisplay

        Raises
        ------
        ValueError
            If there are no scores of that name, or the folds of the runs have different
            proportions.
        """
        several = all(isinstance(result, Mapping) for result in cv_results.values())
        runs = cv_results if several and cv_results else {"": cv_results}
        names = {run: _score_names(result, scoring) for run, result in runs.items()}
        one = len({name for each in names.values() for name in each}) == 1
        scores = {
            (run if run and one else f"{run}, {name}" if run else name): runs[run][f"test_{name}"]
            for run, each in names.items()
            for name in each
        }
        return cls.from_scores(
            scores,
            test_train_ratio=_ratio(runs) if test_train_ratio is None else test_train_ratio,
            confidence_level=confidence_level,
            score_name=next(iter(names.values()))[0] if one and "" not in runs else None,
            ax=ax,
            scatter_kw=scatter_kw,
            errorbar_kw=errorbar_kw,
        )

    def plot(
        self,
        ax: Any = None,
        *,
        scatter_kw: Mapping[str, Any] | None = None,
        errorbar_kw: Mapping[str, Any] | None = None,
    ) -> FoldScoresDisplay:
        """Draw a row for each name: a point for each fold, and the mean with its interval.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a new figure.
        scatter_kw, errorbar_kw : dict, optional
            For ``Axes.scatter``, which draws the folds, and ``Axes.errorbar``, which draws
            the mean.

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
            points = styled("scatter", scatter_kw, color=color, alpha=0.6, s=22, lw=0)
            self.points_[name] = ax.scatter(scores, above, **points)
            mean, (low, high) = self.means[name], self.intervals[name]
            bar = styled("errorbar", errorbar_kw, color=color, marker="D", ms=5, ls="none")
            self.bars_[name] = ax.errorbar(
                mean, row + 0.14, xerr=[[mean - low], [high - mean]], **({"capsize": 4} | bar)
            )
        ax.set(yticks=range(len(self.scores)), yticklabels=list(self.scores))
        ax.set_ylim(len(self.scores) - 0.5, -0.5)
        ax.set_xlabel(self._label())
        ax.grid(axis="x", alpha=0.3)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _label(self) -> str:
        one_fold = all(len(scores) == 1 for scores in self.scores.values())
        interval = f"mean and {self.confidence_level:.0%} interval"
        drawn = "one fold" if one_fold else f"each fold; {interval}"
        return f"{self.score_name}: {drawn}" if self.score_name else drawn


def _checked(name: str, scores: ArrayLike) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"scores of {name!r} need shape (n_folds,), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(
            f"scores of {name!r} need to be finite, got {values}; a fold that failed has no "
            "score: see the warnings of the cross-validation"
        )
    return values


def _plain_ratio(scores: np.ndarray) -> float:
    """Return test rows over training rows of plain k-fold."""
    return 1 / max(1, len(scores) - 1)


def _score_names(result: Mapping[str, Any], scoring: str | None) -> list[str]:
    names = [name.removeprefix("test_") for name in result if name.startswith("test_")]
    chosen = names if scoring is None else [name for name in names if name == scoring]
    if not chosen:
        raise ValueError(
            f"cv_results needs test scores of {scoring or 'some scorer'}, it has {sorted(result)}"
        )
    return chosen


def _ratio(runs: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return the mean over folds of test rows over training rows, if the rows were kept."""
    ratios = {
        float(np.mean([len(test) / len(train) for train, test in zip(*rows, strict=True)]))
        for rows in (
            (result["indices"]["train"], result["indices"]["test"])
            for result in runs.values()
            if "indices" in result
        )
    }
    if len(ratios) > 1:
        raise ValueError(
            "cv_results have folds of different proportions, test over training rows "
            f"{sorted(ratios)}; draw them apart, or pass test_train_ratio"
        )
    return ratios.pop() if ratios else None
