"""A check for a trained keras.Model, since each fit starts with new weights."""

from __future__ import annotations

import warnings

import keras
import numpy as np

from skimgcv._runtime.callers import user_stacklevel
from skimgcv.exceptions import UnusedWeightsWarning


def warn_weights_unused(model: keras.Model, fresh: keras.Model) -> None:
    """Warn if a model that is cloned with new weights is trained.

    Parameters
    ----------
    model : keras.Model
        The parameter of an estimator.
    fresh : keras.Model
        Its clone, before it is trained.

    Warns
    -----
    UnusedWeightsWarning
    """
    why = _learned(model, fresh)
    if why is None:
        return
    warnings.warn(
        f"model is a trained or adapted keras.Model ({why}), and each fit clones it with new "
        "weights. To start from its weights, pass a function that returns a copy: def build(): "
        "copy = keras.models.clone_model(model); copy.set_weights(model.get_weights()); return "
        "copy. To train from scratch without this warning, pass keras.models.clone_model(model).",
        UnusedWeightsWarning,
        stacklevel=user_stacklevel(),
    )


def _learned(model: keras.Model, fresh: keras.Model) -> str | None:
    steps = getattr(model.optimizer, "iterations", 0) if model.compiled else 0
    if (n := int(steps)) > 0:
        return f"its optimizer made {n} steps"
    for own, new in zip(model.weights, fresh.weights, strict=False):
        # Kernels are random in each clone, so they show nothing. Biases, and the means and
        # variances of normalisation, start at constants.
        if own.shape != new.shape or len(own.shape) > 1 or "seed_generator" in own.path:
            continue
        start, now = (np.asarray(keras.ops.convert_to_numpy(v)) for v in (new, own))
        if start.size and (start == start.flat[0]).all() and not np.array_equal(start, now):
            return f"{own.path} is not as it is initialised"
    return None
