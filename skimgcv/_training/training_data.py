"""What one ``fit`` was given: checked, encoded, and split into training and held-out rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv._data.labels import (
    check_labels,
    encode_labels,
    refuse_masks,
    same_classes,
    warn_if_one_hot,
    warn_unless_found,
)
from skimgcv._data.rows import LabelledRows, Rows
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.random_streams import stream
from skimgcv._training.holdout import hold_out
from skimgcv._training.weights import class_weights, combine_weights, rows_that_count
from skimgcv.exceptions import DoubleCorrectionWarning


@dataclass(frozen=True)
class TrainingData:
    """The arguments of one ``fit``.

    Attributes
    ----------
    train : LabelledRows
    validation : LabelledRows or None
    classes : ndarray
    class_weight : dict of label to float
    held_rows : ndarray of int
        The rows of X that ``validation_split`` held out.
    features : dict
        ``n_features_in_`` and, of a data frame, ``feature_names_in_``.
    n_rows : int
        How many rows of X count, those held out among them.
    scale : str or None
        The range that their values fill: see ``value_scale``.
    """

    train: LabelledRows
    validation: LabelledRows | None
    classes: np.ndarray
    class_weight: dict[Any, float]
    held_rows: np.ndarray
    features: dict[str, Any]
    n_rows: int
    scale: str | None


def check_training_data(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    seed: int,
    resume: bool,
    sample_weight: Any = None,
    class_weight: Any = None,
    groups: Any = None,
    validation_data: Any = None,
    classes: Any = None,
) -> TrainingData:
    """Check the arguments of ``fit``.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
    seed : int
        Decides which rows are held out.
    resume : bool
        Whether X must look as it did in the last call.

    Raises
    ------
    ValueError, TypeError
        Saying what is needed, what came and what to do.
    """
    if resume:
        classes = same_classes(classes, estimator.classes_)
    name = type(estimator).__name__
    fitted_shape = estimator.image_shape_ if resume else None
    images = Rows.of(X, image_shape=estimator.image_shape, name=name, fitted_shape=fitted_shape)
    features = images.features(estimator, reset=not resume)
    labels, classes = _check_labels(y, len(images), classes, name)
    warn_if_one_hot(y)
    groups = _check_groups(images.groups if groups is None else groups, len(images))
    if class_weight is None:
        class_weight = estimator.class_weight
    _warn_double_correction(class_weight, estimator.sampling_strategy)
    # A row without weight is no row: it would still move batch norm, statistics, class weights.
    rows = _readable(images, rows_that_count(sample_weight, class_weight, labels), "X")
    classes, codes = encode_labels(labels, rows, classes=classes)
    if isinstance(class_weight, Mapping):
        warn_unless_found("class_weight", class_weight, [*classes.tolist(), *labels.tolist()])
    per_class = class_weights(class_weight, classes, codes[rows])
    weights = combine_weights(sample_weight, per_class, codes)
    if weights is not None:
        rows = rows[weights[rows] > 0]  # a product of the two may be too small for float32
    n_rows, scale = len(rows), images.scale_of(rows, name)
    held = np.empty(0, dtype=np.intp)
    validation = None
    if validation_data is not None:
        validation = _check_validation_data(estimator, validation_data, images, classes)
    elif estimator.validation_split > 0:
        rows, held = _split(rows, codes, estimator.validation_split, groups, seed)
        # A class weight does not count here: val_loss of two weightings must compare.
        plain = combine_weights(sample_weight, np.ones(len(classes)), codes)
        validation = LabelledRows(images, codes, plain, held)
    return TrainingData(
        train=LabelledRows(images, codes, weights, rows),
        validation=validation,
        classes=classes,
        class_weight=dict(zip(classes.tolist(), per_class.tolist(), strict=True)),
        held_rows=held,
        features=features,
        n_rows=n_rows,
        scale=scale,
    )


def _check_labels(y: Any, n_rows: int, classes: Any, name: str) -> tuple[np.ndarray, Any]:
    labels, width = check_labels(y, n_rows=n_rows, name=name)
    return labels, np.arange(width) if classes is None and width is not None else classes


def _readable(images: Rows, rows: np.ndarray, name: str) -> np.ndarray:
    readable = images.readable(rows)
    if not len(readable):
        raise ValueError(f"None of the {len(rows)} files of {name} can be read; see X.verify().")
    return readable


def _check_groups(groups: Any, n_rows: int) -> np.ndarray | None:
    if groups is None:
        return None
    refuse_masks(groups, "groups")
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ValueError(f"groups must have shape ({n_rows},), one a row; it has {groups.shape}.")
    return groups


def _split(
    rows: np.ndarray, y: np.ndarray, share: float, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    own = None if groups is None else groups[rows]
    train, held = hold_out(y[rows], share, stream(seed, "hold-out"), groups=own)
    return rows[train], rows[held]


def _check_validation_data(
    estimator: Any, validation_data: Any, images: Rows, classes: np.ndarray
) -> LabelledRows:
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data must be (X, y) or (X, y, sample_weight); "
            f"it is a {type(validation_data).__name__} of length {len(validation_data)}."
            if hasattr(validation_data, "__len__")
            else f"it is {validation_data!r}."
        )
    X, y, *weight = validation_data
    name = type(estimator).__name__
    held = Rows.of(X, image_shape=estimator.image_shape, name=name, fitted_shape=images.shape[1:])
    if held.shape[1:] != images.shape[1:]:
        raise ValueError(
            f"validation_data has rows of shape {held.shape[1:]}, X of {images.shape[1:]}; "
            "resize one of them."
        )
    labels, _ = _check_labels(y, len(held), classes, name)
    sample_weight = weight[0] if weight else None
    rows = _readable(held, rows_that_count(sample_weight, None, labels), "validation_data")
    _, codes = encode_labels(labels, rows, classes=classes)
    weights = combine_weights(sample_weight, np.ones(len(classes)), codes)
    return LabelledRows(held, codes, weights, rows)


def _warn_double_correction(class_weight: Any, sampling_strategy: Any) -> None:
    balanced = isinstance(class_weight, str) and class_weight == "balanced"
    if balanced and sampling_strategy is not None:
        warnings.warn(
            "class_weight='balanced' and sampling_strategy both correct the class imbalance: "
            "rare classes count twice. Use one of them.",
            DoubleCorrectionWarning,
            stacklevel=user_stacklevel(),
        )
