"""
Several labels for each image: two digits
=========================================

You learn how to predict several labels of an image.

Each image shows two of scikit-learn's digits side by side. Ten labels say which digits it shows:
``multilabel=True``, and a sigmoid unit for each label. Each drawing of a digit is in two images,
which form a group, so that no drawing is in training and test. ``MultilabelStratifiedKFold`` keeps
groups whole and gives each fold its share of each label. A digit is in one image of five:
``class_weight="balanced"`` gives rows with it as much weight as rows without it.

**What comes out.** ROC AUC and F1 of each digit over three folds; and a figure of them, with
some images and their predicted labels.

Needs matplotlib.
"""

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import cross_val_predict

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.model_selection import MultilabelStratifiedKFold

FIGURE = Path(__file__).with_suffix(".png")


def build(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(meta["n_classes_"], activation="sigmoid"),
        ]
    )


def pairs_of_digits(n_images=1200):
    """Return images (n, 8, 16), their labels (n, 10) of 0 and 1, and groups."""
    digits = load_digits()
    left = np.random.default_rng(0).permutation(len(digits.target))[:n_images]
    right = left.reshape(-1, 2)[:, ::-1].ravel()
    labels = np.zeros((n_images, 10), dtype=int)
    for side in (left, right):
        labels[np.arange(n_images), digits.target[side]] = 1
    images = np.concatenate([digits.images[left], digits.images[right]], axis=2)
    return images, labels, np.arange(n_images) // 2


def out_of_fold(images, labels, groups, *, n_splits=3, epochs=25):
    """Return the probability of each label of each image, by a model that never saw it."""
    classifier = AugmentedKerasClassifier(
        build,
        augmenter=ImageAugmenter(rotation_range=10, zoom_range=0.1, rescale=1 / 16),
        multilabel=True,
        class_weight="balanced",
        epochs=epochs,
        optimizer__learning_rate=5e-3,
        random_state=0,
    )
    return cross_val_predict(
        classifier,
        images,
        labels,
        cv=MultilabelStratifiedKFold(n_splits, shuffle=True, random_state=0),
        groups=groups,
        method="predict_proba",
    )


def scores_of(labels, proba):
    """Return two scores of each label."""
    return {
        "ROC AUC": roc_auc_score(labels, proba, average=None),
        "F1": f1_score(labels, proba > 0.5, average=None),
    }


def plot(images, proba, scores, path):
    """Draw some images with what was found in them, and the scores of each label."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplot_mosaic([list("abcd"), ["scores"] * 4], figsize=(8, 5))
    for panel, row in zip("abcd", range(0, 8, 2), strict=True):
        found = ", ".join(map(str, np.flatnonzero(proba[row] > 0.5)))
        panels[panel].imshow(images[row], cmap="gray_r")
        panels[panel].set(title=f"found: {found or 'none'}", xticks=[], yticks=[])
    looks = zip((-0.2, 0.2), ("#0072b2", "#e69f00"), scores.items(), strict=True)
    for shift, colour, (name, values) in looks:
        panels["scores"].bar(np.arange(10) + shift, values, width=0.4, color=colour, label=name)
    panels["scores"].set(xlabel="digit", ylabel="score", xticks=range(10), ylim=(0.5, 1))
    panels["scores"].legend(ncols=2, loc="lower right")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main():
    images, labels, groups = pairs_of_digits()
    proba = out_of_fold(images, labels, groups)
    scores = scores_of(labels, proba)
    print("digit   " + "".join(f"{digit:7}" for digit in range(10)) + "   mean")
    for name, values in scores.items():
        print(f"{name:8}" + "".join(f"{v:7.3f}" for v in values) + f"{values.mean():7.3f}")
    exact = ((proba > 0.5) == labels).all(axis=1).mean()
    print(f"images of which all labels are right: {exact:.3f}")
    plot(images, proba, scores, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
