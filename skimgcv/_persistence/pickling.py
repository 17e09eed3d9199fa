"""Keras objects in a pickle, together with the user's own classes and functions."""

from __future__ import annotations

from typing import Any

import keras

from skimgcv._models.custom_objects import (
    check_config_says_all,
    custom_objects_in,
    custom_objects_of,
)
from skimgcv._runtime.keras_internals import model_from_bytes, model_to_bytes
from skimgcv._runtime.seeding import seeded


def packed(value: Any) -> Any:
    """Return the pickled form of a Keras object; return other objects unchanged.

    Keras finds custom layers, losses and functions by registered names, which a
    new process does not have. Here the pickle contains them.
    """
    if isinstance(value, keras.Model):
        return _PackedModel(value)
    if type(value) in (list, tuple):
        return type(value)(map(packed, value))
    if type(value) is dict:
        return {name: packed(part) for name, part in value.items()}
    # A class is pickled by its name, like all classes.
    if hasattr(value, "get_config") and not isinstance(value, type):
        return _PackedConfig(value)
    return value


def unpacked(value: Any) -> Any:
    """Return the original of a packed object."""
    if isinstance(value, (_PackedModel, _PackedConfig)):
        return value.load()
    if type(value) in (list, tuple):
        return type(value)(map(unpacked, value))
    if type(value) is dict:
        return {name: unpacked(part) for name, part in value.items()}
    return value


class _PackedConfig:
    """An optimizer, loss or metric before its first use."""

    def __init__(self, value: Any) -> None:
        check_config_says_all(value)
        self.custom_objects = custom_objects_in(value)
        self.config = keras.saving.serialize_keras_object(value)

    def load(self) -> Any:
        return keras.saving.deserialize_keras_object(
            self.config, custom_objects=self.custom_objects, safe_mode=False
        )


class _PackedModel:
    """A model with its weights, its optimizer's state and its random state."""

    def __init__(self, model: keras.Model) -> None:
        self.custom_objects = custom_objects_of(model)
        self.archive = model_to_bytes(model)
        # Keras leaves out the states of random layers, such as Dropout.
        self.states = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]

    def load(self) -> keras.Model:
        # New layers draw seeds, although their states are then replaced.
        with seeded(0):
            model = model_from_bytes(self.archive, self.custom_objects)
        for variable, state in zip(model.non_trainable_variables, self.states, strict=True):
            variable.assign(state)
        return model
