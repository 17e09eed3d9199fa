"""The deterministic steps of an ImageAugmenter in Keras' operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import keras
import numpy as np

from ._statistics import EPSILON, Standardizer


def standardizing_layers(
    steps: Standardizer, function: Any, *, channels_first: bool
) -> list[Callable[[Any], Any]]:
    """Return the steps of a standardizer, as functions of Keras tensors.

    Parameters
    ----------
    steps : Standardizer
    function : callable or None
        The user's own ``preprocessing_function``, which runs before the channels are moved.
    channels_first : bool
        Whether the images that it gets and returns have channels first.

    Raises
    ------
    ValueError
        If the function is not one of Keras.
    """
    layers: list[Callable[[Any], Any]] = []
    if function is not None:
        layers.append(_checked(function))
    if channels_first:
        layers.append(keras.layers.Permute((2, 3, 1)))
    layers.append(partial(_scaled, steps=steps))
    if np.dtype(steps.dtype) == np.float16:
        layers.append(lambda images: keras.ops.cast(keras.ops.cast(images, "float16"), "float32"))
    if channels_first:
        layers.append(keras.layers.Permute((3, 1, 2)))
    return layers


def _checked(function: Any) -> Any:
    applications = [m for m in vars(keras.applications).values() if isinstance(m, ModuleType)]
    if not any(function is getattr(m, "preprocess_input", None) for m in applications):
        raise ValueError(
            f"preprocessing_function={function!r} is Python code, which a Keras model cannot "
            "contain; only keras.applications' preprocess_input is allowed. Use rescale, Keras "
            "layers as augmenter, or layers in the model."
        )
    return function


def _scaled(images: Any, steps: Standardizer) -> Any:
    ops, gain = keras.ops, steps.rescale or 1.0
    if gain != 1 and (steps.samplewise_center or steps.samplewise_std or steps.mean is None):
        images, gain = keras.layers.Rescaling(gain)(images), 1.0
    if steps.samplewise_center or steps.samplewise_std:
        images = images - ops.mean(images, axis=(1, 2, 3), keepdims=True)
    if steps.samplewise_std:
        images = images / (ops.std(images, axis=(1, 2, 3), keepdims=True) + EPSILON)
    if steps.mean is not None:
        deviation = np.ones_like(steps.mean) if steps.std is None else steps.std + EPSILON
        scale, offset = gain / deviation, -steps.mean / deviation
        images = keras.layers.Rescaling(scale.tolist(), offset.tolist())(images)
    if steps.whitening is not None:
        shape = images.shape[1:]
        whiten = keras.layers.Dense(len(steps.whitening), use_bias=False, trainable=False)
        flat = whiten(keras.layers.Flatten()(images))
        whiten.set_weights([steps.whitening])
        images = keras.layers.Reshape(shape)(flat)
    return images
