"""Checks of the shape and the values of X, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from skimgcv._data.forms import FORMS


def row_shape(
    shape: tuple[int, ...], image_shape: tuple[int, ...] | None, name: str
) -> tuple[int, ...]:
    """Return the shape of one row of X: (height, width, channels) or (features,).

    Parameters
    ----------
    shape : tuple of int
        The shape of X.
    image_shape : tuple of int, optional
        The shape of the image in each row of a 2-D X.
    name : str
        The estimator's, for errors.

    Raises
    ------
    ValueError
        If X is empty, or its shape does not fit ``image_shape``.
    """
    row = _row_shape(shape, image_shape)
    if 0 in (shape[0], *row):
        raise ValueError(
            f"Found array with 0 {'sample(s)' if not shape[0] else 'feature(s)'} "
            f"(shape={tuple(shape)}) while a minimum of 1 is required by {name}."
        )
    return row


def _row_shape(shape: tuple[int, ...], image_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if image_shape is not None:
        image_shape = _check_image_shape(image_shape)
    if len(shape) == 2:
        if image_shape is None:
            return (int(shape[1]),)
        if shape[1] != np.prod(image_shape):
            raise ValueError(
                f"image_shape={image_shape} needs {np.prod(image_shape)} columns, X has "
                f"{shape[1]}; pass image_shape to match, or X as (n, height, width, channels)."
            )
        return image_shape
    if len(shape) not in (3, 4):
        raise ValueError(f"{FORMS}; X has shape {tuple(shape)}.")
    row_shape = tuple(int(s) for s in shape[1:]) + (1,) * (4 - len(shape))
    if image_shape not in (None, row_shape):
        raise ValueError(
            f"image_shape={image_shape}, but X holds images of shape {row_shape}; "
            "leave image_shape out where X is not flat."
        )
    return row_shape


def shape_of_flat_rows(
    shape: tuple[int, ...], fitted_shape: tuple[int, ...], name: str
) -> tuple[int, ...] | None:
    """Return the image shape of a 2-D X for a fitted model; None for features.

    Raises
    ------
    ValueError
        If the rows have another number of values than the images of ``fit``.
    """
    if len(fitted_shape) != 3:
        return None  # scikit-learn's own check compares the columns
    if shape[1] != np.prod(fitted_shape):
        raise ValueError(
            f"X has {shape[1]} columns, but this {name} was fitted on images of shape "
            f"{fitted_shape}. Pass images (n, height, width, channels), a single one as X[None], "
            f"or rows of {np.prod(fitted_shape)} values."
        )
    return fitted_shape


def _check_image_shape(image_shape: Any) -> tuple[int, int, int]:
    shape = tuple(image_shape) if np.iterable(image_shape) else ()
    if len(shape) not in (2, 3) or not all(
        isinstance(s, (int, np.integer)) and s > 0 for s in shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), "
            f"of positive integers; it is {image_shape!r}."
        )
    height, width, channels = (*shape, 1)[:3]
    return int(height), int(width), int(channels)


def value_scale(chunks: Iterable[np.ndarray], name: str) -> str | None:
    """Check that all values are finite; return their range.

    Parameters
    ----------
    chunks : iterable of ndarray
        All rows of X, in order.
    name : str
        The estimator's, for errors.

    Returns
    -------
    {"0..1", "-1..1", "0..255", "0..65535", None}
        The ranges that are often confused, and ``None`` for all others.

    Raises
    ------
    ValueError
        If a value is NaN or infinite. The message names its row.
    """
    low, high, start, are_floats = np.inf, -np.inf, 0, False
    for chunk in chunks:
        are_floats = chunk.dtype.kind == "f"
        if are_floats:
            _check_finite(chunk, start, name)
        low, high = min(low, chunk.min()), max(high, chunk.max())
        start += len(chunk)
        if chunk.dtype == np.uint8 and high > 2:
            break  # no other value is possible
    largest = np.finfo(np.float32).max
    if low < -largest or high > largest:
        raise ValueError(
            f"Input X contains a value too large for float32, {max(high, -low):.3g}; scale X down."
        )
    if low < 0:
        # Requires a value far below 0: other values may be centred data.
        return "-1..1" if are_floats and -1 <= low < -0.5 and high <= 1 else None
    if 0 < high <= 1 and are_floats:
        return "0..1"
    if 2 < high <= 255:
        return "0..255"
    return "0..65535" if 255 < high <= 65535 else None


def _check_finite(chunk: np.ndarray, start: int, name: str) -> None:
    # A sum is finite if all values are, unless it overflows: one fast pass.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(chunk.sum(dtype=np.float64)):
            return
    finite = np.isfinite(chunk.reshape(len(chunk), -1)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"Input X contains NaN or infinity, in row {start + int(np.argmin(finite))}. "
            f"{name} does not accept missing values encoded as NaN natively; "
            "repair or drop such rows."
        )
