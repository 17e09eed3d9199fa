"""Arrays of readers: any type of numbers and any number of channels."""

from __future__ import annotations

import cv2
import numpy as np

from skimgcv._files.headers import UnreadableError

# OpenCV resizes these; others go through floats.
_RESIZED = ("uint8", "uint16", "int16", "float32", "float64")
_MOST_CHANNELS = 4  # channels that OpenCV handles at a time, with any interpolation


def with_bands(pixels: np.ndarray, bands: int) -> np.ndarray:
    """Return an array as (height, width, bands).

    Raises
    ------
    UnreadableError
        If it has another shape.
    """
    if pixels.ndim == 2 and bands == 1:
        return pixels[:, :, np.newaxis]
    if pixels.ndim != 3 or pixels.shape[2] != bands:
        wanted = "(height, width)" if bands == 1 else f"(height, width, {bands})"
        raise UnreadableError(
            f"its reader gave an array of shape {pixels.shape}, and it needs to be {wanted}; the "
            "channels are the third number of image_shape"
        )
    return pixels


def in_values_of(dtype: np.dtype, pixels: np.ndarray) -> np.ndarray:
    """Return the same values in this dtype.

    Raises
    ------
    UnreadableError
        If the dtype cannot represent them, or if they are not finite numbers.
    """
    if pixels.dtype.kind not in "buif":
        raise UnreadableError(
            f"its reader gave values of type {pixels.dtype}, which are not real numbers"
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableError("its reader returned NaN or infinity; let it return finite numbers")
    if pixels.dtype == dtype:
        return pixels
    with np.errstate(invalid="ignore", over="ignore"):
        converted = pixels.astype(dtype)
        back = converted.astype(pixels.dtype)
    # The second check is for integers that float64 rounds, since they are compared in float64.
    if not (np.array_equal(converted, pixels) and np.array_equal(back, pixels)):
        raise UnreadableError(
            f"its reader gave values of type {pixels.dtype} that {dtype} cannot hold; pass "
            f'dtype="{pixels.dtype.newbyteorder("=")}", or let the reader convert them'
        )
    return converted


def resize_values(pixels: np.ndarray, width: int, height: int, how: int) -> np.ndarray:
    """Resize (height, width, channels) of any type of numbers.

    Integers that OpenCV does not resize are rounded from float64, which is exact below 2**53.
    """
    dtype = pixels.dtype
    if dtype.name not in _RESIZED or not dtype.isnative:
        pixels = pixels.astype(np.float64)
    resized = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    for first in range(0, pixels.shape[2], _MOST_CHANNELS):
        some = slice(first, first + _MOST_CHANNELS)
        part = np.ascontiguousarray(pixels[:, :, some])
        resized[:, :, some] = cv2.resize(part, (width, height), interpolation=how).reshape(
            height, width, -1
        )
    return resized if resized.dtype == dtype else _rounded(resized, dtype)


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # The largest float64 within the range, since 2**63 - 1 is not a float64.
    most = np.nextafter(float(limits.max) + 1, 0)
    return np.clip(np.rint(values), limits.min, min(most, limits.max)).astype(dtype)
