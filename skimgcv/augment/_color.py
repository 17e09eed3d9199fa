"""Colour: changes of an image's values that do not move pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ._dtypes import integer_range

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601, as Pillow has it)."""


class Levels(NamedTuple):
    """The range of an image's values, and its white."""

    low: float
    high: float
    white: float

    @classmethod
    def of(cls, image: np.ndarray) -> Levels:
        """Find the levels of an image, in its own dtype.

        The levels of integers are the range of their type. Floats within [0, 1] have that range,
        and other floats within [0, 255] have that one. Values outside of both, such as
        standardised images, keep at least their own range.
        """
        if image.dtype == np.uint8:
            return cls(0.0, 255.0, 255.0)
        least, greatest = float(image.min()), float(image.max())
        white = 255.0 if greatest > 1 or image.dtype.kind != "f" else 1.0
        if image.dtype.kind != "f":
            low, high = integer_range(image.dtype)
            return cls(low, high, white if greatest <= white else high)
        return cls(min(least, 0.0), max(greatest, white), white)


def shift_and_brighten(image: np.ndarray, intensity: float, factor: float, levels: Levels) -> None:
    """Add ``intensity`` within the image's own extremes, then multiply by ``factor``.

    In place, and rounded once.
    """
    if image.dtype != np.uint8:
        if intensity:
            least, greatest = image.min(), image.max()
            image += np.float32(intensity)
            np.clip(image, least, greatest, out=image)
        if factor != 1:
            blend(image, 0.0, factor, levels)
        return
    flat = image.reshape(image.shape[0], -1)
    if intensity:
        least, greatest = int(image.min()), int(image.max())
        if least == greatest:
            intensity = 0.0
        elif intensity > 0:
            # Clipped before it is added, since uint8 could not hold the sum. By OpenCV:
            # NumPy's minimum with a scalar takes ten times as long.
            intensity = min(intensity, greatest - least)
            cv2.min(flat, float(round(greatest - intensity)), flat)
        else:
            intensity = max(intensity, least - greatest)
            cv2.max(flat, float(round(least - intensity)), flat)
    cv2.convertScaleAbs(flat, flat, factor, intensity * factor)


def shift_channels(image: np.ndarray, intensities: Sequence[float]) -> None:
    """Add a number to each channel within the image's own extremes, in place."""
    if not any(intensities):
        return
    values = image.astype(np.float32)
    values += np.asarray(intensities, np.float32)
    np.clip(values, image.min(), image.max(), out=values)
    image[...] = np.rint(values) if image.dtype == np.uint8 else values


def blend(image: np.ndarray, base: float, factor: float, levels: Levels) -> None:
    """Move values away from ``base`` (factor > 1) or towards it, in place."""
    if image.dtype == np.uint8:
        flat = image.reshape(image.shape[0], -1)
        cv2.addWeighted(flat, factor, flat, 0.0, base * (1 - factor), flat)
        return
    image *= np.float32(factor)
    image += np.float32(base * (1 - factor))
    np.clip(image, levels.low, levels.high, out=image)


def change_contrast(image: np.ndarray, factor: float, levels: Levels) -> None:
    """Scale the distance to the image's mean brightness, in place."""
    means = image.reshape(-1, image.shape[2]).mean(axis=0, dtype=np.float64)
    base = float(means @ LUMA) if len(means) == 3 else float(means.mean())
    blend(image, base, factor, levels)


def change_saturation(image: np.ndarray, factor: float, levels: Levels) -> None:
    """Scale the distance of an RGB image's pixels to their own grey, in place."""
    matrix = factor * np.eye(3) + (1 - factor) * np.array([LUMA] * 3)
    cv2.transform(image, matrix, image)
    if image.dtype != np.uint8:
        np.clip(image, levels.low, levels.high, out=image)


def turn_hue(image: np.ndarray, turns: float, levels: Levels) -> None:
    """Turn the hue of an RGB image by a part of the colour circle, in place.

    Values below 0 have no hue, and count as 0.
    """
    colors = image.astype(np.float32)
    np.clip(colors, 0, levels.white, out=colors)
    hsv = cv2.cvtColor(colors, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = np.mod(hsv[..., 0] + np.float32(360 * turns), np.float32(360))
    turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    image[...] = np.rint(turned) if image.dtype == np.uint8 else turned
