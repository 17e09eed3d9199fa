"""What of the command line depends on the kind of y: classes, several labels, or numbers."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skimgcv._cli.table import Table

if TYPE_CHECKING:
    from skimgcv._models.targets import Kind

Splits = list[tuple[np.ndarray, np.ndarray]]


class Task:
    """One of ``--task``.

    Attributes
    ----------
    kind : {"classes", "labels", "numbers"}
        What the report calls it.
    mixture : str
        What each fold has the same mixture of.
    """

    kind: Kind
    mixture: str

    def read(self, table: Table, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """Return y of a table, and the names of its classes or columns."""
        raise NotImplementedError

    def check(self, asked: argparse.Namespace, y: np.ndarray, names: Sequence[str]) -> None:
        """Refuse a y of which there is too little for the folds."""
        raise NotImplementedError

    def splits(self, y: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> Splits:
        """Return shuffled and stratified folds, that keep groups whole where there are any."""
        raise NotImplementedError

    def untrained(self, y: np.ndarray, names: Sequence[str], train: np.ndarray) -> list[str]:
        """Return what a fold would be trained without, although it is in y."""
        return []

    def scorers(self, y: np.ndarray) -> Mapping[str, Any]:
        """Return scorers by the names of scikit-learn."""
        raise NotImplementedError

    def estimator(self, asked: argparse.Namespace, **common: Any) -> Any:
        """Return the estimator, from parameters that every task has."""
        raise NotImplementedError

    def meta(self, y: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return what a builder is told of y."""
        raise NotImplementedError

    def described(self, y: np.ndarray, names: Sequence[str]) -> tuple[str, str]:
        """Say what the images have, and how much of it."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """Return what the report is to say of the task."""
        return {}

    def prediction_columns(
        self, predictions: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        """Return the columns of ``predictions.csv``, after file and fold."""
        raise NotImplementedError


def where_defined(
    is_defined: Callable[[np.ndarray], bool], scorer: Callable[..., float]
) -> Callable[..., float]:
    """Return a scorer that gives no number where a fold's y defines none."""
    return functools.partial(_score, is_defined, scorer)


def _score(
    is_defined: Callable[[np.ndarray], bool],
    scorer: Callable[..., float],
    estimator: Any,
    X: Any,
    y: np.ndarray,
) -> float:
    return float(scorer(estimator, X, y)) if is_defined(y) else np.nan
