"""A cross-validation that has run, with all that its report is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv import ImageFiles
from skimgcv.display._history import classifier_in
from skimgcv.report._findings import Finding
from skimgcv.report._predictions import FoldPredictions
from skimgcv.report._scores import FoldScores


@dataclass(frozen=True)
class CrossValidation:
    """What every section of a report is computed from.

    Attributes
    ----------
    X, y
        All rows.
    groups : ndarray of shape (n,), or None
    names : sequence of str, or None
        Of the images.
    estimators : list of fitted estimators
        A fold each, as are the splits.
    splits : list of (ndarray of int, ndarray of int)
        Training and test rows.
    seconds : ndarray of shape (n_folds,)
        That a fold took; not a number where that is not known.
    predictions : FoldPredictions
    scores : list of FoldScores
    confidence_level : float
        Of their intervals.
    findings : list of Finding
    copies_were_sought : bool
    command : str or None
    settings : dict of str to object
        What was chosen beside the classifier's parameters.
    about_network : str or None
    n_mistakes : int
        How many to show.
    """

    X: Any
    y: np.ndarray
    groups: np.ndarray | None
    names: Sequence[str] | None
    estimators: list[Any]
    splits: list[tuple[np.ndarray, np.ndarray]]
    seconds: np.ndarray
    predictions: FoldPredictions
    scores: list[FoldScores]
    confidence_level: float
    findings: list[Finding]
    copies_were_sought: bool
    command: str | None
    settings: Mapping[str, Any]
    about_network: str | None
    n_mistakes: int

    @property
    def classifier(self) -> Any:
        """The first fold's, out of its pipeline or search; None where there is none."""
        return classifier_in(self.estimators[0])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of an image, or of a row where they are no images."""
        flat = getattr(self.classifier, "image_shape", None)
        X = self.X if hasattr(self.X, "shape") else np.asarray(self.X)
        return tuple(int(side) for side in flat or X.shape[1:])

    @property
    def has_images(self) -> bool:
        """Whether a row can be looked at."""
        return len(self.image_shape) in (2, 3)

    def name_of(self, row: int) -> str:
        """Return an image's name, or its row."""
        return f"image {row}" if self.names is None else self.names[row]


def names_in(X: Any) -> list[str] | None:
    """Return the paths of files, from the folder that they share."""
    if not isinstance(X, ImageFiles):
        return None
    paths = X.paths
    try:
        shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # on two drives
        return paths
    return [os.path.relpath(path, shared).replace(os.sep, "/") for path in paths]
