"""The sections of a report on numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from skimgcv.report._cross_validation import CrossValidation
from skimgcv.report._figures import predicted_figure, residuals_figure
from skimgcv.report._pictures import image_uris
from skimgcv.report._scores import as_given, in_digits
from skimgcv.report._sections import Section

Measure = Callable[[np.ndarray, np.ndarray], float]


def summary(run: CrossValidation) -> Section:
    """Say in three sentences what came out."""
    rows = _by_output(run)
    worst = min(rows, key=lambda row: np.nan_to_num(row["r2"], nan=np.inf))
    return {
        "first": rows[0],
        "n_outputs": len(rows),
        "worst": worst,
        "r2": float(np.mean([row["r2"] for row in rows])),
        "is_no_better": [row["name"] for row in rows if row["mae"] >= row["baseline"]],
        "n_findings": len(run.findings),
        "has_images": run.has_images,
    }


def numbers(run: CrossValidation) -> Section:
    """Show the errors of each output, and its predictions beside the truth."""
    predictions = run.predictions
    pairs = list(zip(predictions.targets.T, predictions.predicted.T, strict=True))
    figures = [(predicted_figure(*pair), residuals_figure(*pair)) for pair in pairs]
    return {
        "rows": [
            row | {"predicted_figure": first, "residuals_figure": second}
            for row, (first, second) in zip(_by_output(run), figures, strict=True)
        ]
    }


def errors(run: CrossValidation) -> Section | None:
    """Show the images whose numbers are off most, with the names of their files."""
    if not run.has_images:
        return None
    by_row = run.predictions.by_row()
    error = by_row.predicted - by_row.targets
    # Outputs of different units compare by how far the numbers of each are spread.
    spread = by_row.targets.std(axis=0)
    relative = np.abs(error) / np.where(spread > 0, spread, 1)
    worst = np.argsort(-relative.max(axis=1), kind="stable")[: run.n_mistakes]
    pictures = image_uris(run.X, by_row.rows[worst], run.flat_shape)
    return {
        "errors": [
            {
                "image": image,
                "name": run.name_of(by_row.rows[at]),
                "output": run.targets.names[output],
                "truth": as_given(by_row.targets[at, output]),
                "predicted": in_digits(by_row.predicted[at, output]),
                "off": in_digits(abs(error[at, output])),
                "is_too_high": bool(error[at, output] > 0),
                "fold": by_row.folds[at] + 1,
            }
            for image, at in zip(pictures, worst, strict=True)
            for output in [int(relative[at].argmax())]
        ],
        "n_outputs": error.shape[1],
        "is_repeated": len(by_row.rows) < len(run.predictions.rows),
    }


def limits(run: CrossValidation) -> Section:
    """Say what the numbers do not say."""
    y = run.targets.y
    ranges = zip(run.targets.names, y.min(axis=0), y.max(axis=0), strict=True)
    return {
        "has_groups": run.groups is not None,
        "ranges": [(name, as_given(low), as_given(high)) for name, low, high in ranges],
    }


def data(run: CrossValidation) -> Section:
    """Show the numbers of the images that each fold tests."""
    tests = [test for _, test in run.splits]
    return run.about_images | {
        "names": list(run.targets.names),
        "counts": [len(test) for test in tests],
        "rows": [
            (name, _described(column), [_described(column[test]) for test in tests])
            for name, column in zip(run.targets.names, run.targets.y.T, strict=True)
        ],
    }


def _described(numbers: np.ndarray) -> dict[str, str]:
    return {
        "mean": in_digits(numbers.mean()),
        "low": as_given(numbers.min()),
        "high": as_given(numbers.max()),
    }


def _by_output(run: CrossValidation) -> list[Section]:
    """Return measures of each output: the mean over the folds of each."""
    predictions = run.predictions
    tests = [predictions.folds == fold for fold in range(len(run.splits))]
    # What one gets without looking at the images: the median of the training numbers.
    medians = np.array([np.median(run.targets.y[train], axis=0) for train, _ in run.splits])

    def over_folds(measure: Measure, true: np.ndarray, said: np.ndarray) -> float:
        return float(np.mean([measure(true[test], said[test]) for test in tests]))

    rows = []
    for at, name in enumerate(run.targets.names):
        true, predicted = predictions.targets[:, at], predictions.predicted[:, at]
        guess = medians[predictions.folds, at]
        rows.append(
            {
                "name": name,
                "n": len(true),
                "mae": over_folds(mean_absolute_error, true, predicted),
                "rmse": over_folds(root_mean_squared_error, true, predicted),
                "r2": over_folds(_r2, true, predicted),
                "bias": over_folds(lambda t, p: float(np.mean(p - t)), true, predicted),
                "baseline": over_folds(mean_absolute_error, true, guess),
            }
        )
    return rows


def _r2(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return R²; not a number where the true numbers are all equal."""
    return float(r2_score(true, predicted)) if np.ptp(true) > 0 else np.nan
