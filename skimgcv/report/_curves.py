"""How well each class or label is told from its absence, at any threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import roc_curve as curve_of_roc

from skimgcv.report._predictions import ClassPredictions, LabelPredictions

# Below this share a ROC curve looks good whatever the model does.
_RARE = 0.1


@dataclass(frozen=True)
class ClassCurves:
    """Curves of one class against all others, or of one label against its absence: a fold each.

    Attributes
    ----------
    label : object
    kind : {"roc", "precision-recall"}
    curves : list of (ndarray, ndarray)
        Of the folds that test images with it and without: x and y.
    areas : ndarray
        Below each of them; of precision-recall it is the average precision.
    share : float
        Of the test images: what chance gives in a precision-recall curve.
    """

    label: object
    kind: str
    curves: list[tuple[np.ndarray, np.ndarray]]
    areas: np.ndarray
    share: float

    @property
    def area(self) -> float:
        """The mean over the folds; not a number without any."""
        return float(self.areas.mean()) if len(self.areas) else np.nan


def curves_of(
    predictions: ClassPredictions | LabelPredictions, kind: str | None = None
) -> list[ClassCurves]:
    """Return each class's curves.

    By default they are of ROC, or of precision and recall where a class is rare.
    """
    shares = predictions.truth.mean(axis=0).tolist()
    kind = kind or ("precision-recall" if min(shares) < _RARE else "roc")
    return [_of_class(predictions, place, kind, share) for place, share in enumerate(shares)]


def _of_class(
    predictions: ClassPredictions | LabelPredictions, place: int, kind: str, share: float
) -> ClassCurves:
    curves, areas = [], []
    truths = predictions.truth[:, place]
    for fold in np.unique(predictions.folds):
        of_fold = predictions.folds == fold
        truth = truths[of_fold]
        if truth.all() or not truth.any():
            continue
        proba = predictions.proba[of_fold, place]
        if kind == "roc":
            x, y, _ = curve_of_roc(truth, proba)
            area = roc_auc_score(truth, proba)
        else:
            y, x, _ = precision_recall_curve(truth, proba)
            area = average_precision_score(truth, proba)
        curves.append((x, y))
        areas.append(area)
    return ClassCurves(predictions.classes[place], kind, curves, np.array(areas), share)
