"""What each fold's model said of the images that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skimgcv.display._history import keras_estimator_in


@dataclass(frozen=True)
class FoldPredictions:
    """A prediction for each test row of each fold, in the order of the rows.

    Attributes
    ----------
    rows : ndarray of int, shape (n_predictions,)
        Where the image stands in X. Repeated folds test a row several times.
    folds : ndarray of int, shape (n_predictions,)
        Counted from 0.
    """

    rows: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class ClassPredictions(FoldPredictions):
    """Of one class a row.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    labels : ndarray of shape (n_predictions,)
        The true ones.
    proba : ndarray of shape (n_predictions, n_classes)
        0 for a class that a fold's model does not know.
    """

    classes: np.ndarray
    labels: np.ndarray
    proba: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Whether a row is of a class: bool, a column a class."""
        table: np.ndarray = self.labels[:, None] == self.classes
        return table

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

    def by_row(self) -> ClassPredictions:
        """Return one prediction a row: the mean of those of repeated folds."""
        rows, first, proba = _mean_by_row(self.rows, self.proba)
        return ClassPredictions(rows, self.folds[first], self.classes, self.labels[first], proba)


@dataclass(frozen=True)
class LabelPredictions(FoldPredictions):
    """Of several labels a row.

    Attributes
    ----------
    classes : ndarray of shape (n_labels,)
        The labels' names.
    labels : ndarray of 0 and 1, shape (n_predictions, n_labels)
        The true ones.
    proba : ndarray of shape (n_predictions, n_labels)
    """

    classes: np.ndarray
    labels: np.ndarray
    proba: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Whether a row has a label: bool, a column a label."""
        return self.labels.astype(bool)

    @property
    def predicted(self) -> np.ndarray:
        """0 and 1: the labels above 0.5."""
        return (self.proba > 0.5).astype(self.labels.dtype)

    @property
    def n_right(self) -> int:
        """How many predictions are right in all labels."""
        return int((self.predicted == self.labels).all(axis=1).sum())

    def confusion(self) -> np.ndarray:
        """Return counts: for each label a row lacks and has, a column not predicted and so."""
        return multilabel_confusion_matrix(self.labels, self.predicted)

    def by_row(self) -> LabelPredictions:
        """Return one prediction a row: the mean of those of repeated folds."""
        rows, first, proba = _mean_by_row(self.rows, self.proba)
        return LabelPredictions(rows, self.folds[first], self.classes, self.labels[first], proba)


@dataclass(frozen=True)
class NumberPredictions(FoldPredictions):
    """Of numbers.

    Attributes
    ----------
    targets : ndarray of shape (n_predictions, n_outputs)
        The true ones.
    predicted : ndarray of shape (n_predictions, n_outputs)
    """

    targets: np.ndarray
    predicted: np.ndarray

    def by_row(self) -> NumberPredictions:
        """Return one prediction a row: the mean of those of repeated folds."""
        rows, first, predicted = _mean_by_row(self.rows, self.predicted)
        return NumberPredictions(rows, self.folds[first], self.targets[first], predicted)


def _mean_by_row(
    of_rows: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows, where each stands first, and the mean of its values."""
    rows, first, which = np.unique(of_rows, return_index=True, return_inverse=True)
    means = np.zeros((len(rows), values.shape[1]))
    np.add.at(means, which, values)
    return rows, first, means / np.bincount(which)[:, None]


def classes_of_folds(
    estimators: Sequence[Any], tests: Sequence[np.ndarray], X: Any, y: np.ndarray
) -> ClassPredictions:
    """Let each fold's model predict the classes of rows that it was not trained on."""
    for fitted in estimators:
        _check_has_no_threshold(fitted)
    # A model that was trained elsewhere may know more.
    classes = np.unique(np.concatenate([y, *(fitted.classes_ for fitted in estimators)]))

    def proba_of(fitted: Any, images: Any) -> np.ndarray:
        known = fitted.predict_proba(images)
        proba = np.zeros((len(known), len(classes)))
        proba[:, np.searchsorted(classes, fitted.classes_)] = known
        return proba

    rows, folds, proba = _in_order(estimators, tests, X, proba_of)
    return ClassPredictions(rows, folds, classes, y[rows], proba)


def _check_has_no_threshold(fitted: Any) -> None:
    while inner := getattr(fitted, "best_estimator_", None) or getattr(fitted, "steps", None):
        fitted = inner[-1][1] if isinstance(inner, list) else inner
    if isinstance(fitted, (FixedThresholdClassifier, TunedThresholdClassifierCV)):
        raise ValueError(
            f"{type(fitted).__name__} decides at a threshold of its own, and the report counts "
            "the likeliest class: its numbers would contradict the scores. Cross-validate and "
            "report the classifier that it contains."
        )


def labels_of_folds(
    estimators: Sequence[Any],
    tests: Sequence[np.ndarray],
    X: Any,
    y: np.ndarray,
    names: np.ndarray,
) -> LabelPredictions:
    """Let each fold's model predict the labels of rows that it was not trained on."""
    if not _is_of_labels(estimators[0], take(X, tests[0])):
        raise ValueError(
            f"y has shape {y.shape}, several labels a row, and the classifier predicts one a "
            "row; pass one label a row to cross_validate and to the report, or fit a classifier "
            "of several labels, such as AugmentedKerasClassifier(..., multilabel=True)"
        )
    rows, folds, proba = _in_order(estimators, tests, X, _label_proba)
    if proba.shape[1] != len(names):
        raise ValueError(
            f"y has {len(names)} labels, and the classifier predicts {proba.shape[1]}; pass y as "
            "cross_validate got it"
        )
    return LabelPredictions(rows, folds, names, y[rows], proba)


def _is_of_labels(fitted: Any, images: Any) -> bool:
    inner = keras_estimator_in(fitted)
    if inner is None:  # another package's, whose attributes say nothing of it
        return np.ndim(fitted.predict(images)) == 2
    return bool(inner.multilabel)


def _label_proba(fitted: Any, images: Any) -> np.ndarray:
    proba = fitted.predict_proba(images)
    if not isinstance(proba, list):
        return np.asarray(proba)
    # Forests, neighbours and MultiOutputClassifier have a table of lacks and has for each label.
    has = [
        each[:, list(known).index(1)] if 1 in known else np.zeros(len(each))
        for each, known in zip(proba, fitted.classes_, strict=True)
    ]
    return np.column_stack(has)


def numbers_of_folds(
    estimators: Sequence[Any], tests: Sequence[np.ndarray], X: Any, y: np.ndarray
) -> NumberPredictions:
    """Let each fold's model predict the numbers of rows that it was not trained on."""

    def predicted_by(fitted: Any, images: Any) -> np.ndarray:
        predicted = np.asarray(fitted.predict(images), dtype=float)
        return predicted.reshape(len(predicted), -1)

    rows, folds, predicted = _in_order(estimators, tests, X, predicted_by)
    return NumberPredictions(rows, folds, y.reshape(len(y), -1)[rows], predicted)


def _in_order(
    estimators: Sequence[Any],
    tests: Sequence[np.ndarray],
    X: Any,
    predict: Callable[[Any, Any], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, folds and predictions, sorted by row."""
    pairs = zip(estimators, tests, strict=True)
    values = np.concatenate([predict(fitted, take(X, test)) for fitted, test in pairs])
    rows = np.concatenate(tests)
    folds = np.repeat(np.arange(len(tests)), [len(test) for test in tests])
    order = np.lexsort((folds, rows))
    return rows[order], folds[order], values[order]


def take(X: Any, rows: np.ndarray) -> Any:
    """Return rows of X, whatever kind of X it is."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else [X[row] for row in rows]
