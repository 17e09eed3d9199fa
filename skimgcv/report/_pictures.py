"""Images as data URIs: those of mistakes, and what augmentation makes of some."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from skimgcv.display import AugmentationDisplay
from skimgcv.display._plotting import loose_axes, pixels, read_images, value_range
from skimgcv.report._targets import Targets

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


def image_uris(X: Any, rows: np.ndarray, image_shape: tuple[int, ...] | None) -> list[str]:
    """Return rows of X as data URIs."""
    images = read_images(X, rows, image_shape)
    return [image_uri(image) for image in pixels(images, value_range(images))]


@dataclass(frozen=True)
class Versions:
    """An image and what augmentation makes of it, as data URIs."""

    label: str
    original: str
    draws: list[str]


def augmented(
    estimator: Any, X: Any, targets: Targets, *, n_images: int = 6, n_draws: int = 4
) -> list[Versions]:
    """Return what training does to some images; nothing where it changes none."""
    if estimator.augmenter is None and not estimator.class_augmenters:
        return []
    display = AugmentationDisplay.from_estimator(
        estimator,
        X,
        targets.captions,
        n_images=n_images,
        rows=targets.examples(n_images),
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
