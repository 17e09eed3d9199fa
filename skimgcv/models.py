"""Builders of models: a pretrained network with a head for the labels or numbers of y."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import keras

from skimgcv._features.cut import DROPOUTS
from skimgcv._models.custom_objects import custom_objects_of
from skimgcv._models.heads import head
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.keras_internals import layers_in
from skimgcv.exceptions import UnusedWeightsWarning

__all__ = ["pretrained"]


def pretrained(
    backbone: str | keras.Model | Callable[[], keras.Model] = "EfficientNetV2B0",
    *,
    weights: str | os.PathLike[str] | None = "imagenet",
    preprocess_input: Callable[[Any], Any] | None = None,
    pooling: str = "avg",
    dropout: float = 0.2,
    trainable: bool = False,
) -> Callable[..., keras.Model]:
    """Return a builder of a pretrained network with pooling, dropout and an output layer.

    The output layer is a softmax for one label, sigmoids for several labels, and a layer without
    activation for numbers.

    The network's own preprocessing is part of the model. So pass images with values of 0 to 255,
    and do not set ``rescale`` in the augmenter.

    Parameters
    ----------
    backbone : str, keras.Model or callable, default="EfficientNetV2B0"
        A name of ``keras.applications``; or a model without its head, such as a backbone of
        KerasHub, with whose weights each fit starts; or a function without parameters that
        returns such a model.
    weights : "imagenet", path-like or None, default="imagenet"
        The weights of a backbone that is given by name. "imagenet" downloads them; a path is a
        file of weights without the head (``..._notop.h5``, ``.weights.h5``); None means random
        weights, which must be trained: pass ``trainable=True`` as well.
    preprocess_input : callable, optional
        Prepares images of 0 to 255 for the backbone: a function of Keras tensors, or a layer.
        The default is the function of ``keras.applications`` for a name, and none for a model.
    pooling : {"avg", "max"}, default="avg"
        How the last feature maps become one vector.
    dropout : float, default=0.2
        Share of the vector that is dropped in training.
    trainable : bool, default=False
        Whether to train the backbone too. Its batch normalisation stays frozen and its dropout
        stays off, as Keras' guide to transfer learning advises, unless ``weights`` is None.

    Returns
    -------
    callable
        ``build(meta)``, for :class:`~skimgcv.AugmentedKerasClassifier`. The parameters above are
        also its parameters: ``model__dropout=0.5``, or ``{"model__backbone": [...]}`` in a grid.

    Raises
    ------
    ValueError
        By the builder, if a name, the images' channels or ``pooling`` is invalid.
    OSError
        By the builder, if it can neither download nor read the weights.

    References
    ----------
    https://keras.io/guides/transfer_learning/

    Examples
    --------
    >>> import keras, numpy as np
    >>> from skimgcv import AugmentedKerasClassifier, ImageAugmenter
    >>> from skimgcv.models import pretrained
    >>> backbone = keras.Sequential([  # stands for a network that was trained on other images
    ...     keras.layers.Input((8, 8, 3)),
    ...     keras.layers.Rescaling(1 / 255),
    ...     keras.layers.Conv2D(4, 3),
    ... ])
    >>> X = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype("uint8")
    >>> clf = AugmentedKerasClassifier(
    ...     pretrained(backbone), augmenter=ImageAugmenter(rotation_range=20),
    ...     model__dropout=0.5, random_state=0)
    >>> clf.fit(X, [0, 1] * 10).predict_proba(X).shape
    (20, 2)
    """
    return functools.partial(
        _build,
        backbone=backbone,
        weights=weights,
        preprocess_input=preprocess_input,
        pooling=pooling,
        dropout=dropout,
        trainable=trainable,
    )


_POOLING = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def _build(
    meta: dict[str, Any],
    *,
    backbone: Any,
    weights: Any,
    preprocess_input: Any,
    pooling: str,
    dropout: float,
    trainable: bool,
) -> keras.Model:
    if pooling not in _POOLING:
        raise ValueError(f"pooling must be one of {list(_POOLING)}; it is {pooling!r}.")
    inputs = keras.Input(meta["image_shape_"])
    images = _in_colour(inputs)
    if isinstance(backbone, str):
        trunk, own = _named(backbone, weights, tuple(images.shape[1:]))
        if weights is None and not trainable:
            warnings.warn(
                f"{backbone} has random weights that are not trained, so it can hardly "
                "distinguish images. Pass weights, or trainable=True to train it from scratch.",
                UnusedWeightsWarning,
                stacklevel=user_stacklevel(),
            )
        preprocess_input = preprocess_input or own
    else:
        trunk = _copied(backbone) if isinstance(backbone, keras.Model) else backbone()
    if preprocess_input is not None:
        images = preprocess_input(images)
    trunk.trainable = trainable
    # Random weights have no statistics to keep.
    if not (trainable and isinstance(backbone, str) and weights is None):
        _run_as_in_evaluation(trunk)
    features = trunk(images)
    if len(features.shape) == 4:
        features = _POOLING[pooling]()(features)
    features = keras.layers.Dropout(dropout)(features)
    # In float32, also if the policy computes other layers in float16.
    return keras.Model(inputs, head(meta, dtype="float32")(features))


def _in_colour(inputs: Any) -> Any:
    """Return images of three channels, as pretrained networks need."""
    if len(inputs.shape) != 4:
        raise ValueError(
            f"A pretrained network needs images, but X has rows of {inputs.shape[1]} features; "
            "pass image_shape=(height, width, channels) to the estimator."
        )
    if inputs.shape[-1] == 1:
        return keras.layers.Concatenate()([inputs] * 3)
    if inputs.shape[-1] != 3:
        raise ValueError(
            f"A pretrained network needs images of 3 channels, or of 1; X has {inputs.shape[-1]}."
        )
    return inputs


def _named(name: str, weights: Any, image_shape: tuple[int, ...]) -> tuple[keras.Model, Any]:
    """Return a network of ``keras.applications`` without its head, and its preprocessing."""
    known = sorted(n for n in vars(keras.applications) if n[:1].isupper())
    if name not in known:
        raise ValueError(f"backbone={name!r} is not in keras.applications; it has {known}.")
    make = getattr(keras.applications, name)
    # The module in which a network is defined is exported under its last name.
    module = getattr(keras.applications, make.__module__.rpartition(".")[2])
    source = os.fspath(weights) if isinstance(weights, os.PathLike) else weights
    if source not in (None, "imagenet") and not os.path.isfile(source):
        raise OSError(f"weights={source!r} is no file; pass a path, 'imagenet' or None.")
    try:
        trunk = make(include_top=False, weights=source, input_shape=image_shape)
    except Exception as error:
        if source == "imagenet" and "URL" in str(error):
            raise OSError(
                f"The weights of {name} could not be downloaded ({error}). Download the file on "
                "another machine and pass its path as `weights`."
            ) from error
        raise
    return trunk, module.preprocess_input


def _run_as_in_evaluation(trunk: keras.Model) -> None:
    """Freeze batch normalisation, and switch dropout off.

    Keras' guide calls the network with ``training=False`` for this. Within a functional model
    Keras 3 ignores this: ``fit`` overrides it with ``training=True``.
    """
    for layer in layers_in(trunk):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        elif isinstance(layer, DROPOUTS):
            layer.rate = 0


def _copied(model: keras.Model) -> keras.Model:
    """Return the same network with its own weights, so that no fit changes those of another."""
    with keras.saving.custom_object_scope(custom_objects_of(model)):
        copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy
