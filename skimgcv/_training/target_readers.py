"""y of one fit, by its kind: checks, encoding, weights, and its description for builders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from skimgcv._data.label_tables import check_label_table
from skimgcv._data.labels import (
    check_labels,
    encode_labels,
    same_classes,
    warn_if_one_hot,
    warn_unless_found,
)
from skimgcv._data.numeric_targets import check_numbers, strata_of_numbers
from skimgcv._models.targets import Kind
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._training.weights import (
    class_weights,
    combine_label_weights,
    combine_weights,
    label_weights,
    rows_that_count,
)
from skimgcv.exceptions import DoubleCorrectionWarning


class TargetReader:
    """Reads the y of one fit, and of its validation_data.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier or AugmentedKerasRegressor
    resume : bool
        Whether y must have the classes or the shape of the last call.
    classes : array-like, optional
        The classes that the caller names.
    class_weight : None, "balanced" or mapping
    """

    weighs_labels = False
    """Whether each label of a row has its own weight."""

    def __init__(self, estimator: Any, *, resume: bool, classes: Any, class_weight: Any) -> None:
        self._estimator = estimator
        self._name = type(estimator).__name__
        self._resume = resume
        self._class_weight = class_weight

    def check(self, y: Any, n_rows: int) -> np.ndarray:
        """Check y: return it with a row for each of X."""
        raise NotImplementedError

    def note_form(self, y: Any) -> None:
        """Warn if scikit-learn's tools do not accept this y."""

    def rows_that_count(self, y: np.ndarray, sample_weight: Any) -> np.ndarray:
        """Return the rows whose weight is above 0. Other rows are left out."""
        return rows_that_count(sample_weight, None, y)

    def learn(self, y: np.ndarray, rows: np.ndarray) -> None:
        """Learn classes, and their weights, from the rows that count."""

    def encode(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return y in numbers, for the rows that count."""
        return y

    def weights(self, encoded: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Return the weights in training: the row's weight times that of its class."""
        return self.plain_weights(encoded, sample_weight)

    def plain_weights(self, encoded: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Return the rows' own weights, so that ``val_loss`` does not depend on class weights."""
        return combine_weights(sample_weight, np.ones(1), np.zeros(len(encoded), dtype=np.intp))

    def strata(self, encoded: np.ndarray, share: float) -> np.ndarray:
        """Return strata, or a table of labels, for the hold-out set to have its share of each."""
        return encoded

    def meta(self) -> dict[str, Any]:
        """Return the description of y for builders, with SciKeras' names."""
        raise NotImplementedError

    def fitted(self) -> dict[str, Any]:
        """Return fitted attributes of the estimator."""
        return {}


class ClassReader(TargetReader):
    """Reads y of one class a row."""

    def __init__(self, estimator: Any, *, resume: bool, classes: Any, class_weight: Any) -> None:
        super().__init__(estimator, resume=resume, classes=classes, class_weight=class_weight)
        self._classes = same_classes(classes, estimator.classes_) if resume else classes
        self._per_class = np.ones(0)
        _warn_double_correction(class_weight, estimator.sampling_strategy)

    def check(self, y: Any, n_rows: int) -> np.ndarray:
        labels, width = check_labels(y, n_rows=n_rows, name=self._name)
        if self._classes is None and width is not None:
            self._classes = np.arange(width)
        return labels

    def note_form(self, y: Any) -> None:
        warn_if_one_hot(y)

    def rows_that_count(self, y: np.ndarray, sample_weight: Any) -> np.ndarray:
        return rows_that_count(sample_weight, self._class_weight, y)

    def learn(self, y: np.ndarray, rows: np.ndarray) -> None:
        self._classes, codes = encode_labels(y, rows, classes=self._classes)
        if isinstance(self._class_weight, Mapping):
            labels = [*self._classes.tolist(), *y.tolist()]
            warn_unless_found("class_weight", self._class_weight, labels)
        self._per_class = class_weights(self._class_weight, self._classes, codes[rows])

    def encode(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return encode_labels(y, rows, classes=self._classes)[1]

    def weights(self, encoded: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        return combine_weights(sample_weight, self._per_class, encoded)

    def meta(self) -> dict[str, Any]:
        n_classes = len(self._classes)
        return {
            "classes_": self._classes,
            "n_classes_": n_classes,
            "target_type_": "binary" if n_classes == 2 else "multiclass",
            "n_outputs_": 1,
            "n_outputs_expected_": 1,
            "y_dtype_": self._classes.dtype,
            "y_ndim_": 1,
        }

    def fitted(self) -> dict[str, Any]:
        by_class = zip(self._classes.tolist(), self._per_class.tolist(), strict=True)
        return {"classes_": self._classes, "class_weight_": dict(by_class)}


class LabelReader(TargetReader):
    """Reads y of several labels a row."""

    def __init__(self, estimator: Any, *, resume: bool, classes: Any, class_weight: Any) -> None:
        super().__init__(estimator, resume=resume, classes=classes, class_weight=class_weight)
        _refuse_what_is_of_classes(estimator)
        if resume and classes is not None and list(classes) != estimator.classes_.tolist():
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{estimator.classes_!r}; leave `classes` out, or fit a clone."
            )
        self._labels = estimator.classes_ if resume else classes
        self._per_label = np.ones((2, 0))
        self.weighs_labels = class_weight is not None

    def check(self, y: Any, n_rows: int) -> np.ndarray:
        table, self._labels = check_label_table(
            y, n_rows=n_rows, name=self._name, known=self._labels
        )
        return table

    def learn(self, y: np.ndarray, rows: np.ndarray) -> None:
        self._per_label = label_weights(self._class_weight, self._labels, y[rows])

    def weights(self, encoded: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        if not self.weighs_labels:
            return self.plain_weights(encoded, sample_weight)
        return combine_label_weights(sample_weight, self._per_label, encoded)

    def meta(self) -> dict[str, Any]:
        return {
            "classes_": self._labels,
            "n_classes_": len(self._labels),
            "target_type_": "multilabel-indicator",
            "n_outputs_": 1,
            "n_outputs_expected_": 1,
            "y_dtype_": np.dtype(np.int8),
            "y_ndim_": 2,
        }

    def fitted(self) -> dict[str, Any]:
        weights = [{0: lacks, 1: has} for lacks, has in self._per_label.T.tolist()]
        by_label = dict(zip(self._labels.tolist(), weights, strict=True))
        return {"classes_": self._labels, "class_weight_": by_label}


class NumberReader(TargetReader):
    """Reads y of numbers."""

    def __init__(self, estimator: Any, *, resume: bool, classes: Any, class_weight: Any) -> None:
        super().__init__(estimator, resume=resume, classes=classes, class_weight=class_weight)
        self._shape: tuple[int, ...] | None = estimator._targets.shape if resume else None

    def check(self, y: Any, n_rows: int) -> np.ndarray:
        numbers = check_numbers(y, n_rows=n_rows, name=self._name)
        if self._shape is not None and numbers.shape[1:] != self._shape:
            raise ValueError(
                f"y has shape {numbers.shape}, and {self._name} was fitted to y of shape "
                f"{('n', *self._shape)}; pass it in that shape."
            )
        self._shape = numbers.shape[1:]
        return numbers

    def strata(self, encoded: np.ndarray, share: float) -> np.ndarray:
        return strata_of_numbers(encoded, math.ceil(share * len(encoded)))

    def meta(self) -> dict[str, Any]:
        shape = self._shape or ()
        return {
            "target_type_": "continuous-multioutput" if shape else "continuous",
            "n_outputs_": math.prod(shape),
            "n_outputs_expected_": 1,
            "y_dtype_": np.dtype(np.float32),
            "y_ndim_": 1 + len(shape),
        }


READERS: dict[Kind, type[TargetReader]] = {
    "classes": ClassReader,
    "labels": LabelReader,
    "numbers": NumberReader,
}


def reader_of(estimator: Any, **options: Any) -> TargetReader:
    """Return the reader of an estimator's kind of y."""
    kind: Kind = estimator._target_kind
    return READERS[kind](estimator, **options)


def _refuse_what_is_of_classes(estimator: Any) -> None:
    if estimator.sampling_strategy is not None:
        raise ValueError(
            "sampling_strategy draws rows of one class more often, and with multilabel=True a row "
            "has several labels: drawing one more often draws the others too. Use class_weight, "
            "which has a weight for each label, or sample_weight."
        )
    if estimator.class_augmenters:
        raise ValueError(
            "class_augmenters transform the rows of one class, and with multilabel=True a row has "
            "several labels, or none; use `augmenter` for all rows."
        )


def _warn_double_correction(class_weight: Any, sampling_strategy: Any) -> None:
    balanced = isinstance(class_weight, str) and class_weight == "balanced"
    if balanced and sampling_strategy is not None:
        warnings.warn(
            "class_weight='balanced' and sampling_strategy both correct the class imbalance: "
            "rare classes count twice. Use one of them.",
            DoubleCorrectionWarning,
            stacklevel=user_stacklevel(),
        )
