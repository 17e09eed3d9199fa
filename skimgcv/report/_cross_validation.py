"""A cross-validation that has run, with all that its report is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv import ImageFiles
from skimgcv.display._history import keras_estimator_in
from skimgcv.report._findings import Finding
from skimgcv.report._scores import FoldScores
from skimgcv.report._targets import Targets


@dataclass(frozen=True)
class CrossValidation:
    """What every section of a report is computed from.

    Attributes
    ----------
    X
        All rows.
    targets : Targets
        y of all rows.
    groups : ndarray of shape (n,), or None
    names : sequence of str, or None
        Of the images.
    estimators : list of fitted estimators
        A fold each, as are the splits.
    splits : list of (ndarray of int, ndarray of int)
        Training and test rows.
    seconds : ndarray of shape (n_folds,)
        That a fold took; not a number where that is not known.
    predictions : ClassPredictions, LabelPredictions or NumberPredictions
    scores : list of FoldScores
    confidence_level : float
        Of their intervals.
    findings : list of Finding
    copies_were_sought : bool
    command : str or None
    settings : dict of str to object
        What was chosen beside the estimator's parameters.
    about_network : str or None
    n_mistakes : int
        How many to show.
    """

    X: Any
    targets: Targets
    groups: np.ndarray | None
    names: Sequence[str] | None
    estimators: list[Any]
    splits: list[tuple[np.ndarray, np.ndarray]]
    seconds: np.ndarray
    predictions: Any
    scores: list[FoldScores]
    confidence_level: float
    findings: list[Finding]
    copies_were_sought: bool
    command: str | None
    settings: Mapping[str, Any]
    about_network: str | None
    n_mistakes: int

    @property
    def estimator(self) -> Any:
        """The first fold's Keras estimator, out of its pipeline or search; None without one."""
        return keras_estimator_in(self.estimators[0])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of an image, or of a row where they are no images."""
        X = self.X if hasattr(self.X, "shape") else np.asarray(self.X)
        return tuple(int(side) for side in self.flat_shape or X.shape[1:])

    @property
    def flat_shape(self) -> tuple[int, ...] | None:
        """The shape of the image that a flat row is, where the estimator was told."""
        shape: tuple[int, ...] | None = getattr(self.estimator, "image_shape", None)
        return shape

    @property
    def has_images(self) -> bool:
        """Whether a row can be looked at."""
        return len(self.image_shape) in (2, 3)

    @property
    def about_images(self) -> dict[str, Any]:
        """What every kind of y says of the images."""
        return {
            "n": len(self.targets.y),
            "shape": self.image_shape,
            "has_images": self.has_images,
            "n_folds": len(self.splits),
            "n_groups": None if self.groups is None else len(np.unique(self.groups)),
        }

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
