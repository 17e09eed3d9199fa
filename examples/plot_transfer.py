"""
A pretrained network for a few images
=====================================

You learn what a pretrained network gains when you have few images, and how to fine-tune it inside
a cross-validation.

A small network first learns the digits 0 to 6. It then helps to distinguish 7, 8 and 9 with
nine training images. Three ways, with the same splits, augmentation and number of epochs:

============ ===============================================================================
from scratch the same network with random weights
head only    the pretrained layers stay frozen, and a new last layer learns
two phases   the head learns, then all layers learn at a lower rate (``fine_tune_epochs``)
============ ===============================================================================

**What comes out.** The accuracy of each way on plain images that took no part in training: mean,
each split and seconds; and a figure. The pretrained network gains about two points, most on the
splits where random weights do badly. With so few images the second phase gains nothing more. The
frozen layers run once for each version of an image, and all splits share their features.

Needs matplotlib.
"""

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.models import pretrained

FIGURE = Path(__file__).with_suffix(".png")
SHIFTS = ImageAugmenter(rotation_range=10, width_shift_range=0.1, height_shift_range=0.1)


def new_network():
    """Return a network without its last layer, with random weights."""
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 16),  # the pixels are 0 to 16
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
        ],
        name="network",
    )


def classifier(backbone, *, trainable=False, **settings):
    return AugmentedKerasClassifier(
        pretrained(backbone, trainable=trainable),
        augmenter=SHIFTS,
        batch_size=3,
        optimizer__learning_rate=3e-3,
        random_state=0,
        **settings,
    )


def network_of_seven_digits(digits, *, epochs):
    """Return a network that has learned the digits 0 to 6."""
    rows = digits.target < 7
    fitted = classifier(new_network, trainable=True, epochs=epochs)
    fitted.fit(digits.images[rows], digits.target[rows])
    return fitted.model_.get_layer("network")


def compare(*, n_splits=8, epochs=30, first_epochs=3):
    """Return {way: (accuracy of each split, seconds)}."""
    digits = load_digits()
    network = network_of_seven_digits(digits, epochs=first_epochs)
    rows = digits.target >= 7
    images, labels = digits.images[rows], digits.target[rows]
    folds = StratifiedShuffleSplit(n_splits, train_size=9, test_size=400, random_state=0)
    ways = {
        "from scratch": classifier(new_network, trainable=True, epochs=epochs),
        "head only": classifier(network, epochs=epochs),
        "two phases": classifier(
            network,
            epochs=epochs // 2,
            fine_tune_epochs=epochs - epochs // 2,
            fine_tune_layers="all",
            fine_tune_learning_rate=1e-3,
        ),
    }
    results = {}
    for way, estimator in ways.items():
        start = time.perf_counter()
        scores = cross_val_score(estimator, images, labels, cv=folds)
        results[way] = scores, time.perf_counter() - start
    return results


def plot(results, path):
    """Draw the accuracy of each split, and the mean, and save the figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    for at, (scores, _) in enumerate(results.values()):
        label = ("a split", "mean of the splits") if at == 0 else (None, None)
        axes.plot(scores, np.full(len(scores), at), "o", color="#56b4e9", label=label[0])
        axes.plot(scores.mean(), at, "D", color="#d55e00", label=label[1])
    axes.set(
        yticks=range(len(results)), yticklabels=list(results), xlabel="accuracy on 400 images"
    )
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(path)
    plt.close(figure)


def main():
    results = compare()
    print("accuracy on 400 digits 7, 8 and 9 after training on 9\n")
    print(f"{'':14}{'mean':>7}{'seconds':>9}   each split")
    for way, (scores, seconds) in results.items():
        each = " ".join(f"{score:.3f}" for score in scores)
        print(f"{way:14}{scores.mean():7.3f}{seconds:9.1f}   {each}")
    plot(results, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
