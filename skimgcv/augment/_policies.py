"""Policies: random transforms with one strength, which need no tuning."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from ._color import Levels, blend, change_contrast, change_saturation
from ._geometry import Moves, Warp, compose
from ._quality import to_grey_levels, write_grey_levels

MAGNITUDES = 31
"""Strengths have 31 steps, 0 to 30, as in both papers."""


class Strengths(NamedTuple):
    """The greatest strength of each operation in a policy."""

    shear: float
    """Tangent of the angle."""
    shift_pixels: float | None
    """None for 150 / 331 of the image's size."""
    rotation_degrees: float
    color: float
    """For brightness, contrast, saturation and sharpness: distance of the factor from 1."""
    posterize_bits: int
    """Number of dropped bits."""


RAND_AUGMENT = Strengths(0.3, None, 30.0, 0.9, 4)
TRIVIAL_AUGMENT = Strengths(0.99, 32.0, 135.0, 0.99, 6)

STRENGTHS = {"RandAugment": RAND_AUGMENT, "TrivialAugment": TRIVIAL_AUGMENT}

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)


def run_operation(
    image: np.ndarray,
    operation: str,
    share: float,
    strengths: Strengths,
    levels: Levels,
    warp: Warp,
) -> None:
    """Run one operation in place.

    Parameters
    ----------
    operation : str
        One of ``OPERATIONS``.
    share : float
        Share of the greatest strength, from -1 to 1. The sign is a direction.
    """
    if operation in _GEOMETRY:
        matrix = _GEOMETRY[operation](share, strengths, *image.shape[:2])
        image[...] = warp(image[np.newaxis], Moves.of(matrix, *image.shape[:2]))[0]
    elif operation in _FACTORS:
        if operation == "saturation" and image.shape[2] != 3:
            return
        _FACTORS[operation](image, 1 + share * strengths.color, levels)
    elif operation == "posterize":
        _posterize(image, round(abs(share) * strengths.posterize_bits), levels)
    elif operation == "solarize":
        _solarize(image, levels.white * (1 - abs(share)), levels)
    elif operation == "autocontrast":
        _stretch(image, levels)
    elif operation == "equalize":
        _equalize(image, levels)


def _matrix(height: int, width: int, **parameters: float) -> np.ndarray:
    values = {"theta": 0.0, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0}
    columns = {name: np.array([value]) for name, value in (values | parameters).items()}
    still = np.array([False])
    return compose(
        **columns, flip_horizontal=still, flip_vertical=still, height=height, width=width
    )


def _sheared(row: int, column: int) -> Callable[..., np.ndarray]:
    def matrix(share: float, strengths: Strengths, height: int, width: int) -> np.ndarray:
        out = _matrix(height, width)
        tangent = share * strengths.shear
        out[0, row, column] = tangent
        out[0, row, 2] -= tangent * ((height, width)[row] - 1) / 2
        return out

    return matrix


def _shifted(name: str, axis: int) -> Callable[..., np.ndarray]:
    def matrix(share: float, strengths: Strengths, height: int, width: int) -> np.ndarray:
        pixels = strengths.shift_pixels
        if pixels is None:
            pixels = 150 / 331 * (height, width)[axis]
        return _matrix(height, width, **{name: float(np.trunc(share * pixels))})

    return matrix


def _rotated(share: float, strengths: Strengths, height: int, width: int) -> np.ndarray:
    return _matrix(height, width, theta=share * strengths.rotation_degrees)


_GEOMETRY: dict[str, Callable[..., np.ndarray]] = {
    "shear_x": _sheared(0, 1),
    "shear_y": _sheared(1, 0),
    "translate_x": _shifted("tx", 1),
    "translate_y": _shifted("ty", 0),
    "rotate": _rotated,
}


def _brighten(image: np.ndarray, factor: float, levels: Levels) -> None:
    blend(image, 0.0, factor, levels)


def _sharpen(image: np.ndarray, factor: float, levels: Levels) -> None:
    """Move away from the smoothed image. As in Pillow, the outermost pixels do not change."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    sharp = image.astype(np.float32)
    smooth = cv2.filter2D(sharp, -1, kernel).reshape(image.shape)
    inside = (slice(1, -1), slice(1, -1))
    sharp[inside] = smooth[inside] + np.float32(factor) * (sharp[inside] - smooth[inside])
    np.clip(sharp, levels.low, levels.high, out=sharp)
    image[...] = np.rint(sharp) if image.dtype == np.uint8 else sharp


_FACTORS: dict[str, Callable[[np.ndarray, float, Levels], None]] = {
    "brightness": _brighten,
    "saturation": change_saturation,
    "contrast": change_contrast,
    "sharpness": _sharpen,
}


def _posterize(image: np.ndarray, dropped_bits: int, levels: Levels) -> None:
    if dropped_bits:
        mask = np.uint8(0xFF << dropped_bits & 0xFF)
        write_grey_levels(image, to_grey_levels(image, levels) & mask, levels)


def _solarize(image: np.ndarray, threshold: float, levels: Levels) -> None:
    white = image.dtype.type(levels.white)
    np.subtract(white, image, out=image, where=image >= threshold)


def _stretch(image: np.ndarray, levels: Levels) -> None:
    for channel in range(image.shape[2]):
        plane = image[:, :, channel]
        least, greatest = float(plane.min()), float(plane.max())
        if greatest > least:
            scale = levels.white / (greatest - least)
            stretched = (plane - np.float32(least)) * np.float32(scale)
            plane[...] = np.rint(stretched) if image.dtype == np.uint8 else stretched


def _equalize(image: np.ndarray, levels: Levels) -> None:
    equalized = np.array(to_grey_levels(image, levels))
    for channel in range(image.shape[2]):
        plane = equalized[:, :, channel]
        counts = np.bincount(plane.ravel(), minlength=256)
        # As in Pillow, the brightest value of the image does not count.
        step = (plane.size - counts[np.flatnonzero(counts)[-1]]) // 255
        if step:
            below = np.concatenate([[0], np.cumsum(counts)[:-1]])
            table = np.minimum((step // 2 + below) // step, 255).astype(np.uint8)
            plane[...] = table[plane]
    write_grey_levels(image, equalized, levels)
