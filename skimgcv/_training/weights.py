"""Class weight x sample weight -> one vector, on a fresh array."""

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

    Labels compare as ``==`` does in Python, so a NumPy scalar equals its Python
    twin, and ``True`` and ``1`` are one label; ``"1"`` and ``1`` are two.

    Parameters
    ----------
    class_weight : None, "balanced" or mapping of label to weight
        ``None`` weighs every class 1. ``"balanced"`` gives each class that is in
        `y` the same total weight, as scikit-learn's ``compute_class_weight``
        does. In a mapping, classes that it leaves out weigh 1, and labels that
        are not in `y` are ignored, since a fold may lack a class.
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
        When `class_weight` is none of the three forms.
    ValueError
        When a weight is negative, NaN, infinite or no number, when no label of
        the mapping is in `y`, or when every class that is in `y` weighs 0.

    Examples
    --------
    >>> classes, y = np.array(["melanoma", "naevus"]), np.array([0, 1, 1, 1])
    >>> class_weights({"melanoma": 3.0}, classes, y)
    array([3., 1.])
    >>> class_weights("balanced", classes, y).round(2)
    array([2.  , 0.67])
    """
    weights = np.ones(len(classes))
    present = np.unique(y)
    if class_weight is None:
        return weights
    if isinstance(class_weight, str) and class_weight == "balanced":
        weights[present] = compute_class_weight("balanced", classes=present, y=y)
        return weights
    if isinstance(class_weight, str):
        raise ValueError(f"{_THREE_FORMS}; got {class_weight!r}")
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"{_THREE_FORMS}; got {type(class_weight).__name__}")

    for label, weight in class_weight.items():
        _check_weight(label, weight)
    labels = classes.tolist()
    seen = {labels[code] for code in present}
    if class_weight and seen.isdisjoint(class_weight):
        raise ValueError(
            f"class_weight has no label of y: its labels are {list(class_weight)!r}, "
            f"those of y are {sorted(seen)!r}; use the labels of y as they are, of the same type"
        )
    for code, label in enumerate(labels):
        weights[code] = class_weight.get(label, 1.0) if label in seen else 1.0
    if not weights[present].any():
        raise ValueError(
            "class_weight must weigh at least one class of y above 0; "
            f"all of {sorted(seen)!r} weigh 0"
        )
    return weights


_THREE_FORMS = 'class_weight must be None, "balanced" or a dict {label: weight}'


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

    The product is not normalised: weights of 2 throughout double the loss.

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
        A fresh array; ``None`` where nothing is weighted.

    Raises
    ------
    ValueError
        When `sample_weight` has another length or dimension, holds a negative,
        NaN or infinite value, or when no row keeps a weight above 0.

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
    # Past float32's range a weight turns infinite, which is said below.
    with np.errstate(over="ignore"):
        combined = product.astype(np.float32)
    if not np.isfinite(combined).all():
        raise ValueError(
            f"weights must fit float32, at most {np.finfo(np.float32).max:.3g}; "
            f"the largest is {product.max():.3g}: scale them down"
        )
    if not combined.any():
        raise ValueError(
            "sample weights must contain at least one non-zero number; "
            "each row's weight times the weight of its class is zero"
        )
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
