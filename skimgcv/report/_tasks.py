"""What a report does for each kind of y: how folds predict, and which sections there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skimgcv.report import _of_classes, _of_labels, _of_numbers, _sections
from skimgcv.report._cross_validation import CrossValidation
from skimgcv.report._predictions import (
    FoldPredictions,
    classes_of_folds,
    labels_of_folds,
    numbers_of_folds,
)

if TYPE_CHECKING:
    from skimgcv._models.targets import Kind
    from skimgcv.report._targets import Targets

SectionMaker = Callable[[CrossValidation], dict[str, Any] | None]


@dataclass(frozen=True)
class Task:
    """A kind of y.

    Attributes
    ----------
    needs : str
        What of each fold.
    method : str
        Of a fitted estimator, which makes its predictions.
    predict : callable
        From estimators, test rows, X and targets to predictions.
    public : callable
        From predictions to what ``CrossValidationReport.predictions`` has beside rows and folds.
    sections : sequence of callable
        In the order of the page.
    """

    needs: str
    method: str
    predict: Callable[[Sequence[Any], Sequence[np.ndarray], Any, Targets], FoldPredictions]
    public: Callable[[Any], dict[str, np.ndarray]]
    sections: Sequence[SectionMaker]

    def check_fitted(self, estimators: Sequence[Any]) -> None:
        """Refuse an estimator that is not fitted, or cannot predict what is needed."""
        for fold, fitted in enumerate(estimators):
            try:
                check_is_fitted(fitted)
            except Exception as error:  # TypeError of what is no estimator, NotFittedError
                raise ValueError(
                    f"a report needs {self.needs} of each fold; fold {fold} has "
                    f"{type(fitted).__name__}, which is not fitted: where a fit failed, repair "
                    "that first"
                ) from error
            if not hasattr(fitted, self.method):
                raise ValueError(
                    f"a report needs {self.needs} of each fold; fold {fold} has "
                    f"{type(fitted).__name__}, without {self.method}"
                )


def _labels_and_proba(predictions: Any) -> dict[str, np.ndarray]:
    return {
        "label": predictions.labels,
        "predicted": predictions.predicted,
        "proba": predictions.proba,
    }


def _numbers(predictions: Any) -> dict[str, np.ndarray]:
    return {"target": predictions.targets, "predicted": predictions.predicted}


TASKS: dict[Kind, Task] = {
    "classes": Task(
        "a fitted classifier with predict_proba",
        "predict_proba",
        lambda fitted, tests, X, targets: classes_of_folds(fitted, tests, X, targets.y),
        _labels_and_proba,
        (
            _of_classes.summary,
            _sections.warnings,
            _sections.scores,
            _of_classes.classes,
            _of_classes.confusion,
            _of_classes.mistakes,
            _of_classes.limits,
            _sections.training,
            _of_classes.data,
            _sections.augmentation,
            _sections.network,
            _sections.settings,
        ),
    ),
    "labels": Task(
        "a fitted classifier of several labels with predict_proba",
        "predict_proba",
        lambda fitted, tests, X, targets: labels_of_folds(
            fitted, tests, X, targets.y, targets.names
        ),
        _labels_and_proba,
        (
            _of_labels.summary,
            _sections.warnings,
            _sections.scores,
            _of_labels.labels,
            _of_labels.mistakes,
            _of_labels.limits,
            _sections.training,
            _of_labels.data,
            _sections.augmentation,
            _sections.network,
            _sections.settings,
        ),
    ),
    "numbers": Task(
        "a fitted regressor",
        "predict",
        lambda fitted, tests, X, targets: numbers_of_folds(fitted, tests, X, targets.y),
        _numbers,
        (
            _of_numbers.summary,
            _sections.warnings,
            _sections.scores,
            _of_numbers.numbers,
            _of_numbers.errors,
            _of_numbers.limits,
            _sections.training,
            _of_numbers.data,
            _sections.augmentation,
            _sections.network,
            _sections.settings,
        ),
    ),
}
