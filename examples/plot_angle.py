"""
Regression: the angle of a rotated digit
========================================

You learn how to predict a number from an image.

Each image has a digit 4 of scikit-learn at a random place, rotated by an angle between -60 and 60
degrees. A network predicts the angle: ``AugmentedKerasRegressor``. A shift does not change the
angle, so the augmenter may shift images. It must not rotate them. ``TransformedTargetRegressor``
scales the angles by the training rows of each fold, and scales predictions back to degrees.

**What comes out.** R² and the mean error in degrees over three folds, with and without
augmentation; and a figure of the prediction for each image.

Needs matplotlib.
"""

from pathlib import Path

import cv2
import keras
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from skimgcv import AugmentedKerasRegressor, ImageAugmenter

FIGURE = Path(__file__).with_suffix(".png")
SIDE = 20


def build(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(meta["n_outputs_"]),
        ]
    )


def turned_digits(n_images=180):
    """Return images of 20 x 20 pixels, and by how many degrees each is turned."""
    digits = load_digits()
    images = digits.images[digits.target == 4][:n_images].astype(np.float32)
    rng = np.random.default_rng(0)
    degrees = rng.uniform(-60, 60, len(images))
    turned = []
    for image, angle in zip(images, degrees, strict=True):
        turn = cv2.getRotationMatrix2D((3.5, 3.5), angle, 1.5)
        turn[:, 2] += SIDE / 2 - 4 + rng.integers(-4, 5, 2)
        turned.append(cv2.warpAffine(image, turn, (SIDE, SIDE)))
    return np.array(turned), degrees


def compare(images, degrees, *, n_splits=3, epochs=60):
    """Return {augmentation: the angle of each image, by a model that never saw it}."""
    augmenters = {
        "plain": ImageAugmenter(rescale=1 / 16),
        "augmented": ImageAugmenter(
            width_shift_range=4, height_shift_range=4, fill_mode="constant", rescale=1 / 16
        ),
    }
    predicted = {}
    for name, augmenter in augmenters.items():
        regressor = AugmentedKerasRegressor(
            build,
            augmenter=augmenter,
            epochs=epochs,
            optimizer__learning_rate=3e-3,
            random_state=0,
        )
        scaled = TransformedTargetRegressor(regressor, transformer=StandardScaler())
        folds = KFold(n_splits, shuffle=True, random_state=0)
        predicted[name] = cross_val_predict(scaled, images, degrees, cv=folds)
    return predicted


def plot(degrees, predicted, path):
    """Draw the predicted angles over the true ones."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(predicted), figsize=(8, 4), sharex=True, sharey=True)
    for axes, (name, angles) in zip(panels, predicted.items(), strict=True):
        axes.plot([-60, 60], [-60, 60], "0.7", label="exact")
        axes.plot(degrees, angles, ".", color="#0072b2", label="an image")
        error = mean_absolute_error(degrees, angles)
        axes.set(title=f"{name}: {error:.1f} degrees off", xlabel="true angle, degrees")
    panels[0].set_ylabel("predicted angle, degrees")
    panels[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main():
    images, degrees = turned_digits()
    predicted = compare(images, degrees)
    print(f"{'':12}{'R²':>8}{'mean error':>14}")
    for name, angles in predicted.items():
        error = mean_absolute_error(degrees, angles)
        print(f"{name:12}{r2_score(degrees, angles):8.3f}{error:14.1f}")
    plot(degrees, predicted, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
