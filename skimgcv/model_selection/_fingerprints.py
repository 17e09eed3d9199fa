"""Grey thumbnails of images, and numbers that do not change with rotation and mirroring."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from scipy.fft import dctn

SIDE = 48
"""Pixels of a thumbnail's side: enough to distinguish similar images, 2 kB for each."""
_FREQUENCIES = 7
_MIRRORED = (-1.0) ** np.arange(_FREQUENCIES)
_UPPER = np.triu_indices(_FREQUENCIES)
_STRICTLY_UPPER = np.triu_indices(_FREQUENCIES, 1)


def thumbnail(image: np.ndarray) -> np.ndarray | None:
    """Shrink to (SIDE, SIDE) uint8, grey and stretched to all of 0..255; None if it is blank."""
    shrinks = min(image.shape[:2]) >= SIDE
    small = np.ascontiguousarray(image, dtype=_cv_type(image.dtype))
    if image.shape[:2] != (SIDE, SIDE):
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = cv2.resize(small, (SIDE, SIDE), interpolation=way)
    grey = small.mean(axis=2, dtype=np.float32) if small.ndim == 3 else small.astype(np.float32)
    low, high = float(grey.min()), float(grey.max())
    # One grey level, or the rounding of floats, is no structure.
    if high - low <= max(1e-5 * max(abs(low), abs(high)), 2.0 * (image.dtype.kind in "iub")):
        return None
    return np.rint((grey - low) * (255 / (high - low))).astype(np.uint8)


def _cv_type(dtype: np.dtype[Any]) -> Any:
    return dtype.newbyteorder("=") if dtype in (np.uint8, np.uint16, np.int16) else np.float32


def spectra(thumbnails: np.ndarray) -> np.ndarray:
    """Low frequencies of each thumbnail, (n, 7, 7), independent of brightness and contrast."""
    centred = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    centred /= np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    return dctn(centred, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]


def invariants(spectra: np.ndarray) -> np.ndarray:
    """Return (n, 48) numbers that are the same for all eight orientations of an image.

    Mirroring changes signs of a cosine transform, transposing swaps its axes, and quarter turns do
    both. Absolute values do not change, nor do pairs of swapped values after sorting. Both never
    increase the distance of two images, so images that are near in some orientation stay near.
    """
    sizes = np.abs(spectra)
    swapped = sizes.transpose(0, 2, 1)
    larger = np.maximum(sizes, swapped)[:, *_UPPER]
    smaller = np.minimum(sizes, swapped)[:, *_STRICTLY_UPPER]
    return np.concatenate([larger[:, 1:], smaller], axis=1)


def orientations(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the orientation that brings each pair of spectra nearest, and the distance.

    A number's bits are the steps of ``orient``, in order: transpose, turn upside down, mirror.
    """
    distances = np.empty((8, len(first)), dtype=np.float32)
    for number in range(8):
        turned = first.transpose(0, 2, 1) if number & 4 else first
        turned = turned * _MIRRORED[:, None] if number & 2 else turned
        turned = turned * _MIRRORED if number & 1 else turned
        distances[number] = np.linalg.norm(turned - second, axis=(1, 2))
    number = distances.argmin(axis=0)
    return number, distances[number, np.arange(len(first))]


def orient(images: np.ndarray, number: int) -> np.ndarray:
    """Turn and mirror images of shape (n, side, side)."""
    if number & 4:
        images = images.transpose(0, 2, 1)
    if number & 2:
        images = images[:, ::-1]
    if number & 1:
        images = images[:, :, ::-1]
    return images
