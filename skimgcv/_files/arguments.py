"""Checks of the arguments of ``ImageFiles``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from skimgcv._files.decoding import CHANNELS, DTYPES


def absolute(paths: Any) -> np.ndarray:
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError(f"paths must be a list of files; for a folder: load_images({paths!r})")
    absolute = []
    for row, path in enumerate(paths):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"paths must be str or path-like; row {row} is {path!r}")
        absolute.append(os.path.abspath(os.fsdecode(path)))
    array = np.empty(len(absolute), dtype=object)
    array[:] = absolute
    return array


def check_choice(name: str, value: Any, allowed: Any) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}; it is {value!r}")


def check_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive integer; it is {value!r}")


def check_shape(image_shape: Any) -> tuple[int, ...]:
    shape = tuple(image_shape) if np.iterable(image_shape) else ()
    if len(shape) not in (2, 3) or not all(
        isinstance(s, (int, np.integer)) and s > 0 for s in shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), "
            f"of positive integers; it is {image_shape!r}"
        )
    return tuple(map(int, shape))


def check_channels(channels: list[int], color_mode: str, reader: Any) -> None:
    if reader is not None and color_mode != "rgb":
        raise ValueError(
            f"color_mode={color_mode!r} is for files that are read without a reader; leave it "
            "out, and let the reader give the channels of image_shape"
        )
    if reader is None and channels and channels[0] != CHANNELS[color_mode]:
        raise ValueError(
            f"image_shape has {channels[0]} channels, but color_mode={color_mode!r} has "
            f"{CHANNELS[color_mode]}; leave the channels out, change one of the two, or pass a "
            "reader"
        )


def check_dtype(dtype: Any, reader: Any) -> str:
    kind = np.dtype(dtype)
    if reader is None:
        check_choice("dtype", kind.name, DTYPES)
    elif kind.kind not in "iuf" or kind.itemsize > 8:
        raise ValueError(f"dtype must be one of integers or floats; it is {dtype!r}")
    return kind.name
