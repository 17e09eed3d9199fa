"""
K-fold with two generators, by hand and in one call
===================================================

You learn which code one call replaces.

With Keras alone you write a loop: split, build, compile, augment the training rows with one
``ImageDataGenerator``, rescale the validation rows with another, fit, evaluate. One call of
``cross_val_score`` does the same. Both get the same splits and settings. They draw different
random numbers, so their scores are similar but not equal.

**What comes out.** A line for each way: accuracy, its standard error, the time in seconds, and
the accuracy of each fold; and a figure. The one call takes a fraction of the loop's time, because
its folds share one compiled model.

Needs matplotlib.
"""

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

FIGURE = Path(__file__).with_suffix(".png")
SETTINGS = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.1,
}
RESCALE = 1 / 16  # the pixels are 0 to 16
BATCH_SIZE = 32
LEARNING_RATE = 3e-3


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


def by_hand(images, labels, folds, *, epochs):
    """Score each fold with a loop over generators."""
    training = ImageDataGenerator(**SETTINGS, rescale=RESCALE)
    validation = ImageDataGenerator(rescale=RESCALE)
    scores = []
    for fold, (train, test) in enumerate(folds.split(images, labels)):
        model = build({"image_shape_": images.shape[1:], "n_classes_": 10})
        model.compile(
            keras.optimizers.Adam(LEARNING_RATE),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        model.fit(
            training.flow(images[train], labels[train], batch_size=BATCH_SIZE, seed=fold),
            epochs=epochs,
            verbose=0,
        )
        plain = validation.flow(images[test], labels[test], shuffle=False)
        scores.append(model.evaluate(plain, verbose=0)[1])
    return np.array(scores)


def by_skimgcv(images, labels, folds, *, epochs):
    """Score each fold with scikit-learn."""
    classifier = AugmentedKerasClassifier(
        build,
        augmenter=ImageAugmenter(**SETTINGS, rescale=RESCALE),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        optimizer__learning_rate=LEARNING_RATE,
        random_state=0,
    )
    return cross_val_score(classifier, images, labels, cv=folds)


def compare(*, n_images=600, n_splits=5, epochs=15):
    """Return {way: (scores, seconds)}."""
    digits = load_digits()
    images = digits.images[:n_images, ..., np.newaxis].astype("float32")
    labels = digits.target[:n_images]
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=0)
    results = {}
    for name, way in [("by hand", by_hand), ("skimgcv", by_skimgcv)]:
        start = time.perf_counter()
        scores = way(images, labels, folds, epochs=epochs)
        results[name] = scores, time.perf_counter() - start
    return results


def plot(results, path):
    """Draw the accuracy of each fold, and the seconds, and save the figure."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.2), sharey=True, layout="constrained")
    for at, (scores, seconds) in enumerate(results.values()):
        left.plot(scores, [at] * len(scores), "o", color="#0072b2", label=None if at else "a fold")
        label = None if at else "mean of the folds"
        left.plot(scores.mean(), at, "D", color="#d55e00", label=label)
        right.barh(at, seconds, height=0.5, color="#0072b2")
    left.set(yticks=range(len(results)), yticklabels=list(results), xlabel="accuracy")
    left.set_ylim(len(results) - 0.5, -0.5)
    left.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    right.set_xlabel("seconds of five folds")
    figure.savefig(path)
    plt.close(figure)


def main():
    results = compare()
    print(f"{'':10}{'mean':>8}{'std. error':>12}{'seconds':>9}   each fold")
    for name, (scores, seconds) in results.items():
        error = scores.std(ddof=1) / np.sqrt(len(scores))
        each = " ".join(f"{score:.3f}" for score in scores)
        print(f"{name:10}{scores.mean():8.3f}{error:12.3f}{seconds:9.1f}   {each}")
    plot(results, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
