"""The dtypes in which images are transformed, and the way back into their own."""

from __future__ import annotations

from typing import Any

import numpy as np


def working_dtype(dtype: np.dtype) -> np.dtype:
    """Return uint8 for uint8 and float32 for every other number.

    OpenCV's fast and exact paths exist for these two. float32 has every integer up to 2**24, so
    int8, int16 and uint16 stay exact. Wider integers and float64 keep their 24 leading bits.

    Raises
    ------
    TypeError
        If ``dtype`` is not an integer or a real floating type.
    """
    if dtype.kind not in "uif":
        raise TypeError(
            f"images need an integer or floating dtype, got {dtype}; "
            "convert them first, for instance with X.astype('uint8')"
        )
    return np.dtype(np.uint8 if dtype == np.uint8 else np.float32)


def from_working(images: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return working images in ``dtype``: integers rounded, and clipped to its range."""
    if images.dtype == dtype:
        return images
    if dtype.kind == "f":
        return images.astype(dtype)
    low, high = integer_range(dtype)
    rounded = np.rint(images, dtype=np.float64)
    return np.clip(rounded, low, high, out=rounded).astype(dtype)


def integer_range(dtype: np.dtype) -> tuple[float, float]:
    """Return the least and greatest float64 that convert to ``dtype``."""
    info = np.iinfo(dtype)
    high = float(info.max)
    # float(2**63 - 1) is 2**63, which is too large for int64.
    return float(info.min), high if int(high) <= info.max else float(np.nextafter(high, 0))


def check_dtype(dtype: Any) -> None:
    """Refuse a dtype that standardised images cannot have; None is float32."""
    try:
        known = np.dtype(np.float32 if dtype is None else dtype)
    except (TypeError, ValueError):
        known = np.dtype(object)
    if known not in (np.float16, np.float32, np.float64):
        raise ValueError(
            f"`dtype` needs float16, float32 or float64, got {dtype!r}; "
            "standardised images are not whole numbers"
        )
