"""--task classification: one class an image."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from skimgcv._cli.table import Table
from skimgcv._cli.tasks import Splits, Task


class Classification(Task):
    """One class an image."""

    kind = "classes"
    mixture = "classes"

    def read(self, table: Table, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        table.check(columns[0], "--label-column")
        y = np.array(table[columns[0]])
        return y, np.unique(y).tolist()

    def check(self, asked: argparse.Namespace, y: np.ndarray, names: Sequence[str]) -> None:
        labels, sizes = np.unique(y, return_counts=True)
        if len(labels) < 2:
            raise ValueError(
                f"{asked.folder or asked.table!r} needs images of 2 classes or more; it has "
                f"{labels.tolist()}"
            )
        if sizes.min() < asked.folds:
            raise ValueError(
                f"--folds {asked.folds} needs as many images of each class; "
                f"{str(labels[sizes.argmin()])!r} has {sizes.min()}{_other_task(labels)}"
            )

    def splits(self, y: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> Splits:
        splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
        return list(splitter(folds, shuffle=True, random_state=seed).split(y, y, groups))

    def untrained(self, y: np.ndarray, names: Sequence[str], train: np.ndarray) -> list[str]:
        lacking: list[str] = np.setdiff1d(y, y[train]).tolist()
        return lacking

    def scorers(self, y: np.ndarray) -> Mapping[str, Any]:
        from sklearn.metrics import log_loss, make_scorer

        # By name, log_loss fails where a fold lacks a class.
        loss = make_scorer(
            log_loss,
            greater_is_better=False,
            response_method="predict_proba",
            labels=np.unique(y),
        )
        return {
            "accuracy": "accuracy",
            "balanced_accuracy": "balanced_accuracy",
            "neg_log_loss": loss,
        }

    def estimator(self, asked: argparse.Namespace, **common: Any) -> Any:
        from skimgcv import AugmentedKerasClassifier

        return AugmentedKerasClassifier(
            class_weight="balanced" if asked.balanced else None,
            sampling_strategy="auto" if asked.oversample else None,
            **common,
        )

    def meta(self, y: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        return {"n_classes_": len(np.unique(y))}

    def described(self, y: np.ndarray, names: Sequence[str]) -> tuple[str, str]:
        labels, sizes = np.unique(y, return_counts=True)
        counts = zip(labels, sizes, strict=True)
        return f"of {len(labels)} classes", ", ".join(f"{label} ({n})" for label, n in counts)

    def prediction_columns(
        self, predictions: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        # Of these the files of a class may all have been left out.
        known = np.unique(predictions["label"]).tolist()
        proba = zip(known, predictions["proba"].T.tolist(), strict=True)
        return {
            "label": predictions["label"].tolist(),
            "predicted": predictions["predicted"].tolist(),
            **{f"p({label})": of_class for label, of_class in proba},
        }


def _other_task(labels: np.ndarray) -> str:
    """Return a hint where the classes look like numbers, or like several labels."""
    try:
        labels.astype(float)
    except ValueError:
        several = any(";" in label for label in labels.tolist())
        return "; for several labels an image pass --task multilabel" if several else ""
    return "; for numbers pass --task regression"
