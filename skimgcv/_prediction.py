"""Predictions of plain images, and of transformed ones with test-time augmentation."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from skimgcv._batches.augmenters import beside_another, check_standardizes_alike
from skimgcv._batches.batches import Batches
from skimgcv._batches.epochs import Draw, Epoch
from skimgcv._compiled.run import lock_of, predict_model
from skimgcv._data.rows import Rows
from skimgcv._features.parts import cut_and_fed
from skimgcv._models.factory import ModelFactory
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.random_streams import stream
from skimgcv.augment._adapters import as_augmenter
from skimgcv.exceptions import NonFiniteLossWarning, PixelScaleWarning


def predict_images(estimator: Any, X: Any) -> np.ndarray:
    """Return the model's predictions for each row, as float64.

    Probabilities, (n, n_classes), or numbers of the shape of y.

    Raises
    ------
    ValueError
        If the shape or the columns of X differ from those in ``fit``.
    """
    name = type(estimator).__name__
    images = Rows.of(
        X,
        image_shape=estimator.image_shape,
        name=name,
        fitted_shape=estimator.image_shape_,
    )
    images.features(estimator, reset=False)
    _check_scale(images, estimator._scale, name)
    rounds = [Epoch(np.arange(len(images)))]
    if estimator.tta_rounds:
        rounds += _transformed_rounds(estimator, images)
    total = _predict(estimator, images, rounds[0])
    for epoch in rounds[1:]:
        total = total + _predict(estimator, images, epoch)
    mean: np.ndarray = total / len(rounds)
    _check_finite(mean, name)
    return mean


def _transformed_rounds(estimator: Any, images: Rows) -> list[Epoch]:
    random_half = estimator.augmenter_
    if estimator.tta_augmenter is not None:
        images.check_are_images()
        adapted = as_augmenter(estimator.tta_augmenter, "tta_augmenter")
        random_half = beside_another(adapted, images[:8], "tta_augmenter")
        check_standardizes_alike(random_half, estimator.augmenter_, images[:8], "tta_augmenter")
    rows = np.arange(len(images))
    # One transform in each round for all images: the prediction of an image must not depend on its
    # position.
    place = np.zeros(len(images), dtype=np.intp)
    return [
        Epoch(rows, (Draw(random_half, table, place),))
        for table in (
            random_half.draw(stream(estimator._seed, "test-time", r), 1, images.shape[1:])
            for r in range(estimator.tta_rounds)
        )
    ]


def _predict(estimator: Any, images: Rows, epoch: Epoch) -> np.ndarray:
    factory = ModelFactory(estimator, {})
    options = factory.options_of("predict")
    options["batch_size"] = _whole_blocks(options["batch_size"])
    batches = Batches(images, epoch, estimator.augmenter_, batch_size=options["batch_size"])
    callbacks = factory.callbacks_of("predict")
    model = estimator.model_
    with lock_of(model):
        parts = cut_and_fed(model, estimator.feature_cache, batches)
        head, data = (None, batches) if parts is None else (parts[0].head, parts[1][0])
        outputs = predict_model(model, data, head=head, callbacks=callbacks, **options)
    predictions: np.ndarray = estimator._targets.predictions(outputs)
    return predictions


def _whole_blocks(batch_size: int) -> int:
    """Round up, so that a matrix product computes all rows of a batch in the same way.

    Its kernels take 6 or 8 rows at a time, and round the remaining rows differently. Without this,
    the 31st of 32 images would get other bits than the first.
    """
    return batch_size if batch_size == 1 else 24 * math.ceil(batch_size / 24)


def _check_finite(predictions: np.ndarray, name: str) -> None:
    n_lost = np.count_nonzero(~np.isfinite(predictions.reshape(len(predictions), -1)).all(axis=1))
    if n_lost:
        warnings.warn(
            f"{name} predicts NaN or infinite values for {n_lost} of {len(predictions)} images: "
            "the model's weights or activations have overflowed. Lower the learning rate, or do "
            "not train in half precision.",
            NonFiniteLossWarning,
            stacklevel=user_stacklevel(),
        )


def _check_scale(images: Rows, fitted: str | None, name: str) -> None:
    scale = images.scale
    # Values in 0..1 may also be a part of -1..1.
    alike = scale == fitted or {scale, fitted} == {"0..1", "-1..1"}
    if images.are_images and None not in (scale, fitted) and not alike:
        warnings.warn(
            f"{name} was fitted on values in {fitted}, and now gets values in {scale}. "
            "Pass images as they were passed to fit; the augmenter rescales them.",
            PixelScaleWarning,
            stacklevel=user_stacklevel(),
        )
