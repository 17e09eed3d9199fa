"""
Rare classes: weights, oversampling, stronger transforms
========================================================

You learn how much class weights, oversampling and stronger transforms help rare classes.

Four policies run on the same images, folds, network and number of training steps:

============= ====================================================================
plain         each image once in each epoch
class weights the same, with the same total weight of each class in the loss
oversampling  each class as often as the most frequent one, with a new transform
              for each repeat of an image
class-wise    oversampling, with stronger transforms of the rare classes
============= ====================================================================

If the data set is beside the checkout, the images are blood cells: many red blood cells, few
white ones and few platelets. Otherwise they are three of scikit-learn's digits. Cells of one
smear stay on one side of a split. Test images are plain, and the rare classes stay rare in them.

**What comes out.** A table of the steps, the balanced accuracy and the recall of each class for
each policy; the gain of each policy over the plain one on the same folds, with the confidence
interval of ``compare_scores``, which allows for folds that share training images; and a figure.
The number of steps is small. With more steps the order may differ.

Needs pandas and matplotlib.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.model_selection import StratifiedGroupKFold, cross_validate

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.model_selection import compare_scores

CELLS = Path(__file__).parents[2] / "shared" / "data" / "blood-cells"
FIGURE = Path(__file__).with_suffix(".png")
BATCH_SIZE = 32


@dataclass
class Data:
    """Images, and the settings for them; the first class is the common one."""

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    mild: dict[str, Any]
    strong: dict[str, Any]


def load_cells():
    """Return 24-pixel crops without colour, which would make it easy: 400, 24 and 12."""
    table = pd.read_csv(CELLS / "labels.csv")
    counts = {"RBC": 400, "WBC": 24, "Platelets": 12}
    table = pd.concat(
        [table[table.label == label].sample(n, random_state=0) for label, n in counts.items()]
    )
    crops = [cv2.imread(str(CELLS / file), cv2.IMREAD_GRAYSCALE) for file in table.file]
    images = [cv2.resize(crop, (24, 24), interpolation=cv2.INTER_AREA) for crop in crops]
    turned = {"rescale": 1 / 255, "horizontal_flip": True, "vertical_flip": True}
    strong = {"rotation_range": 180, "zoom_range": 0.2, "brightness_range": (0.8, 1.2)}
    return Data(
        np.array(images), table.label.to_numpy(), table.smear.to_numpy(), turned, turned | strong
    )


def load_rare_digits():
    """Return 150 threes, 30 fives and 15 eights."""
    digits = load_digits()
    rows = np.concatenate(
        [np.flatnonzero(digits.target == d)[:n] for d, n in [(3, 150), (5, 30), (8, 15)]]
    )
    mild = {"rescale": 1 / 16, "width_shift_range": 0.1, "height_shift_range": 0.1}
    strong = {"rotation_range": 15, "zoom_range": 0.15, "shear_range": 10}
    return Data(digits.images[rows], digits.target[rows], rows, mild, mild | strong)


def build(meta):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(meta["image_shape_"]),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def policies(data):
    """Return the settings of each policy that differ from the others'."""
    rare = [label for label in pd.unique(data.labels) if label != data.labels[0]]
    oversampling = {"sampling_strategy": "auto"}
    strong = ImageAugmenter(**data.strong)
    return {
        "plain": {},
        "class weights": {"class_weight": "balanced"},
        "oversampling": oversampling,
        "class-wise": oversampling | {"class_augmenters": dict.fromkeys(rare, strong)},
    }


def steps_of_an_epoch(settings, labels):
    """Oversampled epochs are longer."""
    sizes = np.unique(labels, return_counts=True)[1]
    rows = sizes.max() * len(sizes) if "sampling_strategy" in settings else sizes.sum()
    return -(-rows // BATCH_SIZE)


def score(classifier, images, labels):
    """Return balanced accuracy and the recall of each class, from one prediction."""
    predicted = classifier.predict(images)
    classes = classifier.classes_
    recalls = recall_score(labels, predicted, labels=classes, average=None, zero_division=np.nan)
    by_class = {f"recall {label}": recall for label, recall in zip(classes, recalls, strict=True)}
    return {"balanced accuracy": balanced_accuracy_score(labels, predicted)} | by_class


def compare(data, *, n_splits=3, n_repeats=2, steps=150):
    """Return a table of scores: a row for each policy and fold."""
    folds = [
        fold
        for seed in range(n_repeats)
        for fold in StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed).split(
            data.images, data.labels, data.groups
        )
    ]
    tables = []
    for policy, settings in policies(data).items():
        lengths = [steps_of_an_epoch(settings, data.labels[train]) for train, _ in folds]
        epochs = max(1, round(steps / np.mean(lengths)))
        classifier = AugmentedKerasClassifier(
            build,
            augmenter=ImageAugmenter(**data.mild),
            epochs=epochs,
            batch_size=BATCH_SIZE,
            optimizer__learning_rate=5e-3,
            random_state=0,
            **settings,
        )
        results = cross_validate(classifier, data.images, data.labels, cv=folds, scoring=score)
        scores = {
            name.removeprefix("test_"): values
            for name, values in results.items()
            if name.startswith("test_")
        }
        steps_made = epochs * np.array(lengths)
        tables.append(pd.DataFrame({"policy": policy, "steps": steps_made} | scores))
    return pd.concat(tables)


def gains(table, *, n_splits=3):
    """Return {policy: its balanced accuracy compared with that of the plain one}."""
    by_policy = table.set_index("policy")["balanced accuracy"]
    sizes = {"n_train": n_splits - 1, "n_test": 1}
    return {
        policy: compare_scores(by_policy[policy], by_policy["plain"], **sizes)
        for policy in by_policy.index.unique()[1:]
    }


def plot(table, path):
    """Draw the mean of each score, and the gains with their intervals, and save the figure."""
    import matplotlib.pyplot as plt

    means = table.drop(columns="steps").groupby("policy", sort=False).mean()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    at = np.arange(means.shape[1])
    # Colours that colour-blind people can distinguish, each with its own marker.
    looks = zip(
        means.iterrows(), ("#000000", "#e69f00", "#0072b2", "#cc79a7"), "osD^", strict=True
    )
    for place, ((policy, row), colour, marker) in enumerate(looks):
        left.plot(at + (place - 1.5) * 0.12, row, marker, color=colour, label=policy)
    left.set_xticks(at, [name.replace(" ", "\n") for name in means.columns])
    left.set(ylabel="mean over the folds", ylim=(-0.05, 1.05))
    left.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    compared = gains(table)
    for place, gain in enumerate(compared.values()):
        right.plot(gain.interval, [place, place], color="black")
        right.plot(gain.difference, place, "D", color="black")
    right.set_yticks(range(len(compared)), list(compared))
    right.invert_yaxis()
    right.axvline(0, color="0.6", linestyle=":")
    right.set_xlabel("gain of balanced accuracy over plain, 95% interval")
    figure.savefig(path)
    plt.close(figure)


def main():
    data = load_cells() if CELLS.is_dir() else load_rare_digits()
    labels, counts = np.unique(data.labels, return_counts=True)
    print("images:", ", ".join(f"{n} {label}" for label, n in zip(labels, counts, strict=True)))
    table = compare(data)
    pd.set_option("display.width", 200, "display.max_columns", None)
    print(table.groupby("policy", sort=False).mean().round(3))
    print("\nbalanced accuracy less that of plain, over the same folds:")
    for policy, gain in gains(table).items():
        low, high = gain.interval
        print(
            f"  {policy:14}{gain.difference:+.3f}, 95% interval [{low:+.3f}, {high:+.3f}], "
            f"p = {gain.p_value:.3f}"
        )
    plot(table, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
