"""A cross-validation, fold by fold, as a table, CSV files and figures."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import StratifiedKFold, cross_validate

SCORES = ("accuracy", "balanced_accuracy", "log_loss")


@dataclass(frozen=True)
class FoldResults:
    """What came out.

    Attributes
    ----------
    scores : list of dict
        A fold each: its number, its rows, ``SCORES`` and the seconds it took.
    fold_of_row : ndarray of int, shape (n,)
        In which fold a row was tested.
    probabilities : ndarray of shape (n, n_classes)
        Each row's from the model that was not trained on it.
    estimators : list of fitted estimators
    """

    scores: list[dict[str, float]]
    fold_of_row: np.ndarray
    probabilities: np.ndarray
    estimators: list[Any]

    @property
    def classes(self) -> np.ndarray:
        """Their labels, sorted."""
        return self.estimators[0].classes_

    def values(self, name: str) -> np.ndarray:
        """Return a score, or another column, of all folds."""
        return np.array([scores[name] for scores in self.scores])

    def table(self) -> str:
        """Return a line a fold, their mean and their standard deviation."""
        lines = [f"{'fold':>6}{'train':>7}{'test':>6}" + "".join(f"{s:>19}" for s in SCORES)]
        for scores in self.scores:
            row = f"{scores['fold']:6}{scores['n_train']:7}{scores['n_test']:6}"
            lines.append(row + "".join(f"{scores[s]:19.3f}" for s in SCORES))
        for name, of in (("mean", np.mean), ("std", _deviation)):
            lines.append(f"{name:>19}" + "".join(f"{of(self.values(s)):19.3f}" for s in SCORES))
        return "\n".join(lines)


def _deviation(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1))


def cross_validate_folds(
    estimator: Any, X: Any, y: np.ndarray, n_folds: int, seed: int
) -> FoldResults:
    """Fit and score fold by fold; scikit-learn prints a line for each."""
    cv_results = cross_validate(
        estimator,
        X,
        y,
        cv=StratifiedKFold(n_folds, shuffle=True, random_state=seed),
        scoring=["accuracy", "balanced_accuracy", "neg_log_loss"],
        return_estimator=True,
        return_indices=True,
        error_score="raise",
        verbose=3,
    )
    tested = cv_results["indices"]["test"]
    fold_of_row = np.zeros(len(y), dtype=int)
    probabilities = np.zeros((len(y), len(np.unique(y))))
    for number, (fitted, rows) in enumerate(zip(cv_results["estimator"], tested, strict=True), 1):
        fold_of_row[rows] = number
        probabilities[rows] = fitted.predict_proba(X[rows])
    scores = [_scores_of(cv_results, fold) for fold in range(n_folds)]
    return FoldResults(scores, fold_of_row, probabilities, cv_results["estimator"])


def _scores_of(cv_results: dict[str, Any], fold: int) -> dict[str, float]:
    return {
        "fold": fold + 1,
        "n_train": len(cv_results["indices"]["train"][fold]),
        "n_test": len(cv_results["indices"]["test"][fold]),
        "accuracy": float(cv_results["test_accuracy"][fold]),
        "balanced_accuracy": float(cv_results["test_balanced_accuracy"][fold]),
        "log_loss": -float(cv_results["test_neg_log_loss"][fold]),
        "seconds": float(cv_results["fit_time"][fold] + cv_results["score_time"][fold]),
    }


def write_report(
    results: FoldResults, X: Any, y: np.ndarray, names: Sequence[str], folder: Path
) -> Iterable[Path]:
    """Write scores, out-of-fold predictions and, with matplotlib, figures; yield their paths."""
    yield _write_csv(
        folder / "scores.csv", list(results.scores[0]), [s.values() for s in results.scores]
    )
    predicted = results.classes[results.probabilities.argmax(axis=1)]
    yield _write_csv(
        folder / "predictions.csv",
        ["file", "fold", "label", "predicted", *(f"p({c})" for c in results.classes)],
        (
            [name, fold, label, guess, *map(float, row)]
            for name, fold, label, guess, row in zip(
                names, results.fold_of_row, y, predicted, results.probabilities, strict=True
            )
        ),
    )
    if importlib.util.find_spec("matplotlib") is None:
        print('no figures: they need matplotlib, pip install "skimgcv[plot]"')
        return
    for name, display in _displays(results, X, y, predicted):
        path = folder / f"{name}.png"
        display.figure_.savefig(path)
        yield path


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Path:
    # Names of files may be bytes that are no text: as they are on disk.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _displays(
    results: FoldResults, X: Any, y: np.ndarray, predicted: np.ndarray
) -> Iterable[tuple[str, Any]]:
    from skimgcv.display import FoldHistoryDisplay, FoldScoresDisplay, MistakesDisplay

    cv_results = {
        "estimator": results.estimators,
        **{f"test_{name}": results.values(name) for name in SCORES[:2]},
    }
    yield "scores", FoldScoresDisplay.from_cv_results(cv_results)
    yield "history", FoldHistoryDisplay.from_cv_results(cv_results)
    yield "confusion", _confusion(y, predicted, len(results.classes))
    if (predicted != y).any():
        yield (
            "mistakes",
            MistakesDisplay.from_predictions(X, y, results.probabilities, classes=results.classes),
        )


def _confusion(y: np.ndarray, predicted: np.ndarray, n_classes: int) -> ConfusionMatrixDisplay:
    display = ConfusionMatrixDisplay.from_predictions(y, predicted, xticks_rotation="vertical")
    # scikit-learn's figure has one size for any number of classes, and cuts off their names.
    side = max(4.0, 0.5 * n_classes)
    display.figure_.set_size_inches(side + 2, side + 1)
    display.figure_.set_layout_engine("tight")
    return display
