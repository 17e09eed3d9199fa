"""
An Optuna study that stops bad trials early
===========================================

Each trial is a cross-validation. After each epoch of the first fold, a callback reports the
accuracy on the hold-out set to Optuna. Optuna prunes a trial that is worse than the median of the
trials before. The other trials continue with the other folds. The callback raises
``optuna.TrialPruned``, which leaves ``fit`` unchanged, as every error of a callback does.

**What comes out.** A line for each trial, with its score or the epoch at which it was pruned,
and its parameters; then the best trial.

Run ``python examples/optuna_pruning.py``; it needs ``pip install "skimgcv[tune]"``.
"""

import keras
import numpy as np
import optuna
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from skimgcv import AugmentedKerasClassifier, ImageAugmenter


def build(meta, filters):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(filters, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def suggest(trial, epochs):
    return AugmentedKerasClassifier(
        build,
        augmenter=ImageAugmenter(
            rotation_range=trial.suggest_float("rotation_range", 0, 40),
            width_shift_range=trial.suggest_float("width_shift_range", 0, 0.3),
            rescale=1 / 16,
        ),
        epochs=epochs,
        batch_size=25,
        metrics=["accuracy"],
        validation_split=0.2,
        random_state=0,
        # Few values: models of one architecture are compiled once.
        model__filters=trial.suggest_categorical("filters", [8, 16]),
        optimizer__learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
    )


def pruning(trial):
    """Return a callback that reports each epoch, and ends the trial when it is told to."""

    # A function, not a class with the trial in it: fits copy callbacks, and a copied trial
    # would report to a copied study.
    def report(epoch, logs):
        trial.report(logs["val_accuracy"], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    return keras.callbacks.LambdaCallback(on_epoch_end=report)


def run(*, n_images=300, n_trials=15, epochs=8, n_startup_trials=4):
    """Return the study."""
    digits = load_digits()
    X, y = digits.images[:n_images], digits.target[:n_images]
    folds = list(StratifiedKFold(3).split(X, y))

    def objective(trial):
        clf = suggest(trial, epochs)
        scores = []
        for train, test in folds:
            fold = clone(clf).set_params(callbacks=None if scores else pruning(trial))
            scores.append(fold.fit(X[train], y[train]).score(X[test], y[test]))
        return np.mean(scores)

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=n_startup_trials),
        pruner=optuna.pruners.MedianPruner(n_startup_trials, n_warmup_steps=1),
    )
    study.optimize(objective, n_trials)
    return study


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = run()
    for trial in study.trials:
        seconds = trial.duration.total_seconds()
        epochs = len(trial.intermediate_values)
        score = "pruned" if trial.value is None else f"{trial.value:.3f}"
        print(
            f"trial {trial.number:2}: {score:>6} after {epochs} epochs of fold 0, {seconds:.1f} s"
        )
    print(f"\nbest: {study.best_value:.3f} with {study.best_params}")


if __name__ == "__main__":
    main()
