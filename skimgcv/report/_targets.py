"""y of a cross-validation: classes, labels or numbers, with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_regressor

from skimgcv._data.label_tables import check_label_table
from skimgcv._data.numeric_targets import check_numbers
from skimgcv.report._scores import as_given

if TYPE_CHECKING:
    from skimgcv._models.targets import Kind

_NAME = "CrossValidationReport"


@dataclass(frozen=True)
class Targets:
    """What y is.

    Attributes
    ----------
    kind : {"classes", "labels", "numbers"}
    y : ndarray of shape (n,), (n, n_labels) or (n, n_outputs)
        Classes; 0 and 1; or float.
    names : ndarray
        Of the classes, labels or outputs.
    captions : ndarray of shape (n,)
        What to write beside an image: its class, its labels or its numbers.
    """

    kind: Kind
    y: np.ndarray
    names: np.ndarray
    captions: np.ndarray

    def examples(self, n: int) -> np.ndarray | None:
        """Return rows with small and large numbers; None of classes, which have their own way."""
        if self.kind != "numbers":
            return None
        order = np.argsort(self.y[:, 0], kind="stable")
        return order[np.unique(np.linspace(0, len(order) - 1, n).round().astype(int))]


def targets_of(y: Any, estimator: Any, target_names: Sequence[str] | None, n_rows: int) -> Targets:
    """Read y as an estimator does.

    Raises
    ------
    ValueError
        Where y has another form or length, or the names are not those of its columns.
    """
    if is_regressor(estimator):
        return _of_numbers(y, target_names, n_rows)
    if getattr(y, "ndim", np.ndim(y)) == 2:
        return _of_labels(y, target_names, n_rows)
    y = np.asarray(y)
    if y.shape != (n_rows,):
        raise ValueError(f"y needs a label a row, shape ({n_rows},), it has {y.shape}")
    if target_names is not None:
        raise ValueError(
            "target_names names the columns of y, of several labels or of numbers; classes have "
            "the names that y has"
        )
    return Targets("classes", y, np.unique(y), y)


def _of_labels(y: Any, target_names: Sequence[str] | None, n_rows: int) -> Targets:
    table, names = check_label_table(y, n_rows=n_rows, name=_NAME)
    names = _named(names, target_names)
    has = table.astype(bool)
    captions = [", ".join(map(str, names[row])) or "none" for row in has]
    return Targets("labels", table, names, np.array(captions))


def _of_numbers(y: Any, target_names: Sequence[str] | None, n_rows: int) -> Targets:
    numbers = check_numbers(y, n_rows=n_rows, name=_NAME).reshape(n_rows, -1)
    columns = getattr(y, "columns", None)
    n_outputs = numbers.shape[1]
    if columns is None:
        columns = ["number"] if n_outputs == 1 else [f"number {i}" for i in range(n_outputs)]
    names = _named(np.array(list(columns)), target_names)
    captions = [", ".join(map(as_given, row)) for row in numbers.tolist()]
    return Targets("numbers", numbers, names, np.array(captions))


def _named(names: np.ndarray, given: Sequence[str] | None) -> np.ndarray:
    if given is None:
        return names
    if len(given) != len(names):
        raise ValueError(
            f"target_names needs one for each of the {len(names)} columns of y, it has "
            f"{list(given)}"
        )
    return np.array(list(given))
