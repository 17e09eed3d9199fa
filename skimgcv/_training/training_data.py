"""The arguments of one ``fit``: checked, encoded, and split into training and held-out rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv._data.labels import refuse_masks
from skimgcv._data.rows import LabelledRows, Rows
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.random_streams import stream
from skimgcv._training.holdout import hold_out
from skimgcv._training.target_readers import TargetReader, reader_of
from skimgcv._training.weights import rows_that_count
from skimgcv.exceptions import SkimgcvWarning


@dataclass(frozen=True)
class TrainingData:
    """The arguments of one ``fit``.

    Attributes
    ----------
    train : LabelledRows
    validation : LabelledRows or None
    target_meta : dict
        The description of y for builders.
    fitted : dict
        Fitted attributes of the estimator for y: its classes and their weights.
    weighs_labels : bool
        Whether ``train`` has a weight for each label of a row.
    held_rows : ndarray of int
        The rows of X that ``validation_split`` held out.
    features : dict
        ``n_features_in_``, and ``feature_names_in_`` for a data frame.
    n_rows : int
        Number of rows of X with a weight above 0, held-out rows included.
    scale : str or None
        The range of their values: see ``value_scale``.
    """

    train: LabelledRows
    validation: LabelledRows | None
    target_meta: dict[str, Any]
    fitted: dict[str, Any]
    weighs_labels: bool
    held_rows: np.ndarray
    features: dict[str, Any]
    n_rows: int
    scale: str | None

    @property
    def classes(self) -> Any:
        """The classes or labels, or None for numbers."""
        return self.fitted.get("classes_")


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
        Whether X must have the shape of the last call.

    Raises
    ------
    ValueError, TypeError
        If an argument cannot be used.
    """
    reader = reader_of(
        estimator,
        resume=resume,
        classes=classes,
        class_weight=estimator.class_weight if class_weight is None else class_weight,
    )
    name = type(estimator).__name__
    fitted_shape = estimator.image_shape_ if resume else None
    images = Rows.of(X, image_shape=estimator.image_shape, name=name, fitted_shape=fitted_shape)
    features = images.features(estimator, reset=not resume)
    targets = reader.check(y, len(images))
    reader.note_form(y)
    groups = _check_groups(images.groups if groups is None else groups, len(images))
    # A row without weight is left out: it would still change batch norm, statistics and class
    # weights.
    rows = _readable(images, reader.rows_that_count(targets, sample_weight), "X")
    reader.learn(targets, rows)
    encoded = reader.encode(targets, rows)
    weights = reader.weights(encoded, sample_weight)
    if weights is not None:
        # The product of both may be too small for float32.
        rows = rows[weights[rows].reshape(len(rows), -1).any(axis=1)]
    n_rows, scale = len(rows), images.scale_of(rows, name)
    held = np.empty(0, dtype=np.intp)
    validation = None
    if validation_data is not None:
        validation = _check_validation_data(estimator, validation_data, images, reader)
        if estimator._target_kind == "numbers":
            _warn_of_another_scale(validation.y[validation.rows], encoded[rows])
    elif (share := estimator.validation_split) > 0:
        strata = reader.strata(encoded[rows], share)
        rows, held = _split(rows, strata, share, groups, seed)
        validation = LabelledRows(
            images, encoded, reader.plain_weights(encoded, sample_weight), held
        )
    return TrainingData(
        train=LabelledRows(images, encoded, weights, rows),
        validation=validation,
        target_meta=reader.meta(),
        fitted=reader.fitted(),
        weighs_labels=reader.weighs_labels,
        held_rows=held,
        features=features,
        n_rows=n_rows,
        scale=scale,
    )


def _warn_of_another_scale(held: np.ndarray, training: np.ndarray) -> None:
    spread = training.std(axis=0)
    far = np.abs(held.mean(axis=0) - training.mean(axis=0)) > 10 * spread
    if (far & (spread > 0)).any():
        warnings.warn(
            f"The mean of y is {held.mean():.4g} in validation_data and {training.mean():.4g} in "
            "training, more than 10 standard deviations apart: val_loss would compare numbers of "
            "two scales. TransformedTargetRegressor scales y, but not validation_data; use "
            "validation_split, which is scaled, too.",
            SkimgcvWarning,
            stacklevel=user_stacklevel(),
        )


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
    rows: np.ndarray, strata: np.ndarray, share: float, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    own = None if groups is None else groups[rows]
    train, held = hold_out(strata, share, stream(seed, "hold-out"), groups=own)
    return rows[train], rows[held]


def _check_validation_data(
    estimator: Any, validation_data: Any, images: Rows, reader: TargetReader
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
    targets = reader.check(y, len(held))
    sample_weight = weight[0] if weight else None
    # Class weights do not count here.
    rows = _readable(held, rows_that_count(sample_weight, None, targets), "validation_data")
    encoded = reader.encode(targets, rows)
    return LabelledRows(held, encoded, reader.plain_weights(encoded, sample_weight), rows)
