"""Scores and predictions as CSV files, and as a table on the terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv.report._scores import formatted, interval_in_words, without_interval

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
    """Return a line a fold, their mean, and its interval or why there is none."""
    widths = {name: max(19, len(name) + 2) for name in scores}

    def line(start: str, cells: Mapping[str, str]) -> str:
        return f"{start:>19}" + "".join(f"{cells[name]:>{n}}" for name, n in widths.items())

    def cell(name: str, value: float) -> str:
        return formatted(name, value) if np.isfinite(value) else "undefined"

    known = {name: values[np.isfinite(values)] for name, values in scores.items()}
    means = {name: cell(name, v.mean() if len(v) else np.nan) for name, v in known.items()}
    within = {name: interval_in_words(name, each) for name, each in intervals.items()}
    return "\n".join(
        [
            line(f"{'fold':>6}{'train':>7}{'test':>6}", {name: name for name in scores}),
            *(
                line(
                    f"{fold['fold']:6}{fold['n_train']:7}{fold['n_test']:6}",
                    {name: cell(name, fold[name]) for name in scores},
                )
                for fold in folds
            ),
            line("mean", means),
            line("95% interval", within),
            *without_interval(scores, intervals),
        ]
    )


def write_scores(path: Path, folds: Folds) -> None:
    """Write a line a fold."""
    _write_csv(path, list(folds[0]), [fold.values() for fold in folds])


def write_predictions(
    path: Path,
    predictions: Mapping[str, np.ndarray],
    columns: Mapping[str, Sequence[Any]],
    names: Sequence[str],
) -> None:
    """Write a line for each test of an image: its file, its fold, and columns of the task."""
    files = [names[row] for row in predictions["row"]]
    of_all = {"file": files, "fold": predictions["fold"].tolist(), **columns}
    _write_csv(path, list(of_all), zip(*of_all.values(), strict=True))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    # Names of files may be bytes that are no text: as they are on disk.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
