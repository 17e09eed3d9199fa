"""Keras objects in a pickle, with the user's own classes and functions beside them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

import keras
from keras.src.saving.saving_lib import load_model, save_model

from skimgcv._seeding import seeded


def packed(value: Any) -> Any:
    """Return what stands for a Keras object in a pickle; everything else as it is.

    Keras finds custom layers, losses and functions by registered names, which a
    new process does not have. Here they travel with the object, as all else in a
    pickle does.
    """
    if isinstance(value, keras.Model):
        return _PackedModel(value)
    if any(hasattr(part, "get_config") for part in _flat(value)):
        return _PackedConfig(value)
    return value


def unpacked(value: Any) -> Any:
    """Return the object that ``packed`` was given."""
    return value.load() if isinstance(value, (_PackedModel, _PackedConfig)) else value


def custom_objects_of(model: keras.Model) -> dict[str, Any]:
    """Return the classes and functions of a model that are not Keras' own, by name."""
    return _custom_objects(_kinds_of_model(model))


def custom_objects_in(value: Any) -> dict[str, Any]:
    """Return the classes and functions that an optimizer, loss or metric refers to, by name."""
    return _custom_objects(_kinds(value))


class _PackedConfig:
    """An optimizer, loss or metric that was not used yet, or a list or dict of them."""

    def __init__(self, value: Any) -> None:
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
        archive = io.BytesIO()
        save_model(model, archive)
        self.archive = archive.getvalue()
        # Keras leaves out the states of random layers, such as Dropout.
        self.states = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]

    def load(self) -> keras.Model:
        # Layers that are made draw seeds, though their states are then replaced.
        with seeded(0):
            model = load_model(
                io.BytesIO(self.archive), custom_objects=self.custom_objects, safe_mode=False
            )
        for variable, state in zip(model.non_trainable_variables, self.states, strict=True):
            variable.assign(state)
        return model


def _custom_objects(kinds: Iterable[Any]) -> dict[str, Any]:
    return {
        name: kind
        for kind in kinds
        # Keras writes a lambda's code into its config.
        if kind.__module__.partition(".")[0] not in ("keras", "builtins")
        and kind.__name__ != "<lambda>"
        for name in (kind.__name__, keras.saving.get_registered_name(kind))
    }


def _kinds_of_model(model: keras.Model) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield type(layer)
        yield from _kinds(list(vars(layer).values()))
    if model.compiled:
        yield from _kinds(model._compile_config.config)
        yield from _kinds(model.optimizer)


def _kinds(value: Any) -> Iterator[Any]:
    """Find the classes and functions that a config refers to."""
    for part in _flat(value):
        if isinstance(part, (FunctionType, type)):
            yield part
        elif hasattr(part, "get_config"):
            yield type(part)
            yield type(getattr(part, "_learning_rate", None))
            # A loss or metric that wraps a function.
            if isinstance(function := getattr(part, "fn", None), FunctionType):
                yield function


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value
