"""Class weight x sample weight -> one new vector."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight

from skimgcv._data.labels import refuse_masks


def class_weights(class_weight: Any, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weight of each class, for the rows of one fit.

    Labels compare as ``==`` does in Python, so a NumPy scalar equals its Python counterpart, and
    ``True`` and ``1`` are one label; ``"1"`` and ``1`` are two.

    Parameters
    ----------
    class_weight : None, "balanced" or mapping of label to weight
        ``None`` gives every class the weight 1. ``"balanced"`` gives each class in `y` the same
        total weight, as scikit-learn's ``compute_class_weight`` does. Classes that a mapping lacks
        have the weight 1. Labels that are not in `y` are ignored, since a fold may lack a class.
    classes : ndarray of shape (n_classes,)
        The original labels.
    y : ndarray of int, shape (n_samples,)
        Encoded labels, 0 to ``n_classes - 1``.

    Returns
    -------
    ndarray of float64, shape (n_classes,)

    Raises
    ------
    TypeError
        If `class_weight` is none of the three forms.
    ValueError
        If a weight is negative, NaN, infinite or not a number.

    Examples
    --------
    >>> classes, y = np.array(["melanoma", "naevus"]), np.array([0, 1, 1, 1])
    >>> class_weights({"melanoma": 3.0}, classes, y)
    array([3., 1.])
    >>> class_weights("balanced", classes, y).round(2)
    array([2.  , 0.67])
    """
    _check_class_weight(class_weight)
    weights = np.ones(len(classes))
    present = np.unique(y)
    if isinstance(class_weight, str):
        weights[present] = compute_class_weight("balanced", classes=present, y=y)
    elif class_weight:
        labels = classes.tolist()
        for code in present:
            weights[code] = class_weight.get(labels[code], 1.0)
    return weights


def label_weights(class_weight: Any, labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the weights of rows without and with each label, for one fit.

    Each label is weighted as if it were the second of two classes in its own fit.

    Parameters
    ----------
    class_weight : None, "balanced" or mapping of label to weight
        As for ``class_weights``. A mapping has weights for rows with a label.
    labels : ndarray of shape (n_labels,)
    table : ndarray of 0 and 1, shape (n_samples, n_labels)

    Returns
    -------
    ndarray of float64, shape (2, n_labels)

    Raises
    ------
    TypeError, ValueError
        As ``class_weights``. Also if a mapping has an unknown label, since no fold lacks one.

    Examples
    --------
    >>> table = np.array([[1, 1], [0, 1], [0, 0], [0, 1]])
    >>> label_weights("balanced", np.array(["nodule", "effusion"]), table).round(2)
    array([[0.67, 2.  ],
           [2.  , 0.67]])
    """
    _check_class_weight(class_weight)
    names = labels.tolist()
    if isinstance(class_weight, Mapping):
        if strange := [label for label in class_weight if label not in names]:
            raise ValueError(
                f"class_weight has {strange!r}, and the labels are {names!r}: name them as they "
                "are in y. (scikit-learn's cross_val_predict(method='predict_proba') hands y on "
                "without names: there they are 0, 1, ...)"
            )
        ones = [class_weight.get(label, 1.0) for label in names]
        return np.array([np.ones(len(names)), ones])
    both = np.arange(2)
    return np.stack([class_weights(class_weight, both, column) for column in table.T], axis=1)


def rows_that_count(sample_weight: Any, class_weight: Any, labels: np.ndarray) -> np.ndarray:
    """Return the rows whose own weight and whose class's weight are above 0.

    The others are left out: a fit on only these rows is the same.

    Parameters
    ----------
    sample_weight : None or array-like of shape (n_samples,)
    class_weight : None, "balanced" or mapping of label to weight
    labels : ndarray of shape (n_samples,)
        The original labels.

    Returns
    -------
    ndarray of intp
        Sorted.

    Raises
    ------
    TypeError, ValueError
        If a weight cannot be used, or if no row is left.

    Examples
    --------
    >>> rows_that_count([1, 0, 2, 1], {"b": 0}, np.array(["a", "a", "b", "c"]))
    array([0, 3])
    """
    _check_class_weight(class_weight)
    rows = np.arange(len(labels))
    if sample_weight is not None:
        with np.errstate(over="ignore"):
            # As in the model, a number that is too small for float32 is 0.
            own = _check_sample_weight(sample_weight, len(labels)).astype(np.float32)
        rows = np.flatnonzero(own)
        if not len(rows):
            raise ValueError(_NO_WEIGHT)
    if not isinstance(class_weight, Mapping):
        return rows
    without_weight = {label for label, weight in class_weight.items() if weight == 0}
    if not without_weight:
        return rows
    counts = np.array([label not in without_weight for label in labels[rows].tolist()])
    if not counts.any():
        raise ValueError(
            "class_weight must weigh at least one class of y above 0; "
            f"all of {np.unique(labels[rows]).tolist()!r} weigh 0"
        )
    return rows[counts]


_THREE_FORMS = 'class_weight must be None, "balanced" or a dict {label: weight}'
_NO_WEIGHT = (
    "sample weights must contain at least one non-zero number; "
    "each row's weight times the weight of its class is zero"
)


def _check_class_weight(class_weight: Any) -> None:
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if isinstance(class_weight, str):
        raise ValueError(f"{_THREE_FORMS}; got {class_weight!r}")
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"{_THREE_FORMS}; got {type(class_weight).__name__}")
    for label, weight in class_weight.items():
        _check_weight(label, weight)


def _check_weight(label: Any, weight: Any) -> None:
    number: Any = weight  # not yet a float: whole numbers may be too large for one
    if not isinstance(weight, Real) or not 0 <= number <= np.finfo(float).max:
        raise ValueError(
            f"class_weight needs a finite number of at least 0 for each label; "
            f"{label!r} has {weight!r}"
        )


def combine_weights(
    sample_weight: Any, class_weights: np.ndarray, y: np.ndarray
) -> np.ndarray | None:
    """Multiply the weight of each row by that of its class.

    The product is not normalised: if all weights are 2, the loss doubles.

    Parameters
    ----------
    sample_weight : None or array-like of shape (n_samples,)
        Finite and non-negative, not all of them 0. Never changed.
    class_weights : ndarray of shape (n_classes,)
        As :func:`class_weights` gives it.
    y : ndarray of int, shape (n_samples,)
        Encoded labels.

    Returns
    -------
    ndarray of float32, shape (n_samples,), or None
        A new array; ``None`` if nothing is weighted.

    Raises
    ------
    ValueError
        If `sample_weight` has another length or dimension, or a value that is negative, NaN or
        infinite, or if no row has a weight above 0.

    Examples
    --------
    >>> combine_weights([1.0, 0.5], np.array([4.0, 1.0]), np.array([0, 1]))
    array([4. , 0.5], dtype=float32)
    """
    if sample_weight is None and np.all(class_weights == 1):
        return None
    product = class_weights[y]
    if sample_weight is not None:
        product = product * _check_sample_weight(sample_weight, len(y))
    return _in_float32(product)


def combine_label_weights(
    sample_weight: Any, label_weights: np.ndarray, table: np.ndarray
) -> np.ndarray:
    """Multiply the weight of each row by those of its labels.

    Parameters
    ----------
    sample_weight : None or array-like of shape (n_samples,)
    label_weights : ndarray of shape (2, n_labels)
        As :func:`label_weights` gives it.
    table : ndarray of 0 and 1, shape (n_samples, n_labels)

    Returns
    -------
    ndarray of float32, shape (n_samples, n_labels)

    Examples
    --------
    >>> combine_label_weights([1.0, 0.5], np.array([[1.0, 1], [4, 2]]), np.array([[1, 0], [1, 1]]))
    array([[4., 1.],
           [2., 1.]], dtype=float32)
    """
    product = np.where(table, label_weights[1], label_weights[0])
    if sample_weight is not None:
        product = product * _check_sample_weight(sample_weight, len(table))[:, np.newaxis]
    return _in_float32(product)


def _in_float32(product: np.ndarray) -> np.ndarray:
    # A weight beyond float32's range becomes infinite. The error follows below.
    with np.errstate(over="ignore"):
        combined = product.astype(np.float32)
    if not np.isfinite(combined).all():
        raise ValueError(
            f"weights must fit float32, at most {np.finfo(np.float32).max:.3g}; "
            f"the largest is {product.max():.3g}: scale them down"
        )
    if not combined.any():
        raise ValueError(_NO_WEIGHT)
    return combined


def _check_sample_weight(sample_weight: Any, n_samples: int) -> np.ndarray:
    refuse_masks(sample_weight, "sample_weight")
    if isinstance(sample_weight, np.ndarray) and sample_weight.dtype.kind in "mM":
        raise TypeError(f"sample_weight must be numbers; its dtype is {sample_weight.dtype}")
    weights = check_array(
        sample_weight,
        ensure_2d=False,
        allow_nd=True,
        dtype=np.float64,
        ensure_min_samples=0,
        input_name="sample_weight",
    )
    if weights.ndim != 1:
        raise ValueError(
            f"Sample weights must be a 1D array of length {n_samples}, got a {weights.ndim}D array"
        )
    if weights.shape != (n_samples,):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(n_samples,)}!")
    if weights.min(initial=0.0) < 0:
        raise ValueError(
            f"sample_weight must not be negative: its minimum is {weights.min()}, "
            f"in row {weights.argmin()}"
        )
    return weights
