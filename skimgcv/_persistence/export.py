"""One Keras model from raw images to predictions: deterministic steps and the trained model."""

from __future__ import annotations

import math
from typing import Any

import keras

from skimgcv._models.targets import LabelTargets, NumberTargets, Targets
from skimgcv._persistence.pickling import packed, unpacked
from skimgcv._runtime.seeding import seeded
from skimgcv.augment._protocol import Augmenter, ExportableAugmenter


def deployable_model(estimator: Any) -> keras.Model:
    """Return a model with the predictions of a fitted estimator.

    Raises
    ------
    ValueError
        If a part of it does not consist of Keras' operations.
    """
    if estimator.tta_rounds:
        raise ValueError(
            f"tta_rounds={estimator.tta_rounds} transforms images at random, which a model by "
            "itself does not; set_params(tta_rounds=0) first."
        )
    # New layers draw seeds.
    with seeded(0):
        return _assembled(estimator)


def _assembled(estimator: Any) -> keras.Model:
    shape = estimator.image_shape_
    flat = estimator.image_shape is not None
    inputs = keras.Input((math.prod(shape),) if flat else shape, name="images")
    images = keras.layers.Reshape(shape)(inputs) if flat else inputs
    # A copy, so that changes do not affect the estimator.
    model = unpacked(packed(estimator.model_))
    outputs = model(_standardized(images, estimator.augmenter_), training=False)
    whole = keras.Model(inputs, _predictions(outputs, estimator._targets), name="deployable")
    whole(keras.ops.zeros((1, *inputs.shape[1:])))  # Keras exports only models that were called
    return whole


def _standardized(images: Any, augmenter: Augmenter) -> Any:
    if not isinstance(augmenter, ExportableAugmenter):
        raise ValueError(
            f"what a {type(augmenter).__name__} does at prediction is not made of Keras' "
            "operations; rescale and standardise by ImageAugmenter or by Keras' layers instead, "
            "or give it a method to_layers (see skimgcv.augment.ExportableAugmenter)."
        )
    for step in augmenter.to_layers():
        images = step(images)
    return images


def _predictions(outputs: Any, targets: Targets) -> Any:
    """Do the same in Keras as ``predictions`` of the targets in NumPy."""
    ops = keras.ops
    if isinstance(targets, NumberTargets):
        return outputs
    if isinstance(targets, LabelTargets):
        return ops.sigmoid(outputs) if targets.logits else ops.clip(outputs, 0, 1)
    if targets.one_unit:
        second = ops.sigmoid(outputs) if targets.logits else ops.clip(outputs, 0, 1)
        return ops.concatenate([1 - second, second], axis=1)
    if targets.logits:
        return ops.softmax(outputs)
    outputs = ops.maximum(outputs, 0)
    total = ops.sum(outputs, axis=1, keepdims=True)
    empty = ops.cast(total <= 0, "float32")
    return outputs / (total + empty) + empty / targets.n_classes
