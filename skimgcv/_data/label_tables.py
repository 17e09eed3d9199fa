"""y of several labels: a table of 0 and 1 with a column for each label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from skimgcv._data.labels import check_is_given, check_length, refuse_masks

_BINARIZE = "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y) makes such a table"


def check_label_table(
    y: Any, *, n_rows: int, name: str, known: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Check y of several labels.

    Parameters
    ----------
    y : array-like, sparse matrix or data frame of shape (n, n_labels)
        0 and 1.
    n_rows : int
        Number of rows of X.
    name : str
        The estimator's, for errors.
    known : array-like of shape (n_labels,), optional
        The labels of an earlier call, or those that the caller names.

    Returns
    -------
    table : ndarray of int8, shape (n, n_labels)
    labels : ndarray of shape (n_labels,)
        The column names of a data frame, or numbers.

    Raises
    ------
    ValueError, TypeError
        If it is not such a table, or if its columns are not the known ones.
    """
    check_is_given(y, name)
    refuse_masks(y, "y")
    table = as_label_table(y)
    check_length(len(table), n_rows)
    named = getattr(y, "columns", None)
    if known is None:
        return table, np.arange(table.shape[1]) if named is None else _checked_names(named)
    known = _checked_names(known)
    if len(known) != table.shape[1] or (named is not None and list(named) != known.tolist()):
        columns = f"{table.shape[1]} labels" if named is None else f"labels {list(named)!r}"
        raise ValueError(
            f"y has {columns}, and {name} knows {known.tolist()!r}; pass a column for each of "
            "these, in this order."
        )
    return table, known


def _checked_names(names: Any) -> np.ndarray:
    labels = np.asarray(list(names))
    if labels.ndim != 1 or labels.tolist() != list(names) or len(set(names)) < len(labels):
        raise ValueError(
            "The labels of y must be all texts or all numbers, each once; they are "
            f"{list(names)!r}."
        )
    return labels


def as_label_table(y: Any) -> np.ndarray:
    """Return y as an int8 table (n, n_labels) of 0 and 1; refuse other forms."""
    needed = "multilabel=True needs y of shape (n, labels), of 0 and 1, with two labels or more"
    if isinstance(y, Mapping):
        raise TypeError(f"{needed}; it is a {type(y).__name__}. Pass a data frame of its columns.")
    if sparse.issparse(y):
        y = y.toarray()
    try:
        table = np.asarray(y)
    except ValueError as error:  # lists of unequal lengths
        raise ValueError(f"{needed}; it has rows of unequal lengths. {_BINARIZE}.") from error
    if table.ndim != 2 or table.shape[1] < 2:
        of_sets = table.ndim == 1 and len(table) and isinstance(table[0], (list, set, tuple))
        advice = _BINARIZE if of_sets else "leave multilabel out for one label a row"
        raise ValueError(f"{needed}; it has shape {table.shape}. {advice}.")
    if table.dtype == object:  # a data frame of bool and int columns, say
        try:
            table = table.astype(float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{needed}; it holds {table[0].tolist()!r}. {_BINARIZE}.") from error
    if table.dtype.kind not in "buif" or not np.isin(table, (0, 1)).all():
        others = np.unique(table[~np.isin(table, (0, 1))])[:3].tolist()
        raise ValueError(f"{needed}; it holds {others!r}. Drop rows without labels.")
    return table.astype(np.int8)
