"""Draw docs/_static/first_page.png: what an augmenter does, and what it gains.

Run ``python docs/first_page_picture.py`` after a change to either. The photograph comes with
scikit-learn; the scores are those of ``examples/quickstart.py``, as ``make demo`` prints them.
"""

import io
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import cv2
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from skimgcv import ImageAugmenter

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples"))
COLOURS = {"plain": "#0072b2", "augmented": "#d55e00"}  # told apart by colour-blind people, too


def transformed_photographs(n_images, size=160):
    """Return the photograph and transformed versions of it."""
    photograph = cv2.resize(
        load_sample_image("flower.jpg")[:, 100:527], (size, size), interpolation=cv2.INTER_AREA
    )
    augmenter = ImageAugmenter(
        rotation_range=25,
        width_shift_range=0.15,
        zoom_range=0.2,
        horizontal_flip=True,
        brightness_range=(0.7, 1.3),
        fill_mode="reflect",
    )
    same = np.stack([photograph] * n_images)
    augmenter.fit(same)
    table = augmenter.draw(np.random.default_rng(3), n_images, photograph.shape)
    return [photograph, *augmenter.apply(same, table)]


def draw(scores, file):
    figure = plt.figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1))
    left.suptitle("Training: a new version in each epoch", fontsize=11)
    images = transformed_photographs(7)
    titles = ["original", *(f"epoch {epoch}" for epoch in range(1, len(images)))]
    for axes, image, title in zip(left.subplots(2, 4).flat, images, titles, strict=True):
        axes.imshow(image)
        axes.set_title(title, fontsize=9)
        axes.axis("off")

    right.suptitle("Scores of digits: on plain images of other rows", fontsize=11)
    axes = right.subplots()
    places = np.arange(len(scores["plain"]))
    axes.vlines(places, scores["plain"], scores["augmented"], color="0.8", zorder=0)
    for name, marker, word in [("augmented", "o", "with"), ("plain", "s", "without")]:
        axes.plot(places, scores[name], marker, color=COLOURS[name], label=f"{word} augmentation")
    axes.set(ylim=(0.84, 0.96), xlabel="split of the digits", ylabel="accuracy")
    axes.set_xticks(places, places + 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper center")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    # A palette takes a third of the bytes, and the eye sees no difference.
    Image.open(buffer).convert("RGB").quantize(128).save(file, optimize=True)


if __name__ == "__main__":
    import quickstart

    draw(quickstart.compare(), HERE / "_static" / "first_page.png")
