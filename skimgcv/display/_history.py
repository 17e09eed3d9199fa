"""FoldHistoryDisplay: the learning curves of every fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skimgcv.display._plotting import pyplot, styled


class FoldHistoryDisplay:
    """Training and validation curves of every fold, with their means.

    Use ``from_cv_results``, ``from_estimators`` or ``from_histories``. Nothing is trained or
    predicted.

    Parameters
    ----------
    training : list of ndarray of shape (n_epochs,)
        A curve for each fold.
    training_mean : ndarray
        The mean over the folds, for the epochs that all folds ran. If some folds stop
        early, a mean of the others would jump.
    validation : list of ndarray, optional
        Curves of the hold-out sets.
    validation_mean : ndarray, optional
    metric : str, default="loss"
        What the curves measure, for the axis.

    Attributes
    ----------
    lines_, validation_lines_ : list of matplotlib Line2D
        After ``plot``; empty if there is nothing to draw.
    mean_line_, validation_mean_line_ : matplotlib Line2D or None
        None if there is nothing to draw, and for a single fold.
    ax_, figure_ : matplotlib Axes, Figure

    Examples
    --------
    >>> from skimgcv.display import FoldHistoryDisplay
    >>> histories = [{"loss": [1.0, 0.5]}, {"loss": [2.0, 1.0, 0.6]}]
    >>> FoldHistoryDisplay.from_histories(histories).training_mean
    array([1.5 , 0.75])
    """

    def __init__(
        self,
        training: list[np.ndarray],
        *,
        training_mean: np.ndarray,
        validation: list[np.ndarray] | None = None,
        validation_mean: np.ndarray | None = None,
        metric: str = "loss",
    ) -> None:
        self.training = training
        self.training_mean = training_mean
        self.validation = validation
        self.validation_mean = validation_mean
        self.metric = metric

    @classmethod
    def from_histories(
        cls,
        histories: Sequence[Mapping[str, Sequence[float]]],
        *,
        metric: str = "loss",
        ax: Any = None,
        line_kw: Mapping[str, Any] | None = None,
        mean_line_kw: Mapping[str, Any] | None = None,
    ) -> FoldHistoryDisplay:
        """Draw the curves of ``history_`` of several estimators.

        Parameters
        ----------
        histories : sequence of dict of str to sequence of float
            One for each fold.
        metric : str, default="loss"
            Which curve. ``"val_" + metric`` is also drawn if all folds have it.
        ax, line_kw, mean_line_kw
            As for ``plot``.

        Returns
        -------
        FoldHistoryDisplay

        Raises
        ------
        ValueError
            If there is no history, or one lacks the metric.
        """
        if not histories:
            raise ValueError("histories needs at least one fold, got none")
        for fold, history in enumerate(histories):
            if metric not in history:
                known = sorted(name for name in history if not name.startswith("val_"))
                raise ValueError(
                    f"metric={metric!r} needs to be in every history, fold {fold} has {known}"
                )
        training, validation = _curves(histories, metric), None
        if all(f"val_{metric}" in history for history in histories):
            validation = _curves(histories, f"val_{metric}")
        return cls(
            training,
            training_mean=_mean(training),
            validation=validation,
            validation_mean=None if validation is None else _mean(validation),
            metric=metric,
        ).plot(ax, line_kw=line_kw, mean_line_kw=mean_line_kw)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        metric: str = "loss",
        ax: Any = None,
        line_kw: Mapping[str, Any] | None = None,
        mean_line_kw: Mapping[str, Any] | None = None,
    ) -> FoldHistoryDisplay:
        """Draw the curves of ``cross_validate(..., return_estimator=True)``.

        Parameters
        ----------
        cv_results : dict
            With the fitted estimators as ``"estimator"``.
        metric : str, default="loss"
            Which curve. ``"val_" + metric`` is also drawn if all folds have it.
        ax, line_kw, mean_line_kw
            As for ``plot``.

        Returns
        -------
        FoldHistoryDisplay

        Raises
        ------
        ValueError
            If ``cv_results`` lacks the estimators.
        """
        if "estimator" not in cv_results:
            raise ValueError(
                'cv_results needs "estimator", it has '
                f"{sorted(cv_results)}; call cross_validate(..., return_estimator=True)"
            )
        return cls.from_estimators(
            cv_results["estimator"],
            metric=metric,
            ax=ax,
            line_kw=line_kw,
            mean_line_kw=mean_line_kw,
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Iterable[Any],
        *,
        metric: str = "loss",
        ax: Any = None,
        line_kw: Mapping[str, Any] | None = None,
        mean_line_kw: Mapping[str, Any] | None = None,
    ) -> FoldHistoryDisplay:
        """Draw the curves of fitted estimators, or of pipelines or searches around them.

        Parameters
        ----------
        estimators : iterable of fitted estimators
        metric : str, default="loss"
            Which curve. ``"val_" + metric`` is also drawn if all folds have it.
        ax, line_kw, mean_line_kw
            As for ``plot``.

        Returns
        -------
        FoldHistoryDisplay

        Raises
        ------
        ValueError
            If one has no ``history_``.
        """
        return cls.from_histories(
            [_history_of(each) for each in estimators],
            metric=metric,
            ax=ax,
            line_kw=line_kw,
            mean_line_kw=mean_line_kw,
        )

    def plot(
        self,
        ax: Any = None,
        *,
        line_kw: Mapping[str, Any] | None = None,
        mean_line_kw: Mapping[str, Any] | None = None,
    ) -> FoldHistoryDisplay:
        """Draw thin lines for the folds and thick ones for their means.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a new figure.
        line_kw, mean_line_kw : dict, optional
            For ``Axes.plot``, which draws the curves of the folds, and of their means.

        Returns
        -------
        self
        """
        plt = pyplot("FoldHistoryDisplay.plot")
        if ax is None:
            ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")[1]
        style = _Style("C0", "training", line_kw, mean_line_kw)
        self.lines_, self.mean_line_ = _draw(ax, self.training, self.training_mean, style)
        self.validation_lines_: list[Any] = []
        self.validation_mean_line_ = None
        if self.validation is not None and self.validation_mean is not None:
            style = _Style("C1", "validation", line_kw, mean_line_kw)
            self.validation_lines_, self.validation_mean_line_ = _draw(
                ax, self.validation, self.validation_mean, style
            )
        ax.set(xlabel="epoch", ylabel=self.metric)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if max(map(len, self.training)) == 1:
            ax.set_xticks([1])
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def keras_estimator_in(estimator: Any) -> Any:
    """Return the fitted estimator in a Pipeline or a search; None without one."""
    inner = estimator
    while not hasattr(inner, "history_"):
        if hasattr(inner, "best_estimator_"):
            inner = inner.best_estimator_
        elif hasattr(inner, "regressor_"):  # TransformedTargetRegressor
            inner = inner.regressor_
        elif hasattr(inner, "steps"):
            inner = inner.steps[-1][1]
        else:
            return None
    return inner


def _history_of(estimator: Any) -> Mapping[str, Sequence[float]]:
    inner = keras_estimator_in(estimator)
    if inner is None:
        raise ValueError(
            "a fold needs a fitted AugmentedKerasClassifier or AugmentedKerasRegressor, or a "
            f"Pipeline or search around one, for its history_; {type(estimator).__name__} has none"
        )
    history: Mapping[str, Sequence[float]] = inner.history_
    return history


def _curves(histories: Sequence[Mapping[str, Sequence[float]]], name: str) -> list[np.ndarray]:
    return [np.asarray(history[name], dtype=float) for history in histories]


def _mean(curves: list[np.ndarray]) -> np.ndarray:
    shared = min(len(curve) for curve in curves)
    return np.mean([curve[:shared] for curve in curves], axis=0)


class _Style(NamedTuple):
    """How a kind of curve is drawn."""

    color: str
    name: str
    line_kw: Mapping[str, Any] | None
    mean_line_kw: Mapping[str, Any] | None


def _draw(
    ax: Any, curves: list[np.ndarray], mean: np.ndarray, style: _Style
) -> tuple[list[Any], Any]:
    """Draw a kind of curve; the legend counts its folds."""
    alone = len(curves) == 1
    thin = {"lw": 1.8} if alone else {"lw": 0.8, "alpha": 0.5}
    # A single epoch is a point, which needs a marker.
    common = {
        "color": style.color,
        "marker": "." if max(len(curve) for curve in curves) == 1 else None,
    }
    of_fold = styled("plot", style.line_kw, **common, **thin)
    if alone:
        of_fold = {"label": style.name} | of_fold
    lines = [ax.plot(_epochs(curve), curve, **of_fold)[0] for curve in curves]
    if alone:
        return lines, None
    label = f"{style.name}, mean of {len(curves)} folds"
    of_mean = styled("plot", style.mean_line_kw, **common, lw=2.2, label=label)
    return lines, ax.plot(_epochs(mean), mean, **of_mean)[0]


def _epochs(curve: np.ndarray) -> np.ndarray:
    return np.arange(1, len(curve) + 1)
