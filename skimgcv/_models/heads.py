"""The last layer of a model, with the units and the activation that y needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

_ACTIVATIONS = {
    "multilabel-indicator": "sigmoid",
    "continuous": None,
    "continuous-multioutput": None,
}


def head(meta: Mapping[str, Any], **options: Any) -> keras.layers.Dense:
    """Return the layer for a builder's ``meta``. Options go to the layer."""
    activation = _ACTIVATIONS.get(meta.get("target_type_", ""), "softmax")
    units = meta["n_classes_"] if "n_classes_" in meta else meta["n_outputs_"]
    return keras.layers.Dense(units, activation=activation, **options)
