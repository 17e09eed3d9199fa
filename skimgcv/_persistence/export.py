"""One Keras model of raw images: the deterministic half, the trained model, probabilities."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from skimgcv._models.targets import Targets
from skimgcv._persistence.pickling import packed, unpacked
from skimgcv._runtime.seeding import seeded
from skimgcv.augment import ImageAugmenter, as_augmenter
from skimgcv.augment._plain import Plain
from skimgcv.augment._seeded import CallableAugmenter
from skimgcv.augment._statistics import EPSILON, Standardizer


def deployable_model(estimator: Any) -> keras.Model:
    """Return a model that predicts what a fitted classifier does.

    Raises
    ------
    ValueError
        Where a part of it is not made of Keras' operations.
    """
    if estimator.tta_rounds:
        raise ValueError(
            f"tta_rounds={estimator.tta_rounds} transforms images at random, which a model by "
            "itself does not; set_params(tta_rounds=0) first."
        )
    # Layers that are made draw seeds.
    with seeded(0):
        return _assembled(estimator)


def _assembled(estimator: Any) -> keras.Model:
    shape = estimator.image_shape_
    flat = estimator.image_shape is not None
    inputs = keras.Input((math.prod(shape),) if flat else shape, name="images")
    images = keras.layers.Reshape(shape)(inputs) if flat else inputs
    # A copy: what happens to it is no business of the classifier's.
    model = unpacked(packed(estimator.model_))
    outputs = model(_standardized(images, estimator.augmenter_), training=False)
    whole = keras.Model(inputs, _probabilities(outputs, estimator._targets), name="deployable")
    whole(keras.ops.zeros((1, *inputs.shape[1:])))  # Keras exports what was called before
    return whole


def _standardized(images: Any, augmenter: Any) -> Any:
    if isinstance(augmenter, (Plain, CallableAugmenter)):
        return images
    if type(augmenter) is ImageAugmenter:
        return _by_image_augmenter(images, augmenter)
    kind = type(augmenter).__name__
    if kind == "LayerAugmenter":
        copied: Any = as_augmenter(augmenter._whole)
        for step in copied.fixed_steps:
            images = step(images, training=False)
        return images
    if kind == "AlbumentationsAugmenter" and not augmenter.fixed_names:
        return images
    named = f" ({', '.join(augmenter.fixed_names)})" if kind == "AlbumentationsAugmenter" else ""
    raise ValueError(
        f"what a {kind} does at prediction{named} is not made of Keras' operations; rescale and "
        "standardise by ImageAugmenter or by Keras' layers instead."
    )


def _by_image_augmenter(images: Any, augmenter: ImageAugmenter) -> Any:
    steps = augmenter.standardizer
    first = augmenter.data_format == "channels_first"
    if augmenter.preprocessing_function is not None:
        images = _preprocessed(images, augmenter.preprocessing_function)
    if first:
        images = keras.layers.Permute((2, 3, 1))(images)
    images = _scaled(images, steps)
    if np.dtype(steps.dtype) == np.float16:
        images = keras.ops.cast(keras.ops.cast(images, "float16"), "float32")
    return keras.layers.Permute((3, 1, 2))(images) if first else images


def _preprocessed(images: Any, function: Any) -> Any:
    applications = [m for m in vars(keras.applications).values() if isinstance(m, ModuleType)]
    if not any(function is getattr(m, "preprocess_input", None) for m in applications):
        raise ValueError(
            f"preprocessing_function={function!r} is Python, which no Keras model holds; only "
            "keras.applications' preprocess_input can be taken along. Do the same by rescale, "
            "by Keras layers as augmenter, or by layers in the model."
        )
    return function(images)


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


def _probabilities(outputs: Any, targets: Targets) -> Any:
    """Do in Keras what ``Targets.probabilities`` does in NumPy."""
    ops = keras.ops
    if targets.one_unit:
        second = ops.sigmoid(outputs) if targets.logits else ops.clip(outputs, 0, 1)
        return ops.concatenate([1 - second, second], axis=1)
    if targets.logits:
        return ops.softmax(outputs)
    outputs = ops.maximum(outputs, 0)
    total = ops.sum(outputs, axis=1, keepdims=True)
    empty = ops.cast(total <= 0, "float32")
    return outputs / (total + empty) + empty / targets.n_classes
