"""The user's own classes and functions that a Keras object refers to by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

import keras

from skimgcv._runtime.keras_internals import (
    compile_arguments,
    layers_in,
    learning_rate_of,
    spares_variables,
)


def custom_objects_of(model: keras.Model) -> dict[str, Any]:
    """Return the classes and functions of a model that are not Keras' own, by name."""
    return _custom_objects(_kinds_of_model(model))


def custom_objects_in(value: Any) -> dict[str, Any]:
    """Return the classes and functions that an optimizer, loss or metric refers to, by name."""
    return _custom_objects(_kinds(value))


def check_config_says_all(value: Any) -> None:
    """Refuse an optimizer whose config lacks a part of it, so that a copy would lose it.

    Raises
    ------
    ValueError
        If ``exclude_from_weight_decay`` was called on it.
    """
    for part in flat(value):
        if isinstance(part, keras.optimizers.Optimizer) and spares_variables(part):
            raise ValueError(
                "The optimizer excludes variables from weight decay, which a copy of it would "
                "lose, and each fit uses a copy. Make it in the builder, call "
                "exclude_from_weight_decay there, and compile the model with it."
            )


def flat(value: Any) -> Iterator[Any]:
    """Yield the items of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    else:
        yield value


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
    for layer in layers_in(model):
        yield type(layer)
        yield from _kinds(list(vars(layer).values()))
    # A single layer, such as an augmenter, has no compile arguments.
    if getattr(model, "compiled", False):
        yield from _kinds(compile_arguments(model))
        yield from _kinds(model.optimizer)


def _kinds(value: Any) -> Iterator[Any]:
    """Find the classes and functions that a config refers to."""
    for part in flat(value):
        if isinstance(part, (FunctionType, type)):
            yield part
        elif hasattr(part, "get_config"):
            yield type(part)
            yield type(learning_rate_of(part))
            # A loss or metric that wraps a function.
            if isinstance(function := getattr(part, "fn", None), FunctionType):
                yield function
