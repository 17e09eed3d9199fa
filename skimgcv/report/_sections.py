"""The sections of a report on a classifier: each a function from a cross-validation to numbers.

A section's template is the file of its name. One that returns None is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skimgcv.display._history import classifier_in
from skimgcv.report._cross_validation import CrossValidation
from skimgcv.report._curves import curves_of
from skimgcv.report._figures import class_figure, history_figure, scores_figure
from skimgcv.report._network import network_of
from skimgcv.report._pictures import augmented, mistakes_of
from skimgcv.report._settings import augmentation_in_words, settings_of, versions

Section = dict[str, Any]


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


def warnings(run: CrossValidation) -> Section:
    """Say what is wrong with the folds, or that nothing was found."""
    return {
        "findings": run.findings,
        "copies_were_sought": run.copies_were_sought,
        "has_groups": run.groups is not None,
    }


def scores(run: CrossValidation) -> Section:
    """Show each fold's scores, their mean and its interval."""
    bounded = [s for s in run.scores if s.limits == (0.0, 1.0) and np.isfinite(s.values).all()]
    return {
        "scores": run.scores,
        "folds": [
            {
                "number": fold + 1,
                "n_train": len(train),
                "n_test": len(test),
                "seconds": run.seconds[fold],
                "values": [score.values[fold] for score in run.scores],
            }
            for fold, (train, test) in enumerate(run.splits)
        ],
        "level": run.confidence_level,
        "figure": scores_figure(bounded, run.confidence_level) if bounded else None,
        "figure_shows": bounded,
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
    shape = getattr(run.classifier, "image_shape", None)
    found = mistakes_of(run.X, run.predictions, shape, run.n_mistakes) if run.n_mistakes else []
    return {
        "mistakes": [(mistake, run.name_of(mistake.row)) for mistake in found],
        "n_wrong": len(by_row.rows) - by_row.n_right,
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


def training(run: CrossValidation) -> Section | None:
    """Show the loss of each epoch."""
    if run.classifier is None:
        return None
    epochs = [len(classifier_in(each).history_["loss"]) for each in run.estimators]
    return {
        "figure": history_figure(run.estimators),
        "has_holdout": "val_loss" in run.classifier.history_,
        "is_fine_tuned": getattr(run.classifier, "fine_tune_start_", None) is not None,
        "epochs": (min(epochs), max(epochs)),
    }


def data(run: CrossValidation) -> Section:
    """Show how many images of each class each fold tests."""
    classes = run.predictions.classes
    counts = [[int((run.y[test] == label).sum()) for _, test in run.splits] for label in classes]
    totals = [int((run.y == label).sum()) for label in classes]
    return {
        "n": len(run.y),
        "shape": run.image_shape,
        "has_images": run.has_images,
        "rows": list(zip(classes, totals, counts, strict=True)),
        "n_folds": len(run.splits),
        "n_groups": None if run.groups is None else len(np.unique(run.groups)),
    }


def augmentation(run: CrossValidation) -> Section | None:
    """Show what augmentation does to six images."""
    if run.classifier is None or not run.has_images:
        return None
    return {
        "images": augmented(run.classifier, run.X, run.y),
        "phrases": augmentation_in_words(run.classifier.augmenter),
    }


def network(run: CrossValidation) -> Section | None:
    """Show the network's layers."""
    if run.classifier is None:
        return None
    return {"network": network_of(run.classifier.model_), "about": run.about_network}


def settings(run: CrossValidation) -> Section:
    """Show what is needed to run it again."""
    own = [] if run.classifier is None else settings_of(run.classifier)
    return {
        "command": run.command,
        "settings": [(name, str(value)) for name, value in run.settings.items()],
        "parameters": own,
        "versions": versions(),
    }


SECTIONS: tuple[Callable[[CrossValidation], Section | None], ...] = (
    summary,
    warnings,
    scores,
    classes,
    confusion,
    mistakes,
    limits,
    training,
    data,
    augmentation,
    network,
    settings,
)
