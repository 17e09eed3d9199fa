"""What each fold's model said of the images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix


@dataclass(frozen=True)
class FoldPredictions:
    """A prediction for each test row of each fold, in the order of the rows.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    rows : ndarray of int, shape (n_predictions,)
        Where the image stands in X. Repeated folds test a row several times.
    folds : ndarray of int, shape (n_predictions,)
        Counted from 0.
    labels : ndarray of shape (n_predictions,)
        The true ones.
    proba : ndarray of shape (n_predictions, n_classes)
        0 for a class that a fold's model does not know.
    """

    classes: np.ndarray
    rows: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    proba: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest labels."""
        return self.classes[self.proba.argmax(axis=1)]

    @property
    def n_right(self) -> int:
        """How many predictions are right."""
        return int(np.count_nonzero(self.predicted == self.labels))

    def confusion(self) -> np.ndarray:
        """Return counts: a row a true class, a column a predicted one."""
        return confusion_matrix(self.labels, self.predicted, labels=self.classes)

    def by_row(self) -> FoldPredictions:
        """Return one prediction a row: the mean of those of repeated folds."""
        rows, first, which = np.unique(self.rows, return_index=True, return_inverse=True)
        proba = np.zeros((len(rows), len(self.classes)))
        np.add.at(proba, which, self.proba)
        proba /= np.bincount(which)[:, None]
        return FoldPredictions(self.classes, rows, self.folds[first], self.labels[first], proba)


def predict_folds(
    estimators: Sequence[Any], tests: Sequence[np.ndarray], X: Any, y: np.ndarray
) -> FoldPredictions:
    """Let each fold's model predict the rows that it was not trained on."""
    classes = np.unique(y)
    rows = np.concatenate(tests)
    folds = np.repeat(np.arange(len(tests)), [len(test) for test in tests])
    proba = np.zeros((len(rows), len(classes)))
    for fold, (fitted, test) in enumerate(zip(estimators, tests, strict=True)):
        places = np.searchsorted(classes, fitted.classes_)
        proba[np.ix_(folds == fold, places)] = fitted.predict_proba(take(X, test))
    order = np.lexsort((folds, rows))
    rows, folds = rows[order], folds[order]
    return FoldPredictions(classes, rows, folds, y[rows], proba[order])


def take(X: Any, rows: np.ndarray) -> Any:
    """Return rows of X, whatever kind of X it is."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else [X[row] for row in rows]
