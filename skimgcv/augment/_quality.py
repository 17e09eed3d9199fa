"""Effects of cameras, lenses and file formats, and erased rectangles."""

from __future__ import annotations

import cv2
import numpy as np

from ._color import Levels


def blur(image: np.ndarray, sigma: float) -> None:
    """Blur in place with a Gaussian of ``sigma`` pixels, mirroring at the edges."""
    # OpenCV takes at most four channels at a time.
    for first in range(0, image.shape[2], 4):
        part = np.ascontiguousarray(image[:, :, first : first + 4])
        smooth = cv2.GaussianBlur(part, (0, 0), sigma)
        image[:, :, first : first + 4] = smooth.reshape(part.shape)


def add_noise(image: np.ndarray, share: float, seed: int, levels: Levels) -> None:
    """Add independent normal noise in place; ``share`` is its deviation over white."""
    noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(
        image.shape, dtype=np.float32
    )
    noise *= np.float32(share * levels.white)
    noise += image
    np.clip(noise, levels.low, levels.high, out=noise)
    image[...] = np.rint(noise) if image.dtype == np.uint8 else noise


def compress_jpeg(image: np.ndarray, quality: int, levels: Levels) -> None:
    """Write a grey or RGB image as JPEG and read it back, in place.

    Images that are not uint8 are reduced to 256 grey levels on the way.
    """
    grey_levels = to_grey_levels(image, levels)
    # OpenCV's files have blue first.
    swapped = grey_levels if image.shape[2] == 1 else grey_levels[:, :, ::-1]
    _, file = cv2.imencode(
        ".jpg", np.ascontiguousarray(swapped), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED)).reshape(image.shape)
    write_grey_levels(image, decoded if image.shape[2] == 1 else decoded[:, :, ::-1], levels)


def erase(image: np.ndarray, box: tuple[int, int, int, int], value: float) -> None:
    """Fill a rectangle (top, left, height, width) in place."""
    top, left, height, width = box
    image[top : top + height, left : left + width] = value


def to_grey_levels(image: np.ndarray, levels: Levels) -> np.ndarray:
    """Return the image in uint8, white as 255."""
    if image.dtype == np.uint8:
        return image
    return np.clip(np.rint(image * np.float32(255 / levels.white)), 0, 255).astype(np.uint8)


def write_grey_levels(image: np.ndarray, grey_levels: np.ndarray, levels: Levels) -> None:
    """Write uint8 values into ``image``, 255 as white."""
    if image.dtype == np.uint8:
        image[...] = grey_levels
    else:
        np.multiply(grey_levels, np.float32(levels.white / 255), out=image)
