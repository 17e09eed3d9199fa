"""y: checked once, and encoded as class numbers."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skimgcv._runtime.callers import user_stacklevel
from skimgcv.exceptions import LabelsNotFoundWarning, OneHotLabelsWarning


def decode_one_hot(y: Any) -> Any:
    """Turn one-hot rows (n, k) into class numbers; return other targets unchanged."""
    table = np.asarray(y)
    if table.ndim != 2 or table.shape[1] < 2:
        return y
    zero_or_one = table.dtype.kind in "buif" and np.isin(table, (0, 1)).all()
    if zero_or_one and (table.sum(axis=1) == 1).all():
        return table.argmax(axis=1)
    raise ValueError(
        f"y must be one label a row, or one-hot (n, classes); it has shape {table.shape} and "
        "rows with none or several classes. For several labels a row pass multilabel=True."
    )


def warn_if_one_hot(y: Any) -> None:
    """Warn if scikit-learn's tools do not accept the y of a fit."""
    shape = np.asarray(y).shape
    if len(shape) == 2 and shape[1] > 1:
        warnings.warn(
            "y is one-hot: fit and score take it, but scikit-learn's scorers ('accuracy', "
            "'f1_macro', 'roc_auc', ...) cannot compare it with labels, and cv=5 does not "
            "stratify it. Pass y.argmax(axis=1) to them and here.",
            OneHotLabelsWarning,
            stacklevel=user_stacklevel(),
        )


def refuse_masks(value: Any, name: str) -> None:
    """Refuse an array with a mask, which NumPy would drop silently."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must have a value for each row; drop the rows of masked ones.")


def check_is_given(y: Any, name: str) -> None:
    """Refuse a call without y, with scikit-learn's message."""
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None."
        )


def check_length(length: int, n_rows: int) -> None:
    """Refuse a y of another length than X, with scikit-learn's message."""
    if length != n_rows:
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: "
            f"X has {n_rows}, y has {length}."
        )


def check_labels(y: ArrayLike, *, n_rows: int, name: str) -> tuple[np.ndarray, int | None]:
    """Check labels of any kind: return them as a 1-D array, and the width of one-hot rows."""
    check_is_given(y, name)
    if isinstance(y, Mapping):
        raise TypeError(
            f"y must be one label a row; it is a {type(y).__name__} of {list(y)!r}. Fit a "
            f"{name} for each of them."
        )
    refuse_masks(y, "y")
    if hasattr(y, "to_numpy") and (numbers := y.to_numpy()).dtype.kind in "iu":
        # scikit-learn makes pandas' nullable numbers floats, which merge labels past 2**53.
        y = numbers
    decoded = decode_one_hot(y)
    width = None if decoded is y else np.asarray(y).shape[1]
    # scikit-learn warns of a column vector.
    labels = column_or_1d(decoded, warn=True)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("Input y contains NaN or infinity; drop the rows without a label.")
    # scikit-learn 1.6 only warns.
    if len(labels) and isinstance(labels[0], bytes):
        raise TypeError("y has labels represented as bytes; decode them: y.astype(str)")
    check_classification_targets(labels)
    check_length(len(labels), n_rows)
    return labels, width


def same_classes(classes: Any, known: np.ndarray) -> np.ndarray:
    """Return the classes of the first call; check those that a later call names."""
    if classes is not None and not np.array_equal(np.unique(classes), known):
        raise ValueError(
            f"`classes={classes!r}` is not the same as on last call to partial_fit, "
            f"was: {known!r}; leave `classes` out, or fit a clone."
        )
    return known


def encode_labels(
    y: np.ndarray, rows: np.ndarray | None = None, *, classes: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes and, for each row, the number of its class.

    Parameters
    ----------
    y : ndarray of shape (n,)
    rows : ndarray of int, optional
        The rows with a weight above 0. The others are left out, and get -1.
    classes : array-like, optional
        All possible classes.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a label is not in ``classes``.
    """
    given = np.asarray(y)
    counting = given if rows is None else given[rows]
    encoder = LabelEncoder().fit(counting if classes is None else classes)
    if len(encoder.classes_) < 2:
        left = "" if len(counting) == len(given) else " in the rows that count (weight above 0)"
        raise ValueError(
            "A classifier needs at least 2 classes; "
            f"y has 1 class{left}: {encoder.classes_.tolist()[0]!r}."
        )
    unseen = np.setdiff1d(counting, encoder.classes_)
    if len(unseen):
        raise ValueError(
            f"y has labels {unseen.tolist()} that are not among the classes "
            f"{encoder.classes_.tolist()}; name every class in the first call's `classes`."
        )
    codes = np.full(len(given), -1, dtype=np.intp)
    codes[slice(None) if rows is None else rows] = encoder.transform(counting)
    return encoder.classes_, codes


def warn_unless_found(parameter: str, named: Iterable[Any], labels: Iterable[Any]) -> None:
    """Warn if a parameter names labels, and y has none of them, or similar ones.

    It is not an error, since a fold may lack a class.

    Parameters
    ----------
    parameter : str
        Its name.
    named, labels : iterable of labels
        The labels in the parameter, and those in y. They are compared with ``==``.
    """
    named, labels = list(named), list(dict.fromkeys(labels))
    if not named:
        return
    if not set(labels).isdisjoint(named):
        _warn_of_typos(parameter, named, labels)
        return
    kinds, others = sorted({_kind(n) for n in named}), sorted({_kind(n) for n in labels})
    if set(kinds).isdisjoint(others):
        why = (
            f"A {' or '.join(kinds)} never equals a {' or '.join(others)}: "
            "name the labels as they are in y"
        )
    else:
        why = "A fold may lack a class. Otherwise name the labels as they are in y"
    if others == ["number"] and set(labels) <= set(range(len(labels))):
        why += (
            " (scikit-learn's cross_val_predict(method='predict_proba') renumbers them in "
            "sorted order: there name them 0, 1, ...)"
        )
    warnings.warn(
        f"{parameter} has no effect in this fit: it names {named!r}, and y has {labels!r}. {why}.",
        LabelsNotFoundWarning,
        stacklevel=user_stacklevel(),
    )


def _warn_of_typos(parameter: str, named: list[Any], labels: list[Any]) -> None:
    others = {n.casefold(): n for n in labels if isinstance(n, str) and n not in named}
    for name in named:
        if name in labels or not isinstance(name, str):
            continue
        if near := difflib.get_close_matches(name.casefold(), others, 1, cutoff=0.8):
            warnings.warn(
                f"{parameter} names {name!r}, and y has {labels!r}; is {others[near[0]]!r} meant? "
                f"Without {name!r}, as in a fold that lacks this class, the name has no effect.",
                LabelsNotFoundWarning,
                stacklevel=user_stacklevel(),
            )


def _kind(label: Any) -> str:
    if isinstance(label, (Number, np.number, np.bool_)):
        return "number"
    return "text" if isinstance(label, str) else type(label).__name__
