"""Checks for parameters of an ImageAugmenter without the intended effect in a fit."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np

from .._runtime.callers import user_stacklevel
from .._runtime.random_streams import stream
from ..exceptions import AugmenterStepWarning
from ._augmenter import ImageAugmenter
from ._halves import same_bits, samples
from ._parameters import columns
from ._table import neutral_table

_ROWS = 64


def check_halves(augmenter: ImageAugmenter, images: Any, name: str) -> None:
    """Look for random deterministic steps, and for random steps that never vary.

    Parameters
    ----------
    augmenter : ImageAugmenter
    images : array-like of shape (n, height, width, channels)
        Training rows.
    name : str
        The name of the augmenter, for messages.

    Raises
    ------
    ValueError
        If ``preprocessing_function`` is random, since prediction would be random, too.

    Warns
    -----
    AugmenterStepWarning
        If a range has only one value, so that it changes each training image, and no image at
        prediction. If a parameter depends on white, and the images have another range.
    """
    if augmenter.preprocessing_function is not None:
        _check_deterministic(augmenter.preprocessing_function, images, name)
    _check_levels(augmenter, images, name)
    alike = _unvarying(augmenter, tuple(images.shape[1:]))
    if alike:
        warnings.warn(
            f"{name} changes every training image in the same way in {', '.join(alike)}, but no "
            "image at prediction. To change all images, change X itself or use "
            "preprocessing_function; otherwise pass a range, or p below 1.",
            AugmenterStepWarning,
            stacklevel=user_stacklevel(),
        )


def _check_levels(augmenter: ImageAugmenter, images: Any, name: str) -> None:
    of_white = ("noise_std", "jpeg_quality_range", "policy")
    used = [parameter for parameter in of_white if getattr(augmenter, parameter)]
    if not used:
        return
    some = np.stack(samples(images, with_noise=False))
    if some.dtype == np.uint8 or some.dtype.kind not in "uif":
        return
    least, greatest = float(some.min()), float(some.max())
    if some.dtype.kind == "f":
        fits = greatest <= 1 or 2 < greatest <= 255
        whites = "1 or 255"
    else:
        white = np.iinfo(some.dtype).max
        fits = greatest <= 255 or greatest > white / 4
        whites = f"255 or {white}"
    if least < 0 or not fits:
        warnings.warn(
            f"{name} uses {', '.join(used)}, for which white is {whites}, and the values of X are "
            f"from {least:g} to {greatest:g}. So training images may get quite other values than "
            "images at prediction. Rescale X itself to values from 0 to 1 or 255, or leave these "
            "parameters out.",
            AugmenterStepWarning,
            stacklevel=user_stacklevel(),
        )


def _check_deterministic(function: Any, images: Any, name: str) -> None:
    for image in samples(images, with_noise=False):
        before = _global_numbers()
        first = np.asarray(function(image.astype(np.float32)))
        drew = _global_numbers() != before
        if drew or not same_bits(first, function(image.astype(np.float32))):
            raise ValueError(
                f"preprocessing_function={function!r} of {name} is random, but it also runs at "
                "prediction, which would be random too. Pass random functions as augmenter, "
                "f(image, rng) -> image, and let them draw from rng"
            )


def _global_numbers() -> tuple[Any, ...]:
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"]


def is_on(augmenter: ImageAugmenter, image_shape: tuple[int, ...]) -> bool:
    """Whether any random step is on."""
    parameters = augmenter.get_params(deep=False)
    known = columns(parameters, 1, augmenter._format.shape_to_last(image_shape))
    return bool(augmenter.p) and any(column.draw is not None for column in known)


def _unvarying(augmenter: ImageAugmenter, image_shape: tuple[int, ...]) -> list[str]:
    table = augmenter.draw(stream(0, "try"), _ROWS, image_shape)
    parameters = augmenter.get_params(deep=False)
    known = columns(parameters, 1, augmenter._format.shape_to_last(image_shape))
    neutral = neutral_table(1, known)[0]
    return [
        name
        for name in neutral.dtype.names
        if (table[name] == table[name][0]).all() and np.any(table[name][0] != neutral[name])
    ]
