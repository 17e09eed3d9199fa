"""Scores of folds, in words and with the interval that they leave open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skimgcv.model_selection import corrected_interval

if TYPE_CHECKING:
    from skimgcv._models.targets import Kind

_OF_CLASSES = {
    "accuracy": "share of test images that were named correctly",
    "balanced_accuracy": "the same share, counted class by class and then averaged, so that a "
    "rare class counts as much as a common one",
    "log_loss": "penalty for wrong and for unsure answers; 0 would be perfect",
    "roc_auc": "chance that an image of the second class gets a higher score than one of the "
    "first",
    "average_precision": "area below the precision-recall curve",
    "matthews_corrcoef": "agreement between truth and answer: 1 is perfect, 0 is chance",
    "f1_macro": "balance of precision and recall, averaged over the classes",
}
_ALL_LABELS = "share of test images whose labels are all right"
_OF_LABELS = {
    "score": _ALL_LABELS,
    "accuracy": _ALL_LABELS,
    "f1_macro": "balance of precision and recall, averaged over the labels",
    "average_precision": "area below the precision-recall curve, averaged over the labels",
    "roc_auc": "chance that an image with a label gets a higher score for it than one without, "
    "averaged over the labels",
}
_VARIANCE = "share of the variance of the numbers that is explained: 1 is perfect, 0 is what one "
_VARIANCE += "gets by always answering their mean"
_OF_NUMBERS = {
    "score": _VARIANCE,
    "r2": _VARIANCE,
    "mean_absolute_error": "how far answers are off on average",
    "root_mean_squared_error": "the same, but large errors count more",
    "mean_squared_error": "the mean of the squared errors",
    "median_absolute_error": "half of the answers are off by less",
}
_MEANINGS: Mapping[Kind, Mapping[str, str]] = {
    "classes": _OF_CLASSES,
    "labels": _OF_LABELS,
    "numbers": _OF_NUMBERS,
}
# Beginnings of scorers' names, and between what their values lie.
_RANGES = {
    ("accuracy", "balanced_accuracy", "top_k_accuracy", "f1", "precision", "recall", "jaccard"): (
        0.0,
        1.0,
    ),
    ("roc_auc", "average_precision", "score"): (0.0, 1.0),
    ("matthews_corrcoef",): (-1.0, 1.0),
    ("r2", "explained_variance", "d2_"): (-np.inf, 1.0),
    ("neg_",): (0.0, np.inf),
}
_TITLES = {"r2": "R\N{SUPERSCRIPT TWO}"}
_NONE = "\N{EN DASH}"
CANNOT_BE_TOLD = "cannot be told"
_SAME = (
    "all folds score the same. That does not make it certain: how much other images would change "
    "it cannot be told."
)
_TOO_FEW = "an interval needs the scores of 2 folds or more; there are {n}."


@dataclass(frozen=True)
class FoldScores:
    """One kind of score, of all folds.

    Attributes
    ----------
    name : str
        Its scorer's, without "neg_".
    values : ndarray of shape (n_folds,)
        Of a loss the loss itself: positive. Not a number where a fold has none.
    mean : float
        Of the folds that have one.
    interval : (float, float)
        ``corrected_interval``, cut where the score cannot go. Not numbers where it cannot be
        told, since fewer than two folds have a score, or all have the same.
    limits : (float, float)
        The lowest and the highest value that there can be.
    meaning : str
        What it measures, and in which direction it is good.
    """

    name: str
    values: np.ndarray
    mean: float
    interval: tuple[float, float]
    limits: tuple[float, float]
    meaning: str

    @property
    def title(self) -> str:
        """The name as people write it."""
        return _TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def is_undefined_somewhere(self) -> bool:
        """Whether a fold has no such score."""
        return not bool(np.isfinite(self.values).all())

    @property
    def interval_in_words(self) -> str:
        """Such as "0.757 to 0.943"."""
        return interval_in_words(self.name, self.interval)

    def formatted(self, value: float) -> str:
        """Return a value of this score as text; a dash where there is none."""
        return formatted(self.name, value) if math.isfinite(value) else _NONE


def formatted(name: str, value: float) -> str:
    """Return a value of a score of some name as text."""
    return in_digits(value) if name.endswith("_error") else f"{value:.3f}"


def interval_in_words(name: str, interval: tuple[float, float]) -> str:
    """Return the interval of a score, or that there is none."""
    if np.isnan(interval).any():
        return CANNOT_BE_TOLD
    return " to ".join(formatted(name, limit) for limit in interval)


def without_interval(
    values: Mapping[str, np.ndarray], intervals: Mapping[str, tuple[float, float]]
) -> list[str]:
    """Say which scores have no interval, and why: of folds and intervals by name."""
    by_reason: dict[str, list[str]] = {}
    for name, interval in intervals.items():
        if np.isnan(interval).any():
            n = int(np.isfinite(values[name]).sum())
            by_reason.setdefault(_SAME if n >= 2 else _TOO_FEW.format(n=n), []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def in_digits(value: float) -> str:
    """Return a number in any unit, such as of people or of micrometres, with four digits."""
    if not math.isfinite(value):
        return _NONE
    size = math.floor(math.log10(abs(value))) if value else 3
    return f"{value:,.{min(12, max(0, 3 - size))}f}"


def as_given(value: float) -> str:
    """Return a number of y: whole if it is, and with four digits otherwise."""
    # -0.0 is 0, too.
    return f"{value + 0.0:,.0f}" if float(value).is_integer() else in_digits(value)


def scores_of(
    cv_results: Mapping[str, Any],
    *,
    kind: Kind,
    test_train_ratio: float,
    confidence_level: float,
) -> list[FoldScores]:
    """Return each test score of ``cross_validate``."""
    names = [name.removeprefix("test_") for name in cv_results if name.startswith("test_")]
    found = []
    for name in names:
        is_loss = name.startswith("neg_")
        values = np.asarray(cv_results[f"test_{name}"], dtype=float)
        values = -values if is_loss else values
        known = values[np.isfinite(values)]
        limits = _limits("r2" if (kind, name) == ("numbers", "score") else name, known)
        mean = float(known.mean()) if len(known) else np.nan
        name = name.removeprefix("neg_")
        found.append(
            FoldScores(
                name,
                values,
                mean,
                _interval(known, limits, test_train_ratio, confidence_level),
                limits,
                _meaning(kind, name, is_loss=is_loss),
            )
        )
    return found


def _interval(
    known: np.ndarray, limits: tuple[float, float], test_train_ratio: float, level: float
) -> tuple[float, float]:
    if len(known) < 2:
        return np.nan, np.nan
    low, high = corrected_interval(
        known, test_train_ratio=test_train_ratio, confidence_level=level
    )
    if not low < high:
        return np.nan, np.nan
    return float(max(low, limits[0])), float(min(high, limits[1]))


def _meaning(kind: Kind, name: str, *, is_loss: bool) -> str:
    said = _MEANINGS[kind].get(name, _OF_CLASSES.get(name, "") if kind != "numbers" else "")
    better = "less is better" if is_loss else "more is better"
    return f"{said}; {better}" if said else better


def _limits(name: str, values: np.ndarray) -> tuple[float, float]:
    for beginnings, (low, high) in _RANGES.items():
        # A scorer of the user's own may have any name.
        if name.startswith(beginnings) and ((low <= values) & (values <= high)).all():
            return low, high
    return -np.inf, np.inf


def mean_ratio(splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return test rows over training rows, the mean of the folds."""
    return float(np.mean([len(test) / len(train) for train, test in splits]))
