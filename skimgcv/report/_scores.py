"""Scores of folds, in words and with the interval that they leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv.model_selection import corrected_interval

_MEANINGS = {
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
# Beginnings of scorers' names, and between what their values lie.
_RANGES = {
    ("accuracy", "balanced_accuracy", "top_k_accuracy", "f1", "precision", "recall", "jaccard"): (
        0.0,
        1.0,
    ),
    ("roc_auc", "average_precision", "score"): (0.0, 1.0),
    ("matthews_corrcoef",): (-1.0, 1.0),
    ("neg_",): (0.0, np.inf),
}


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
        ``corrected_interval``, cut where the score cannot go.
    limits : (float, float)
        The lowest and the highest value that there can be.
    is_loss : bool
        Whether less is better.
    """

    name: str
    values: np.ndarray
    mean: float
    interval: tuple[float, float]
    limits: tuple[float, float]
    is_loss: bool

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.replace("_", " ")

    @property
    def meaning(self) -> str:
        """What it measures, and in which direction it is good."""
        said = _MEANINGS.get(self.name, "")
        better = "less is better" if self.is_loss else "more is better"
        return f"{said}; {better}" if said else better


def scores_of(
    cv_results: Mapping[str, Any], *, test_train_ratio: float, confidence_level: float
) -> list[FoldScores]:
    """Return each test score of ``cross_validate``."""
    names = [name.removeprefix("test_") for name in cv_results if name.startswith("test_")]
    found = []
    for name in names:
        is_loss = name.startswith("neg_")
        values = np.asarray(cv_results[f"test_{name}"], dtype=float)
        values = -values if is_loss else values
        known = values[np.isfinite(values)]
        interval = (np.nan, np.nan)
        if len(known):
            interval = corrected_interval(
                known, test_train_ratio=test_train_ratio, confidence_level=confidence_level
            )
        limits = _limits(name, known)
        clipped = tuple(float(limit) for limit in np.clip(interval, *limits))
        mean = float(known.mean()) if len(known) else np.nan
        found.append(
            FoldScores(
                name.removeprefix("neg_"),
                values,
                mean,
                (clipped[0], clipped[1]),
                limits,
                is_loss,
            )
        )
    return found


def _limits(name: str, values: np.ndarray) -> tuple[float, float]:
    for beginnings, (low, high) in _RANGES.items():
        # A scorer of the user's own may have any name.
        if name.startswith(beginnings) and ((low <= values) & (values <= high)).all():
            return low, high
    return -np.inf, np.inf


def mean_ratio(splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return test rows over training rows, the mean of the folds."""
    return float(np.mean([len(test) / len(train) for train, test in splits]))
