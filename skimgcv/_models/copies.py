"""Copies of objects with state, so that fits do not share it: models, optimizers, callbacks."""

from __future__ import annotations

import copy
from typing import Any

import keras

from skimgcv._models.custom_objects import check_config_says_all, custom_objects_of
from skimgcv._runtime.keras_internals import compile_arguments, learning_rate_of, with_code


def fresh_copy(model: keras.Model) -> keras.Model:
    """Clone a model with new weights, and compile it like the original."""
    # Safe mode protects from files; these lambdas are the caller's own.
    with with_code(), keras.saving.custom_object_scope(custom_objects_of(model)):
        fresh = keras.models.clone_model(model)
    # By its own policy, not those of its layers, Keras decides whether to scale the loss.
    if fresh.dtype_policy.name != model.dtype_policy.name:
        fresh.dtype_policy = model.dtype_policy
    if model.compiled:
        fresh.compile(**{k: unshared(v) for k, v in compile_arguments(model).items()})
    return fresh


def copy_by_config(model: keras.Model) -> keras.Model:
    """Copy a compiled model by the configs of its layers and its loss.

    It may differ where a config does not say all. Copies share dtype policies, as the layers of
    one builder do, and no other object with state.
    """
    copied = keras.models.clone_model(model, clone_function=_with_policy)
    arguments = {k: unshared(v) for k, v in compile_arguments(model).items()}
    loss = arguments["loss"]
    if isinstance(loss, keras.losses.Loss):
        arguments["loss"] = type(loss).from_config(loss.get_config())
    copied.compile(**arguments)
    return copied


def _with_policy(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    if "dtype" in config:
        config["dtype"] = layer.dtype_policy
    return type(layer).from_config(config)


def unshared(argument: Any) -> Any:
    """Copy an object with state, such as an optimizer or a metric."""
    if isinstance(argument, dict):
        return {k: unshared(v) for k, v in argument.items()}
    if isinstance(argument, (list, tuple)):
        return [unshared(v) for v in argument]
    if isinstance(argument, keras.optimizers.Optimizer):
        check_config_says_all(argument)
        schedule = type(learning_rate_of(argument))
        with keras.saving.custom_object_scope({schedule.__name__: schedule}):
            return type(argument).from_config(argument.get_config())
    if isinstance(argument, keras.metrics.Metric):
        return type(argument).from_config(argument.get_config())
    return argument


def copy_callbacks(callbacks: Any) -> Any:
    """Copy instances and call functions, also in lists and dicts; SciKeras calls classes."""
    if isinstance(callbacks, dict):
        return {k: copy_callbacks(v) for k, v in callbacks.items()}
    if isinstance(callbacks, (list, tuple)):
        return [copy_callbacks(c) for c in callbacks]
    if callable(callbacks) and not isinstance(callbacks, type):
        made = callbacks()
        for callback in made if isinstance(made, (list, tuple)) else [made]:
            check_callback(callback)
        return list(made) if isinstance(made, (list, tuple)) else made
    if not isinstance(callbacks, keras.callbacks.Callback):
        return callbacks
    new = copy.copy(callbacks)
    # A model of an earlier fit is not copied, since set_model() replaces it.
    vars(new).update(
        (k, _copy_value(v)) for k, v in vars(callbacks).items() if not isinstance(v, keras.Model)
    )
    return new


def check_callback(callback: Any) -> None:
    if not isinstance(callback, keras.callbacks.Callback):
        raise TypeError(
            "callbacks must be of keras.callbacks.Callback, their classes, or functions that "
            f"give them; got {callback!r}."
        )


def _copy_value(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # files, locks and clients are shared, as in Keras
        return value
