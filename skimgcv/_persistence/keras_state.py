"""Keras objects as a config and arrays: Keras' own format, except its HDF5 file.

The config is the ``config.json`` of a ``.keras`` file. Weights are separate arrays, since HDF5 is
parsed in C, may have links to other files, and may claim wrong sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from skimgcv._models.custom_objects import custom_objects_in, custom_objects_of
from skimgcv._persistence.keras_config import check_config
from skimgcv._runtime.keras_internals import (
    bits_of,
    layers_in,
    seed_generators,
    sharing,
    variables_wait,
    without_code,
)
from skimgcv._runtime.seeding import seeded
from skimgcv.exceptions import SavedFileError, UnsupportedVersionError

Arrays = list[np.ndarray]


def write_layer(layer: keras.Layer, arrays: Arrays) -> dict[str, Any]:
    """Describe a layer or a compiled model; its state is appended to ``arrays``.

    Raises
    ------
    ValueError
        If it could not be loaded again, for example because of a lambda.
    """
    try:
        with sharing():
            config = keras.saving.serialize_keras_object(layer)
    except TypeError as error:  # for a function without a name in Keras, from 3.16 on
        raise ValueError(f"a file cannot hold {layer.name!r}: {error}") from error
    try:
        check_config(config, {**_registered(), **custom_objects_of(layer)})
    except SavedFileError as error:
        raise ValueError(f"a file cannot hold {layer.name!r}: {error}") from error

    def place(value: Any) -> int:
        # Copied, since convert_to_numpy may share memory with a variable.
        arrays.append(np.array(keras.ops.convert_to_numpy(value)))
        if arrays[-1].dtype.kind not in "biuf":
            raise ValueError(
                f"a file cannot hold {layer.name!r}: it has {arrays[-1].dtype} values"
            )
        return len(arrays) - 1

    own = [
        {name: place(value) for name, value in state.items()} for _, state in _with_state(layer)
    ]
    optimizer = getattr(layer, "optimizer", None)
    return {
        "config": config,
        "layers": own,
        "seeds": [place(seed) for seed in _seeds(layer)],
        "optimizer": [place(v) for v in optimizer.variables] if optimizer is not None else [],
    }


def read_layer(
    described: dict[str, Any], arrays: Arrays, custom_objects: Mapping[str, Any]
) -> keras.Layer:
    """Return the described layer or compiled model.

    Raises
    ------
    SavedFileError
        If it refers to objects that are not allowed, or does not fit its arrays.
    """
    custom_objects = {**_registered(), **custom_objects}
    config = described["config"]
    uses_custom = bool(check_config(config, custom_objects))
    compiled = config.get("compile_config")
    most_bytes = None if uses_custom else sum(array.nbytes for array in arrays)
    try:
        # New layers draw seeds, although their states are then replaced.
        with seeded(0), without_code(), keras.saving.custom_object_scope(custom_objects):
            layer = _made(_not_compiled(config), most_bytes)
            if compiled:
                layer.compile_from_config(compiled)
        _put_in(layer, described, arrays)
    except (SavedFileError, UnsupportedVersionError, MemoryError):
        raise
    except Exception as error:
        raise SavedFileError(f"Keras cannot make its {config['class_name']}: {error}") from error
    return layer


def write_object(value: Any) -> Any:
    """Describe an object without state, such as a loss, or an optimizer before its first step."""
    config = keras.saving.serialize_keras_object(value)
    try:
        check_config({"metrics": config}, {**_registered(), **custom_objects_in(value)})
    except SavedFileError as error:
        raise ValueError(f"a file cannot hold {value!r}: {error}") from error
    return config


def read_object(config: Any, custom_objects: Mapping[str, Any]) -> Any:
    """Return the described object.

    Raises
    ------
    SavedFileError
    """
    custom_objects = {**_registered(), **custom_objects}
    check_config({"metrics": config}, custom_objects)
    try:
        with seeded(0):
            return keras.saving.deserialize_keras_object(
                config, custom_objects=custom_objects, safe_mode=True
            )
    except Exception as error:
        raise SavedFileError(f"Keras cannot make its {config['class_name']}: {error}") from error


def _registered() -> dict[str, Any]:
    return dict(keras.saving.get_custom_objects())


def _not_compiled(config: Any) -> Any:
    """Return a config in which neither the model nor its inner models are compiled."""
    if isinstance(config, dict):
        return {k: _not_compiled(v) for k, v in config.items() if k != "compile_config"}
    return [_not_compiled(v) for v in config] if isinstance(config, list) else config


def _made(config: Any, most_bytes: int | None) -> keras.Layer:
    """Make a layer. If its size is limited, its variables get memory after the size is known.

    A custom layer may need its variables at once.
    """
    if most_bytes is None:
        with sharing():
            return keras.saving.deserialize_keras_object(config)
    with variables_wait() as let_have_memory:
        with keras.StatelessScope(initialize_variables=False), sharing():
            layer = keras.saving.deserialize_keras_object(config)
        asked = sum(map(_bytes, layer.variables))
        if asked > most_bytes:
            raise SavedFileError(
                f"its model asks for {asked} bytes of weights, and the file has {most_bytes}"
            )
        let_have_memory()
    return layer


def _bytes(variable: keras.Variable) -> int:
    return math.prod(variable.shape) * bits_of(variable.dtype) // 8


def _put_in(layer: keras.Layer, described: dict[str, Any], arrays: Arrays) -> None:
    parts = [part for part, _ in _with_state(layer)]
    for part, state in zip(parts, described["layers"], strict=True):
        part.load_own_variables({name: arrays[number] for name, number in state.items()})
    for seed, number in zip(_seeds(layer), described["seeds"], strict=True):
        seed.assign(arrays[number])
    optimizer = getattr(layer, "optimizer", None)
    variables = optimizer.variables if optimizer is not None else []
    for variable, number in zip(variables, described["optimizer"], strict=True):
        variable.assign(arrays[number])


def _with_state(layer: keras.Layer) -> Iterator[tuple[keras.Layer, dict[str, Any]]]:
    """Yield the inner layers of a layer that have their own variables, and these variables."""
    # The input of a Sequential may or may not be one of its layers, and has no variables.
    for part in layers_in(layer):
        state: dict[str, Any] = {}
        part.save_own_variables(state)
        if state:
            yield part, state


def _seeds(layer: keras.Layer) -> Iterator[keras.Variable]:
    """Yield the states of random layers such as Dropout, which Keras' own files lack."""
    for part in layers_in(layer):
        for generator in seed_generators(part):
            yield generator.state
