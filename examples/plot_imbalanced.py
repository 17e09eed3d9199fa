"""
Rare classes: weights, oversampling, stronger transforms
========================================================

Four policies on the same images, folds, network and number of training steps:

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

**What comes out.** A table of balanced accuracy and of the recall of each class for each policy,
the gain of each policy over the plain one on the same folds, and a figure with standard errors.
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

CELLS = Path(__file__).parents[2] / "shared" / "data" / "blood-cells"
FIGURE = Path(__file__).with_suffix(".png")
BATCH_SIZE = 32


@dataclass
class Data:
    """Images with what suits them; the first class is the common one."""

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


def epochs_for(settings, labels, *, steps):
    """Oversampled epochs are longer: return how many make the same number of steps."""
    sizes = np.unique(labels, return_counts=True)[1]
    rows = sizes.max() * len(sizes) if "sampling_strategy" in settings else sizes.sum()
    return max(1, round(steps * BATCH_SIZE / rows))


def score(classifier, images, labels):
    """Return balanced accuracy and the recall of each class, from one prediction."""
    predicted = classifier.predict(images)
    classes = classifier.classes_
    recalls = recall_score(labels, predicted, labels=classes, average=None, zero_division=np.nan)
    by_class = {f"recall {label}": recall for label, recall in zip(classes, recalls, strict=True)}
    return {"balanced accuracy": balanced_accuracy_score(labels, predicted)} | by_class


def compare(data, *, n_splits=3, n_repeats=2, steps=160):
    """Return a table of scores: a row a policy and fold."""
    folds = [
        fold
        for seed in range(n_repeats)
        for fold in StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed).split(
            data.images, data.labels, data.groups
        )
    ]
    tables = []
    for policy, settings in policies(data).items():
        training_labels = data.labels[folds[0][0]]
        classifier = AugmentedKerasClassifier(
            build,
            augmenter=ImageAugmenter(**data.mild),
            epochs=epochs_for(settings, training_labels, steps=steps),
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
        tables.append(pd.DataFrame({"policy": policy, "epochs": classifier.epochs} | scores))
    return pd.concat(tables)


def plot(table, path):
    """Draw mean and standard error of each score, and save the figure."""
    import matplotlib.pyplot as plt

    summary = table.drop(columns="epochs").groupby("policy", sort=False).agg(["mean", "sem"])
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    names = summary.columns.levels[0].intersection(table.columns, sort=False)
    for place, (policy, row) in enumerate(summary.iterrows()):
        means, errors = row.unstack().loc[names, ["mean", "sem"]].to_numpy().T
        at = np.arange(len(names)) + (place - 1.5) * 0.15
        axes.errorbar(at, means, yerr=errors, fmt="o", capsize=3, label=policy)
    axes.set_xticks(np.arange(len(names)), names)
    axes.set_ylabel("mean and standard error over the folds")
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def main():
    data = load_cells() if CELLS.is_dir() else load_rare_digits()
    labels, counts = np.unique(data.labels, return_counts=True)
    print("images:", ", ".join(f"{n} {label}" for label, n in zip(labels, counts, strict=True)))
    table = compare(data)
    summary = table.groupby("policy", sort=False).agg(["mean", "sem"])
    pd.set_option("display.width", 200, "display.max_columns", None)
    print(summary.drop(columns=("epochs", "sem")).round(3))
    gains = table.set_index("policy")["balanced accuracy"]
    print("\nbalanced accuracy less that of plain, over the same folds:")
    for policy in summary.index[1:]:
        gain = gains[policy].to_numpy() - gains["plain"].to_numpy()
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(f"  {policy:14}{gain.mean():+.3f}, standard error {error:.3f}")
    print("Training sets of different folds overlap: the standard errors are too small.")
    plot(table, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
