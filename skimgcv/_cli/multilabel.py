"""--task multilabel: several labels an image, or none."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skimgcv._cli.table import Table
from skimgcv._cli.tasks import Splits, Task, where_defined
from skimgcv.model_selection import MultilabelStratifiedKFold

SEPARATOR = ";"
"""Between the labels in a cell."""


class Multilabel(Task):
    """Several labels an image, or none."""

    kind = "labels"
    mixture = "labels"

    def read(self, table: Table, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        return _of_cells(table, columns[0]) if len(columns) == 1 else _of_columns(table, columns)

    def check(self, asked: argparse.Namespace, y: np.ndarray, names: Sequence[str]) -> None:
        if len(names) < 2:
            raise ValueError(
                f"{asked.table!r} needs 2 labels or more for --task multilabel; it has "
                f"{list(names)}"
            )
        sizes = y.sum(axis=0)
        if sizes.min() < asked.folds:
            raise ValueError(
                f"--folds {asked.folds} needs as many images of each label; "
                f"{names[int(sizes.argmin())]!r} has {sizes.min()}"
            )

    def splits(self, y: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> Splits:
        splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
        return list(splitter.split(y, y, groups))

    def untrained(self, y: np.ndarray, names: Sequence[str], train: np.ndarray) -> list[str]:
        return [names[at] for at in np.flatnonzero(~y[train].any(axis=0)).tolist()]

    def scorers(self, y: np.ndarray) -> Mapping[str, Any]:
        from sklearn.metrics import get_scorer

        # Of a label that no test image has, scikit-learn gives a number that means nothing.
        means = {
            name: where_defined(_has_each_label, get_scorer(name))
            for name in ("f1_macro", "average_precision")
        }
        return {"accuracy": "accuracy", **means}

    def estimator(self, asked: argparse.Namespace, **common: Any) -> Any:
        from skimgcv import AugmentedKerasClassifier

        return AugmentedKerasClassifier(
            multilabel=True, class_weight="balanced" if asked.balanced else None, **common
        )

    def meta(self, y: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        return {"n_classes_": len(names), "target_type_": "multilabel-indicator"}

    def described(self, y: np.ndarray, names: Sequence[str]) -> tuple[str, str]:
        counts = zip(
            [*names, "no label"], [*y.sum(axis=0), (y.sum(axis=1) == 0).sum()], strict=True
        )
        return f"with {len(names)} labels", ", ".join(f"{label} ({n})" for label, n in counts)

    def prediction_columns(
        self, predictions: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        def joined(table: np.ndarray) -> list[str]:
            return [SEPARATOR.join(np.array(names)[row]) for row in table.astype(bool)]

        proba = zip(names, predictions["proba"].T.tolist(), strict=True)
        return {
            "label": joined(predictions["label"]),
            "predicted": joined(predictions["predicted"]),
            **{f"p({label})": of_label for label, of_label in proba},
        }


def _has_each_label(y: np.ndarray) -> bool:
    return bool(y.any(axis=0).all())


def _of_cells(table: Table, column: str) -> tuple[np.ndarray, list[str]]:
    """Read labels that stand in one cell, such as "nodule;mass"; an empty one has none."""
    table.check(column, "--label-column", may_be_empty=True)
    parts = [[part.strip() for part in cell.split(SEPARATOR)] for cell in table[column]]
    sets = [{part for part in of_row if part} for of_row in parts]
    names = sorted(set().union(*sets))
    if set(names) <= {"0", "1"} and names:
        raise ValueError(
            f"column {column!r} of {table} has 0 and 1: name two such columns or more after "
            "--label-column, one for each label, or pass --task classification"
        )
    return np.array([[name in of_row for name in names] for of_row in sets], dtype=np.int8), names


def _of_columns(table: Table, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Read a column of 0 and 1 for each label."""
    for column in columns:
        table.check(column, "--label-column")
        if SEPARATOR in column:
            raise ValueError(
                f"column {column!r} names a label, and predictions.csv separates labels by "
                f"{SEPARATOR!r}; rename it"
            )
        for line, cell in table.cells(column):
            if cell not in ("0", "1"):
                raise ValueError(f"{table} needs 0 or 1 in {column!r}; line {line} has {cell!r}")
    return np.array([table[c] for c in columns]).T.astype(np.int8), list(columns)
