"""
Does augmentation help?
=======================

You learn how to measure what augmentation gains.

A small convolutional network learns scikit-learn's digits (8 x 8 pixels) from 100 images, with and
without random rotations, shifts and zooms. Everything else is equal: the folds, the network, its
initial weights, the order of the images and the number of steps. Both are scored on plain images
that took no part in training.

**What comes out.** A table of the mean accuracy, its standard error and the accuracy of each
split, and the difference on the same splits, which is several standard errors above 0. The right
half of the figure shows it.

.. image:: /_static/first_page.png
   :alt: Versions of a photograph, and the accuracy of five splits with and without augmentation

Run ``python examples/quickstart.py``, or ``make demo`` in a checkout.
"""

# sphinx_gallery_thumbnail_path = '_static/first_page.png'

import time

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

PLAIN = {"rescale": 1 / 16}  # the pixels are 0 to 16
GEOMETRY = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.1,
}


def build(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def compare(*, n_splits=5, epochs=60):
    """Return the accuracies on the same folds, plain and augmented."""
    digits = load_digits()
    folds = StratifiedShuffleSplit(n_splits, train_size=100, test_size=1000, random_state=0)
    scores = {}
    for name, geometry in [("plain", {}), ("augmented", GEOMETRY)]:
        classifier = AugmentedKerasClassifier(
            build,
            augmenter=ImageAugmenter(**PLAIN, **geometry),
            epochs=epochs,
            batch_size=25,
            optimizer__learning_rate=3e-3,
            random_state=0,
        )
        scores[name] = cross_val_score(classifier, digits.images, digits.target, cv=folds)
    return scores


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


def main():
    start = time.perf_counter()
    scores = compare()
    seconds = time.perf_counter() - start

    n_splits = len(scores["plain"])
    print(f"accuracy on 1000 plain digits after training on 100, {n_splits} times\n")
    print(f"{'':12}{'mean':>8}{'std. error':>12}   each split")
    gain = scores["augmented"] - scores["plain"]
    for name, values in [*scores.items(), ("difference", gain)]:
        each = " ".join(f"{value:6.3f}" for value in values)
        print(f"{name:12}{values.mean():8.3f}{standard_error(values):12.3f}   {each}")
    print("\nplain:     ", PLAIN)
    print("augmented: ", PLAIN | GEOMETRY)
    print("All other settings and the splits are the same. The test sets overlap, so the")
    print("standard errors are a little too small.")
    print(f"\n{2 * n_splits} fits in {seconds:.0f} s")


if __name__ == "__main__":
    main()
