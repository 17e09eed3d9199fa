"""Make a fitted estimator of a Keras model that was trained elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np

from skimgcv._models.factory import ModelFactory
from skimgcv._persistence.pickling import packed, unpacked
from skimgcv._runtime.random_streams import stream
from skimgcv._runtime.seeding import check_seed
from skimgcv._training.going_on import record_of
from skimgcv.augment import as_augmenter
from skimgcv.augment._protocol import Augmenter
from skimgcv.augment._seeded import SeededAugmenter


def adopt(estimator: Any, meta: dict[str, Any]) -> dict[str, Any]:
    """Return the fitted attributes that a fit would give, except those of its rows.

    Parameters
    ----------
    estimator : AugmentedKerasEstimator
        Not fitted. Its ``model`` is the trained model.
    meta : dict
        The description of the targets that a builder gets.

    Raises
    ------
    TypeError, ValueError
        If the model does not have exactly one input of images, or the augmenter lacks statistics.
    """
    model = estimator.model
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model that was trained; it is {model!r}.")
    shape = _shape_of(model)
    own = unpacked(packed(model))
    shell = copy.copy(estimator)
    shell.model = lambda: own
    factory = ModelFactory(shell, {**meta, "image_shape_": shape}, one_hot=False)
    own, targets = factory.build()
    augmenter = _augmenter(estimator.augmenter, shape)
    nothing = np.empty(0, dtype=np.intp)
    return {
        "model_": own,
        "augmenter_": augmenter,
        "image_shape_": shape,
        "n_features_in_": int(np.prod(shape)),
        "history_": {"loss": []},
        "fine_tune_start_": None,
        "sample_indices_": nothing,
        "validation_indices_": nothing,
        "_targets": targets,
        "_scale": None,
        "_seed": check_seed(estimator.random_state),
        "_epochs_run": 0,
        "_trained_with": record_of(estimator, compiled_here=factory.compiles),
    }


def _shape_of(model: keras.Model) -> tuple[int, ...]:
    shape = getattr(model, "input_shape", None) if model.built else None
    if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape[1:]):
        raise ValueError(
            "model must have one input of a fixed shape, (height, width, channels) or "
            f"(features,); it has {shape}. keras.Sequential([keras.Input(image_shape), model]) "
            "has one."
        )
    return shape[1:]


def _augmenter(given: Any, shape: tuple[int, ...]) -> Augmenter:
    """Adapt the user's augmenter, with the statistics that it has learned."""
    adapted = as_augmenter(given, "augmenter")
    if given is None:
        return adapted
    if len(shape) != 3:
        raise ValueError(f"An augmenter needs images, but the model takes rows of {shape[0]}.")
    if isinstance(adapted, SeededAugmenter):
        # A trial on noise finds the steps that do the same to each image.
        noise = stream(0, "noise").integers(0, 256, (3, *shape), dtype=np.uint8)
        return adapted.fit(noise)
    if type(adapted) is type(given):
        vars(adapted).update({n: v for n, v in vars(given).items() if n.endswith("_")})
    adapted.standardize(np.zeros((1, *shape), np.uint8))  # raises if statistics are missing
    return adapted
