"""
What leaks, and how much
========================

A cross-validation estimates the accuracy of a network on new images. The program measures this
accuracy directly: the networks of the folds predict images that took no part in anything. It
compares the result with the estimates of four ways to cross-validate:

================= ===========================================================================
augmented first   each image is transformed five times, then the folds are drawn
statistics of all mean and standard deviation come from all rows, test folds included
random folds      some images are in the data more than once, and the folds ignore it
by groups         the same data, with copies and sources kept together; transforms and
                  statistics come from the training rows of a fold
================= ===========================================================================

Each of the first three makes one mistake, and otherwise equals the last one. Every repeat draws
new images and folds.

**What comes out.** For each way its estimate, the accuracy of the same networks on the held-out
images, and the difference with its standard error over the repeats. The table says which
differences exceed two standard errors, and a figure shows them. Estimates vary with the images of
a repeat. Their differences from the folds by groups of the same repeat vary less, and are printed
too. Statistics of all rows, two numbers, have no visible effect. Augmenting first need not
overestimate: it also tests on rotated digits, which are harder.

If the data set is beside the checkout, the images are blood cells: ``duplicate_groups`` finds
copies, which are joined with the smear of the cell. Otherwise they are scikit-learn's digits.
Eight pixels are too few to find copies, so the program uses the known source of each copy.

Needs matplotlib.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_validate,
)

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.model_selection import duplicate_groups

CELLS = Path(__file__).parents[2] / "shared" / "data" / "blood-cells"
FIGURE = Path(__file__).with_suffix(".png")
TRANSFORMS = {"width_shift_range": 0.1, "height_shift_range": 0.1, "rotation_range": 15}
STANDARDISED = {"featurewise_center": True, "featurewise_std_normalization": True}


@dataclass
class Data:
    """Pictures, what they show, where they come from, and how many pixels a network gets."""

    images: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    side: int
    copies_are_found: bool

    def shrunk(self, images):
        size = (self.side, self.side)
        return np.array(
            [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
        )


def load_cells():
    """Grey crops of 64 pixels; the network gets 8, or it would seldom be wrong."""
    with (CELLS / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = [cv2.imread(str(CELLS / row["file"]), cv2.IMREAD_GRAYSCALE) for row in rows]
    labels, smears = (np.array([row[name] for row in rows]) for name in ("label", "smear"))
    return Data(np.array(images), labels, smears, side=8, copies_are_found=True)


def load_small_digits():
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)
    return Data(images, digits.target, np.arange(len(images)), side=8, copies_are_found=False)


def changed(image, rng):
    """Return a copy as collections have them: in another light, cropped, or resized."""
    side = len(image)
    kind = rng.integers(3)
    if kind == 0:
        return np.clip(image * rng.choice([0.9, 1.1]), 0, 255).astype(np.uint8)
    if kind == 1:
        cut = max(1, round(0.04 * side))
        return cv2.resize(image[cut:, : side - cut], (side, side))
    small = cv2.resize(image, (side * 3 // 4,) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side))


def with_copies(pictures, rng):
    """Return each picture with two changed copies, and which picture each image is of."""
    origin = np.tile(np.arange(len(pictures)), 3)
    copies = [changed(pictures[k], rng) for k in origin[len(pictures) :]]
    return np.concatenate([pictures, copies]), origin


def draw(data, rng, n_pictures):
    """Draw pictures (rows), and others to hold out that share no source with them."""
    sources = rng.permutation(np.unique(data.sources))
    held_out = np.isin(data.sources, sources[: len(sources) // 2])
    classes = np.unique(data.labels)

    def some(among, n):
        rows = [rng.permutation(np.flatnonzero(among & (data.labels == c)))[:n] for c in classes]
        return np.concatenate(rows)

    return some(~held_out, n_pictures // len(classes)), some(held_out, 150 // len(classes))


def build(meta):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(meta["image_shape_"]),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def settings_of_each_way(data, rows, rng, n_splits, seed):
    """Return {way: (images, labels, folds, augmenter, how to treat images held out)}."""
    pictures, labels = data.images[rows], data.labels[rows]
    shuffled = {"n_splits": n_splits, "shuffle": True, "random_state": seed}
    random_folds, by_groups = StratifiedKFold(**shuffled), StratifiedGroupKFold(**shuffled)
    inside = ImageAugmenter(**TRANSFORMS, **STANDARDISED)

    X, origin = with_copies(pictures, rng)
    y = labels[origin]
    if data.copies_are_found:  # nobody knows the smear of a copy
        smears = [*data.sources[rows], *(f"copy {k}" for k in range(len(X) - len(rows)))]
        groups = duplicate_groups(X, groups=smears)
    else:
        groups = origin
    X, pictures = data.shrunk(X), data.shrunk(pictures)

    transforms = ImageAugmenter(**TRANSFORMS)
    five = np.tile(np.arange(len(rows)), 5)
    table = transforms.draw(rng, len(five), (*pictures.shape[1:], 1))
    augmented = transforms.apply(pictures[five][..., None], table)[..., 0]

    mean, deviation = X.mean(), X.std()
    folds_by_groups = list(by_groups.split(X, y, groups))
    return {
        "augmented first": (
            augmented,
            labels[five],
            random_folds.split(augmented, labels[five]),
            ImageAugmenter(**STANDARDISED),
            None,
        ),
        "statistics of all": (
            (X - mean) / deviation,
            y,
            folds_by_groups,
            transforms,
            lambda images: (images - mean) / deviation,
        ),
        "random folds": (X, y, random_folds.split(X, y), inside, None),
        "by groups": (X, y, folds_by_groups, inside, None),
    }


def compare(data, *, n_repeats=6, n_pictures=120, n_splits=2, steps=60):
    """Return {way: accuracies (n_repeats, 2)}: as estimated, and of the same networks outside."""
    scores = {}
    for seed in range(n_repeats):
        rng = np.random.default_rng(seed)
        rows, outside = draw(data, rng, n_pictures)
        ways = settings_of_each_way(data, rows, rng, n_splits, seed)
        held_out, origin = with_copies(data.images[outside], rng)
        held_out, held_out_labels = data.shrunk(held_out), data.labels[outside][origin]
        for way, (X, y, folds, augmenter, treat) in ways.items():
            classifier = AugmentedKerasClassifier(
                build,
                augmenter=augmenter,
                # As many steps for each way, whatever the number of its images.
                epochs=max(1, round(steps * 32 / (len(X) * (1 - 1 / n_splits)))),
                optimizer__learning_rate=3e-3,
                random_state=seed,
            )
            results = cross_validate(classifier, X, y, cv=list(folds), return_estimator=True)
            unseen = treat(held_out) if treat else held_out
            honest = [e.score(unseen, held_out_labels) for e in results["estimator"]]
            scores.setdefault(way, []).append((results["test_score"].mean(), np.mean(honest)))
    return {way: np.array(pairs) for way, pairs in scores.items()}


def summarise(scores):
    """Return rows: way, estimate, held out, their difference and its standard error."""
    rows = []
    for way, pairs in scores.items():
        estimate, held_out = pairs.mean(axis=0)
        excess = pairs[:, 0] - pairs[:, 1]
        error = excess.std(ddof=1) / np.sqrt(len(excess))
        rows.append((way, estimate, held_out, excess.mean(), error))
    return rows


def plot(scores, path):
    """Draw estimate and held-out accuracy of every repeat, and save the figure."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    rows = summarise(scores)
    for at, (way, *_, excess, error) in enumerate(rows):
        pairs = scores[way]
        spread = at + np.linspace(-0.2, 0.2, len(pairs))
        left.plot(pairs.T, [spread, spread], color="0.75", lw=1, zorder=1)
        left.scatter(pairs[:, 0], spread, color="C1", s=26, label="estimated" * (at == 0))
        left.scatter(pairs[:, 1], spread, color="C0", s=26, label="held out" * (at == 0))
        right.scatter(pairs[:, 0] - pairs[:, 1], spread, color="0.6", s=18)
        right.errorbar(excess, at, xerr=2 * error, fmt="D", color="C3", capsize=4)
    left.set(yticks=range(len(rows)), yticklabels=[row[0] for row in rows], xlabel="accuracy")
    left.invert_yaxis()
    left.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    right.axvline(0, color="black", lw=0.8)
    right.set_xlabel("estimated less held out")
    right.set_title("each repeat, mean and two standard errors", fontsize=10)
    figure.savefig(path)
    plt.close(figure)


def main():
    data = load_cells() if CELLS.is_dir() else load_small_digits()
    scores = compare(data)
    n_repeats = len(next(iter(scores.values())))
    print(
        "images:", "blood cells" if data.copies_are_found else "digits", f"- {n_repeats} repeats"
    )
    print(f"{'':18}{'estimated':>11}{'held out':>10}{'excess':>9}{'std. error':>12}")
    for way, estimate, held_out, excess, error in summarise(scores):
        said = "promises too much" if excess > 2 * error else "no excess that stands out"
        said = "promises too little" if excess < -2 * error else said
        print(f"{way:18}{estimate:11.3f}{held_out:10.3f}{excess:+9.3f}{error:12.3f}   {said}")
    print("\nexcess less that of the folds by groups, over the same pictures:")
    excess = {way: pairs[:, 0] - pairs[:, 1] for way, pairs in scores.items()}
    for way in list(scores)[:-1]:
        beyond = excess[way] - excess["by groups"]
        error = beyond.std(ddof=1) / np.sqrt(n_repeats)
        print(f"{way:18}{beyond.mean():+10.3f}, standard error {error:.3f}")
    print("Held-out images recur from repeat to repeat: the standard errors are a little small.")
    plot(scores, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
