"""
An Optuna study that stops bad trials early
===========================================

You learn how a study stops bad trials in the middle of a fit.

Each trial is a cross-validation. After each epoch of the first fold, a callback reports the
accuracy on the hold-out set to Optuna. Optuna prunes a trial that is worse than the median of the
trials before. The other trials continue with the other folds. The callback raises
``optuna.TrialPruned``, which leaves ``fit`` unchanged, as every error of a callback does.

**What comes out.** A line for each trial, with its score or the epoch at which it was pruned,
and its parameters; the best trial; and a figure of the trials.

.. image:: /_static/optuna_pruning.png
   :alt: Accuracy of each trial by epoch; pruned trials end early

Run ``python examples/optuna_pruning.py``; it needs matplotlib and ``pip install "skimgcv[tune]"``.
"""

# sphinx_gallery_thumbnail_path = '_static/optuna_pruning.png'

from pathlib import Path

import keras
import numpy as np
import optuna
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

FIGURE = Path(__file__).with_suffix(".png")


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
    """Return a callback that reports each epoch, and ends the trial if Optuna prunes it."""

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


def is_pruned(trial):
    """Return whether a trial was pruned. Its value is then the last one that it reported."""
    return trial.state is optuna.trial.TrialState.PRUNED


def plot(study, path):
    """Draw what each trial reported, and save the figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    seen = set()
    for trial in sorted(study.trials, key=is_pruned, reverse=True):
        word, colour, line = (
            ("pruned", "#d55e00", ":x") if is_pruned(trial) else ("complete", "#0072b2", "-o")
        )
        epochs, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        label = None if word in seen else word
        axes.plot(np.array(epochs) + 1, values, line, color=colour, markevery=[-1], label=label)
        seen.add(word)
    axes.set(xlabel="epoch of the first fold", ylabel="accuracy on the hold-out set")
    axes.legend(frameon=False, title="trial")
    figure.savefig(path)
    plt.close(figure)


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = run()
    for trial in study.trials:
        seconds = trial.duration.total_seconds()
        epochs = len(trial.intermediate_values)
        score = "pruned" if is_pruned(trial) else f"{trial.value:.3f}"
        print(
            f"trial {trial.number:2}: {score:>6} after {epochs} epochs of fold 0, {seconds:.1f} s"
        )
    print(f"\nbest: {study.best_value:.3f} with {study.best_params}")
    plot(study, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
