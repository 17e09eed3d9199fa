"""Checks of Keras configs in files: only objects that just compute are allowed.

Keras' own safe mode refuses only the code of lambdas. A config may name layers that read files or
run programs. Here everything that is not known to be harmless is refused, before Keras reads it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import keras

from skimgcv._runtime.keras_internals import by_public_name, place_in_keras
from skimgcv.exceptions import SavedFileError

# By the place of their definition. Excluded are, for example, Lambda (code), TFSMLayer,
# TorchModuleWrapper and JaxLayer (programs), StringLookup, IntegerLookup and TextVectorization
# (they read files), and operations that take functions.
_HARMLESS = (
    "activations.",
    "constraints.",
    "dtype_policies.",
    "initializers.",
    "layers.activations.",
    "layers.attention.",
    "layers.convolutional.",
    "layers.core.dense",
    "layers.core.einsum_dense",
    "layers.core.embedding",
    "layers.core.identity",
    "layers.core.input_layer",
    "layers.core.masking",
    "layers.merging.",
    "layers.normalization.",
    "layers.pooling.",
    "layers.preprocessing.image_preprocessing.",
    "layers.preprocessing.normalization",
    "layers.preprocessing.pipeline",
    "layers.preprocessing.rescaling",
    "layers.regularization.",
    "layers.reshaping.",
    "layers.rnn.",
    "losses.",
    "metrics.",
    "models.functional",
    "models.model",
    "models.sequential",
    "ops.image",
    "ops.linalg",
    "ops.math",
    "ops.nn",
    "ops.numpy",
    "optimizers.",
    "random.seed_generator",
    "regularizers.",
)
_FUNCTIONS = ("activations.", "losses.", "metrics.", "initializers.")
_BUILT_IN_FUNCTIONS = ("activations", "losses", "metrics", "initializers", "regularizers")
_SPECIAL = (
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__ellipsis__",
    "__slice__",
)
_DTYPES = {
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
}
_MOST_THRESHOLDS = 10_000
"""New metrics allocate memory by the square of these numbers."""


def check_config(config: Any, custom_objects: Mapping[str, Any]) -> set[str]:
    """Refuse a config that refers to anything except harmless parts of Keras or custom objects.

    Parameters
    ----------
    config : JSON
        The result of ``keras.saving.serialize_keras_object``.
    custom_objects : mapping of str to object
        The caller's own registry.

    Returns
    -------
    set of str
        The names of the custom objects that it uses.

    Raises
    ------
    SavedFileError
        The message names the refused object.
    """
    used: set[str] = set()
    if isinstance(config, dict):
        if "class_name" in config:
            used |= _check_object(config, custom_objects)
        for key in ("metrics", "weighted_metrics"):
            _check_sizes(config.get(key))
    if isinstance(config, (dict, list, tuple)):
        for value in config.values() if isinstance(config, dict) else config:
            used |= check_config(value, custom_objects)
    return used


def harmless_symbol(name: str) -> Any:
    """Return the class of Keras with a public name such as "keras.losses.Hinge", or None."""
    symbol = by_public_name(name)
    return symbol if isinstance(symbol, type) and _is_harmless(symbol) else None


def _check_object(config: dict[str, Any], custom_objects: Mapping[str, Any]) -> set[str]:
    name, registered = config["class_name"], config.get("registered_name")
    # Without a module Keras would treat it as a config of its older formats.
    needed = {"config"} if name in _SPECIAL else {"config", "module"}
    if not isinstance(name, str) or not needed <= set(config):
        raise SavedFileError("its model has a config of an unknown form")
    if name == "function":
        return _check_function(config, custom_objects)
    if name in _SPECIAL:
        _check_special(config.get("config"))
    elif isinstance(registered, str) and registered in custom_objects:
        return {registered}
    elif registered not in (None, name) or not _is_harmless(_class_of(config)):
        raise _refused(name, config["module"])
    return set()


def _check_special(value: Any) -> None:
    if isinstance(value, dict) and value.get("dtype", "float32") not in _DTYPES:
        raise SavedFileError(f"its model has a constant of dtype {value['dtype']!r}")


def _check_function(config: dict[str, Any], custom_objects: Mapping[str, Any]) -> set[str]:
    name, module = config["config"], config["module"]
    if isinstance(name, str) and name in custom_objects:
        return {name}
    modules = [f"keras.{m}" for m in _BUILT_IN_FUNCTIONS] if module == "builtins" else [module]
    found = [by_public_name(f"{m}.{name}") for m in modules]
    if not any(f and place_in_keras(f).startswith(_FUNCTIONS) for f in found):
        raise _refused(name, module)
    return set()


def _class_of(config: dict[str, Any]) -> Any:
    module, name = config.get("module"), config["class_name"]
    if not isinstance(module, str):
        return None
    public = by_public_name(f"{module}.{name}")
    # Nothing is imported for it: Keras' own classes are loaded already.
    return public if public is not None else getattr(sys.modules.get(module), name, None)


def _is_harmless(kind: Any) -> bool:
    return (
        isinstance(kind, type)
        and place_in_keras(kind).startswith(_HARMLESS)
        and (kind is keras.DTypePolicy or hasattr(kind, "from_config"))
    )


def _check_sizes(config: Any) -> None:
    values = config.values() if isinstance(config, dict) else config
    if isinstance(config, int) and config > _MOST_THRESHOLDS:
        raise SavedFileError(f"a metric of its model asks for {config} values")
    if isinstance(config, (dict, list, tuple)):
        for value in values:
            _check_sizes(value)


def _refused(name: Any, module: Any) -> SavedFileError:
    return SavedFileError(
        f"its model uses {name!r} of {module!r}, which is not one of the parts of Keras that only "
        f"compute. If you know and trust it, pass custom_objects={{{name!r}: ...}}"
    )
