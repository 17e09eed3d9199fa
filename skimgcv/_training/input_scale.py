"""A check that images are rescaled once before a model's weights: not twice, and not never."""

from __future__ import annotations

import logging
import warnings
from typing import Any, NamedTuple

import keras
import numpy as np

from skimgcv._data.rows import LabelledRows
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.graph_internals import Call, calls_of, has_own_graph
from skimgcv.augment._protocol import Augmenter
from skimgcv.exceptions import PixelScaleWarning

_log = logging.getLogger("skimgcv")

_IMAGES = 8
"""Number of images to check."""

_NORMALISING = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.UnitNormalization,
)


class _Reached(NamedTuple):
    """The input of the first layer with weights.

    Attributes
    ----------
    values : ndarray
    layer : str
    by : str
        The layers before it.
    is_normalised : bool
        Whether this layer, or one of the next two, normalises its input.
    """

    values: np.ndarray
    layer: str
    by: str
    is_normalised: bool


def warn_input_scale(model: keras.Model, train: LabelledRows, augmenter: Augmenter) -> None:
    """Warn if a model and an augmenter both rescale images, or neither does.

    Parameters
    ----------
    model : keras.Model
    train : LabelledRows
        Some of its images are looked at.
    augmenter : Augmenter
        Fitted.
    """
    if not (train.images.are_images and has_own_graph(model)):
        return
    try:
        raw = train.images[train.rows[:_IMAGES]]
        prepared = augmenter.prepare(raw)
        values = keras.ops.convert_to_tensor(prepared)
        reached = _first_weights(model, values, [])
    # Training raises the same error, with epoch and rows.
    except Exception as error:
        _log.debug("The scale of images is not checked: %r.", error)
        return
    if reached is not None and (message := _fault(raw, prepared, reached)):
        warnings.warn(message, PixelScaleWarning, stacklevel=user_stacklevel())


def _first_weights(model: Any, values: Any, by: list[str]) -> _Reached | None:
    """Run a model up to its first layer with weights."""
    calls = list(calls_of(model))
    known = {id(model.inputs[0]): values}
    for number, call in enumerate(calls):
        if not all(id(tensor) in known for tensor in call.inputs):
            continue
        layer = call.operation
        if has_own_graph(layer):
            return _first_weights(layer, known[id(call.inputs[0])], by)
        has_weights = isinstance(layer, keras.Layer) and bool(layer.weights)
        if has_weights and not isinstance(layer, keras.layers.Normalization):
            return _Reached(
                # NumPy cannot print bfloat16 with every version of ml_dtypes.
                keras.ops.convert_to_numpy(known[id(call.inputs[0])]).astype(np.float32),
                layer.name,
                " and ".join(by),
                any(map(_normalises, calls[number : number + 3])),
            )
        arguments, options = call.convert(lambda it: known.get(id(it), it))
        outputs = keras.tree.flatten(layer(*arguments, **options))
        known.update({id(t): o for t, o in zip(call.outputs, outputs, strict=True)})
        by.append(layer.name)
    return None


def _normalises(call: Call) -> bool:
    return isinstance(call.operation, _NORMALISING)


def _fault(raw: np.ndarray, prepared: np.ndarray, reached: _Reached) -> str | None:
    values = reached.values
    span, span_before = _span(values), _span(prepared)
    # Small values lose their range, or get a large offset.
    is_small = np.abs(prepared).max() <= 10 and span_before > 0.1
    if is_small and (span < span_before / 50 or np.abs(values).min() > 20 * span):
        return (
            f"Images are rescaled twice. The model gets values of {prepared.min():.3g} to "
            f"{prepared.max():.3g}, and its {reached.by} makes {values.min():.3g} to "
            f"{values.max():.3g} of them, before the first layer with weights, {reached.layer}. "
            "Rescale once: leave `rescale` out of the augmenter, do not rescale X, or remove the "
            "layer."
        )
    if raw.max() > 50 and values.min() >= 0 and values.max() > 50 and not reached.is_normalised:
        return (
            f"Nothing rescales the images: the model's first layer with weights, "
            f"{reached.layer}, gets values of {values.min():.3g} to {values.max():.3g}. Most "
            "networks learn slowly from such values, or not at all. Pass "
            "augmenter=ImageAugmenter(rescale=1/255), or begin the model with "
            "keras.layers.Rescaling(1/255)."
        )
    return None


def _span(images: np.ndarray) -> float:
    """Return the range of values within a channel, since channels may have different offsets."""
    channels = images.reshape(-1, images.shape[-1] if images.ndim == 4 else 1)
    return float(np.ptp(channels, axis=0).max())
