"""
A second generator for early stopping
=====================================

You learn how to augment the hold-out set in another way than the training images, and what this
changes.

One generator augments the training images, and another the hold-out set of early stopping. Each
fold holds out a fifth of its training images, and stops when their loss no longer falls. The
training images are rotated, shifted and zoomed. In one run the hold-out set is plain. In the other
run a second, milder generator shifts it, as future images may be shifted. In both runs the test
images of a fold are plain, and do not influence when it stops.

**What comes out.** For both runs the smallest loss on the hold-out set, the number of epochs of
each fold, and its test accuracy; and a figure of each fold's losses by epoch.

With photographs the second generator is often ``ImageAugmenter(horizontal_flip=True)``.
Needs matplotlib.
"""

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_validate

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

FIGURE = Path(__file__).with_suffix(".png")
COLOURS = ("#0072b2", "#d55e00", "#009e73")  # also for colour-blind people


def build(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def compare(*, n_images=400, n_splits=3, epochs=40):
    """Return {validation generator: cross_validate's result with its estimators}."""
    digits = load_digits()
    images, labels = digits.images[:n_images], digits.target[:n_images]
    first = ImageAugmenter(
        rotation_range=10,
        width_shift_range=0.1,
        height_shift_range=0.1,
        zoom_range=0.1,
        rescale=1 / 16,
    )
    # The first generator rescales every image; the second only shifts.
    second = ImageAugmenter(width_shift_range=0.1, height_shift_range=0.1)
    results = {}
    for name, validation in [("plain", None), ("shifted", second)]:
        classifier = AugmentedKerasClassifier(
            build,
            augmenter=first,
            validation_augmenter=validation,
            validation_split=0.2,
            callbacks=keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
            epochs=epochs,
            optimizer__learning_rate=3e-3,
            random_state=0,
        )
        folds = StratifiedKFold(n_splits, shuffle=True, random_state=0)
        results[name] = cross_validate(classifier, images, labels, cv=folds, return_estimator=True)
    return results


def plot(results, path):
    """Draw the losses of each fold by epoch, and save the figure."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(9, 4), sharey=True)
    for axes, (name, result) in zip(panels, results.items(), strict=True):
        for fold, classifier in enumerate(result["estimator"]):
            history = classifier.history_
            words = [f"{part}, fold {fold}" for part in ("training", "hold-out set")]
            colour = COLOURS[fold % len(COLOURS)]
            axes.plot(history["loss"], ":", color=colour, label=words[0])
            axes.plot(history["val_loss"], color=colour, label=words[1])
        axes.set(title=f"hold-out set {name}", xlabel="epoch", yscale="log")
    panels[0].legend(fontsize=8)
    panels[0].set_ylabel("loss")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main():
    results = compare()
    print(f"{'held-out images':17}{'least val_loss':>15}{'epochs':>15}{'test accuracy':>22}")
    for name, result in results.items():
        histories = [classifier.history_ for classifier in result["estimator"]]
        loss = np.mean([min(history["val_loss"]) for history in histories])
        epochs = " ".join(str(len(history["loss"])) for history in histories)
        scores = " ".join(f"{score:.3f}" for score in result["test_score"])
        print(f"{name:17}{loss:15.3f}{epochs:>15}{scores:>22}")
    plot(results, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
