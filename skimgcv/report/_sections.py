"""The sections that a report has for every kind of y.

A section is a function from a cross-validation to numbers. Its template is the file of its name.
One that returns None is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_regressor

from skimgcv.display._history import keras_estimator_in
from skimgcv.report._cross_validation import CrossValidation
from skimgcv.report._figures import history_figure, scores_figure
from skimgcv.report._network import network_of
from skimgcv.report._pictures import augmented
from skimgcv.report._scores import without_interval
from skimgcv.report._settings import augmentation_in_words, settings_of, versions

Section = dict[str, Any]


def warnings(run: CrossValidation) -> Section:
    """Say what is wrong with the folds, or that nothing was found."""
    return {
        "findings": run.findings,
        "copies_were_sought": run.copies_were_sought,
        "has_groups": run.groups is not None,
    }


def scores(run: CrossValidation) -> Section:
    """Show each fold's scores, their mean and its interval."""
    drawn = [s for s in run.scores if s.limits[1] == 1 and s.limits[0] in (0, -np.inf)]
    drawn = [s for s in drawn if not s.is_undefined_somewhere]
    return {
        "scores": run.scores,
        "folds": [
            {
                "number": fold + 1,
                "n_train": len(train),
                "n_test": len(test),
                "seconds": run.seconds[fold],
                "values": [score.formatted(score.values[fold]) for score in run.scores],
            }
            for fold, (train, test) in enumerate(run.splits)
        ],
        "level": run.confidence_level,
        "without_interval": without_interval(
            {score.title: score.values for score in run.scores},
            {score.title: score.interval for score in run.scores},
        ),
        "figure": scores_figure(drawn, run.confidence_level) if drawn else None,
        "figure_shows": drawn,
    }


def training(run: CrossValidation) -> Section | None:
    """Show the loss of each epoch."""
    if run.estimator is None:
        return None
    epochs = [len(keras_estimator_in(each).history_["loss"]) for each in run.estimators]
    return {
        "figure": history_figure(run.estimators),
        "has_holdout": "val_loss" in run.estimator.history_,
        "is_fine_tuned": getattr(run.estimator, "fine_tune_start_", None) is not None,
        "epochs": (min(epochs), max(epochs)),
    }


def augmentation(run: CrossValidation) -> Section | None:
    """Show what augmentation does to six images."""
    if run.estimator is None or not run.has_images:
        return None
    return {
        "images": augmented(run.estimator, run.X, run.targets),
        "phrases": augmentation_in_words(run.estimator.augmenter),
    }


def network(run: CrossValidation) -> Section | None:
    """Show the network's layers."""
    if run.estimator is None:
        return None
    return {"network": network_of(run.estimator.model_), "about": run.about_network}


def settings(run: CrossValidation) -> Section:
    """Show what is needed to run it again."""
    own = [] if run.estimator is None else settings_of(run.estimator)
    return {
        "command": run.command,
        "settings": [(name, str(value)) for name, value in run.settings.items()],
        "kind": "regressor" if is_regressor(run.estimators[0]) else "classifier",
        "parameters": own,
        "versions": versions(),
    }
