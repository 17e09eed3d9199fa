"""
Images on disk, compared with an array
======================================

You learn how to cross-validate images on disk.

A folder of files can be cross-validated as an array can, and takes little more time. The program
first writes tiles of scikit-learn's two photographs as JPEG files, into a folder for each
photograph. ``load_images`` then lists them, and the same 5 folds run on the files and on an array
of the same pixels.

**What comes out.** A line for each: the accuracy of each fold, which is equal bit for bit, and
the time, with and without a cache of decoded images. The figure shows the times.

Needs matplotlib.
"""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.model_selection import StratifiedKFold, cross_val_score

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, load_images

FIGURE = Path(__file__).with_suffix(".png")


def write_tiles(folder, *, n_images=400, side=100, seed=0):
    """Cut squares out of two photographs, and write them to a folder for each."""
    import cv2

    rng = np.random.default_rng(seed)
    photographs = load_sample_images().images
    for i in range(n_images):
        name, photograph = ("temple", "flower")[i % 2], photographs[i % 2]
        top, left = (rng.integers(size - side) for size in photograph.shape[:2])
        tile = photograph[top : top + side, left : left + side]
        path = Path(folder, name, f"{i:04d}.jpg")
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), tile[:, :, ::-1])  # OpenCV has blue first


def build(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def compare(folder, *, size=32, epochs=3):
    """Return {what X is: (scores, seconds)}."""
    augmenter = ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 255)
    classifier = AugmentedKerasClassifier(
        build, augmenter=augmenter, epochs=epochs, random_state=0
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    files, labels = load_images(folder, (size, size))
    uncached, _ = load_images(folder, (size, size), cache=None)
    array = np.asarray(uncached)
    classifier.fit(array[::20], labels[::20]).predict(array[:1])  # compiles, for all of them
    results = {}
    for name, X in [("array", array), ("files", files), ("files, no cache", uncached)]:
        start = time.perf_counter()
        scores = cross_val_score(classifier, X, labels, cv=folds)
        results[name] = scores, time.perf_counter() - start
    return results


def plot(results, path):
    """Draw the seconds of each, and save the figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
    axes.barh(list(results), [seconds for _, seconds in results.values()], color="#0072b2")
    axes.invert_yaxis()
    axes.set(xlabel="seconds of 5-fold cross-validation")
    figure.savefig(path)
    plt.close(figure)


def main():
    with tempfile.TemporaryDirectory() as folder:
        write_tiles(folder)
        results = compare(folder)
    print(f"{'X':17}{'accuracy by fold':32}{'seconds':>8}")
    for name, (scores, seconds) in results.items():
        print(f"{name:17}{' '.join(f'{score:.3f}' for score in scores):32}{seconds:8.1f}")
    plot(results, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
