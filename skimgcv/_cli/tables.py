"""Scores and predictions as CSV files, and as a table on the terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Folds = list[dict[str, float]]


def folds_of(cv_results: Mapping[str, Any], scores: Mapping[str, np.ndarray]) -> Folds:
    """Return a dict a fold: its number, its rows, its scores, and the seconds it took."""
    indices = cv_results["indices"]
    return [
        {
            "fold": fold + 1,
            "n_train": len(indices["train"][fold]),
            "n_test": len(indices["test"][fold]),
            **{name: float(values[fold]) for name, values in scores.items()},
            "seconds": float(cv_results["fit_time"][fold] + cv_results["score_time"][fold]),
        }
        for fold in range(len(indices["test"]))
    ]


def printed(
    folds: Folds,
    scores: Mapping[str, np.ndarray],
    intervals: Mapping[str, tuple[float, float]],
) -> str:
    """Return a line a fold, their mean, and its interval."""
    lines = [f"{'fold':>6}{'train':>7}{'test':>6}" + "".join(f"{name:>19}" for name in scores)]
    for fold in folds:
        row = f"{fold['fold']:6}{fold['n_train']:7}{fold['n_test']:6}"
        lines.append(row + "".join(f"{fold[name]:19.3f}" for name in scores))
    lines.append(f"{'mean':>19}" + "".join(f"{np.mean(v):19.3f}" for v in scores.values()))
    within = "".join(f"{f'{low:.3f} to {high:.3f}':>19}" for low, high in intervals.values())
    lines.append(f"{'95% interval':>19}" + within)
    return "\n".join(lines)


def write_scores(path: Path, folds: Folds) -> None:
    """Write a line a fold."""
    _write_csv(path, list(folds[0]), [fold.values() for fold in folds])


def write_predictions(
    path: Path,
    predictions: Mapping[str, np.ndarray],
    classes: np.ndarray,
    names: Sequence[str],
) -> None:
    """Write a line for each test of an image."""
    _write_csv(
        path,
        ["file", "fold", "label", "predicted", *(f"p({label})" for label in classes)],
        (
            [names[row], fold, label, predicted, *map(float, proba)]
            for row, fold, label, predicted, proba in zip(
                *(predictions[n] for n in ("row", "fold", "label", "predicted", "proba")),
                strict=True,
            )
        ),
    )


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    # Names of files may be bytes that are no text: as they are on disk.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
