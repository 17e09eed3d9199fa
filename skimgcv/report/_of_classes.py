"""The sections of a report on classes."""

from __future__ import annotations

import numpy as np

from skimgcv.report._cross_validation import CrossValidation
from skimgcv.report._curves import curves_of
from skimgcv.report._figures import class_figure
from skimgcv.report._pictures import image_uris
from skimgcv.report._sections import Section


def summary(run: CrossValidation) -> Section:
    """Say in three sentences what came out."""
    counts = run.predictions.confusion()
    of_class = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        found = np.diag(counts) / of_class
    worst = int(np.nanargmin(found))
    wrong = counts - np.diag(np.diag(counts))
    truth, taken_for = np.unravel_index(int(wrong.argmax()), wrong.shape)
    classes = run.predictions.classes
    return {
        "n_right": run.predictions.n_right,
        "n_tests": len(run.predictions.rows),
        "common_class": classes[of_class.argmax()],
        "common_share": of_class.max() / of_class.sum(),
        "worst_class": classes[worst],
        "worst_found": found[worst],
        "n_confused": int(wrong.max()),
        "confused": (classes[truth], classes[taken_for]),
        "n_findings": len(run.findings),
        "has_images": run.has_images,
    }


def classes(run: CrossValidation) -> Section:
    """Show how well each class is found, and its curves."""
    counts = run.predictions.confusion()
    curves = curves_of(run.predictions)
    with np.errstate(invalid="ignore"):
        found = np.diag(counts) / counts.sum(axis=1)
        right = np.diag(counts) / counts.sum(axis=0)
    return {
        "kind": curves[0].kind,
        "rows": [
            {
                "label": of_class.label,
                "n": int(counts[at].sum()),
                "found": found[at],
                "right": right[at],
                "area": of_class.area,
            }
            for at, of_class in enumerate(curves)
        ],
        "figures": [(c.label, c.area, len(c.curves), class_figure(c)) for c in curves if c.curves],
    }


def confusion(run: CrossValidation) -> Section:
    """Show which class was taken for which."""
    counts = run.predictions.confusion()
    of_class = np.maximum(1, counts.sum(axis=1, keepdims=True))
    return {"classes": run.predictions.classes, "counts": counts, "shares": counts / of_class}


def mistakes(run: CrossValidation) -> Section | None:
    """Show the wrong answers that the model was surest of, with the names of their files."""
    if not run.has_images:
        return None
    by_row = run.predictions.by_row()
    confidence = by_row.proba.max(axis=1)
    wrong = np.flatnonzero(by_row.predicted != by_row.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][: run.n_mistakes]
    pictures = image_uris(run.X, by_row.rows[surest], run.flat_shape)
    return {
        "mistakes": [
            {
                "image": image,
                "name": run.name_of(by_row.rows[at]),
                "truth": by_row.labels[at],
                "predicted": by_row.predicted[at],
                "confidence": confidence[at],
                "fold": by_row.folds[at] + 1,
            }
            for image, at in zip(pictures, surest, strict=True)
        ],
        "n_wrong": len(wrong),
        "n_images": len(by_row.rows),
        "is_repeated": len(by_row.rows) < len(run.predictions.rows),
    }


def limits(run: CrossValidation) -> Section:
    """Say what the numbers do not say."""
    labels, sizes = np.unique(run.predictions.labels, return_counts=True)
    return {
        "has_groups": run.groups is not None,
        "smallest_class": labels[sizes.argmin()],
        "smallest_size": int(sizes.min()),
    }


def data(run: CrossValidation) -> Section:
    """Show how many images of each class each fold tests."""
    classes, y = run.predictions.classes, run.targets.y
    counts = [[int((y[test] == label).sum()) for _, test in run.splits] for label in classes]
    totals = [int((y == label).sum()) for label in classes]
    return run.about_images | {"rows": list(zip(classes, totals, counts, strict=True))}
