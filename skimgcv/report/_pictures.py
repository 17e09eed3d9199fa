"""Images as data URIs: those of mistakes, and what augmentation makes of some."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from skimgcv.display import AugmentationDisplay, MistakesDisplay
from skimgcv.display._plotting import loose_axes, pixels, value_range
from skimgcv.report._predictions import FoldPredictions, take

_LONGEST_SIDE = 192  # pixels: twice what is shown, for sharp screens and print
_PURPOSE = "CrossValidationReport"


def uri(file: bytes, kind: str) -> str:
    """Return a file as a data URI, such as of "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(file).decode()}"


def image_uri(image: np.ndarray) -> str:
    """Return an image of values in [0, 1], grey or RGB, as a data URI."""
    values = np.rint(np.asarray(image, dtype=np.float64) * 255).astype(np.uint8)
    shrink = _LONGEST_SIDE / max(values.shape[:2])
    if shrink >= 6:  # so few pixels are looked at one by one: a browser would blur them
        values = values.repeat(int(shrink), axis=0).repeat(int(shrink), axis=1)
    elif shrink < 1:
        size = [max(1, round(side * shrink)) for side in values.shape[1::-1]]
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    if values.ndim == 3:
        values = np.ascontiguousarray(values[:, :, ::-1])
    # Of photographs of this size a file without loss would be large.
    if shrink >= 3:
        return uri(cv2.imencode(".png", values)[1].tobytes(), "image/png")
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    return uri(cv2.imencode(".jpg", values, quality)[1].tobytes(), "image/jpeg")


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes
    ----------
    image : str
        A data URI.
    row : int
    truth, predicted : object
    confidence : float
    fold : int
        From 1.
    """

    image: str
    row: int
    truth: object
    predicted: object
    confidence: float
    fold: int


def mistakes_of(
    X: Any, predictions: FoldPredictions, image_shape: tuple[int, ...] | None, n_images: int
) -> list[Mistake]:
    """Return the most confident wrong predictions, one an image."""
    by_row = predictions.by_row()
    display = MistakesDisplay.from_predictions(
        take(X, by_row.rows),
        by_row.labels,
        by_row.proba,
        classes=by_row.classes,
        n_images=n_images,
        image_shape=image_shape,
        ax=loose_axes((2, 2), _PURPOSE),
    )
    shown = pixels(display.images, value_range(display.images))
    return [
        Mistake(image_uri(image), int(by_row.rows[at]), truth, predicted, float(confidence), fold)
        for image, at, truth, predicted, confidence, fold in zip(
            shown,
            display.rows,
            display.true_labels.tolist(),
            display.predicted_labels.tolist(),
            display.confidence,
            (by_row.folds[display.rows] + 1).tolist(),
            strict=True,
        )
    ]


@dataclass(frozen=True)
class Versions:
    """An image and what augmentation makes of it, as data URIs."""

    label: str
    original: str
    draws: list[str]


def augmented(
    classifier: Any, X: Any, y: np.ndarray, *, n_images: int = 6, n_draws: int = 4
) -> list[Versions]:
    """Return what training does to some images; nothing where it changes none."""
    if classifier.augmenter is None and not classifier.class_augmenters:
        return []
    display = AugmentationDisplay.from_estimator(
        classifier,
        X,
        y,
        n_images=n_images,
        n_draws=n_draws,
        ax=loose_axes((2, 2), _PURPOSE),
    )
    # Half a grey level: what rounding does where images are mapped back.
    if np.abs(display.draws - display.originals[:, None]).max(initial=0) <= 0.5 / 255:
        return []
    return [
        Versions(label.replace("\n", " "), image_uri(original), [image_uri(d) for d in draws])
        for label, original, draws in zip(
            display.labels, display.originals, display.draws, strict=True
        )
    ]
