"""Parameters and fitted values as JSON and arrays, with references to code by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from skimgcv._persistence.keras_config import harmless_symbol
from skimgcv._persistence.keras_state import read_layer, read_object, write_layer, write_object
from skimgcv._runtime.keras_internals import public_name
from skimgcv.augment._adapters import own_augmenters
from skimgcv.augment._protocol import SavableAugmenter
from skimgcv.exceptions import SavedFileError

_PLAIN = (type(None), bool, int, str)
_TYPES = (
    *("float", "tuple", "dict", "dtype", "numpy type", "objects", "array", "scalar"),
    *("augmenter", "Keras layer", "Keras object", "Keras class", "reference"),
)
"""The names of kinds of values in a file, in addition to our augmenters. They must not change."""


class NotInFile:
    """A placeholder for a parameter that a file refers to, and that ``load`` did not get."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind

    def __repr__(self) -> str:
        return f"NotInFile({self.name!r}, {self.kind!r})"

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ValueError(missing(self))


def missing(reference: NotInFile) -> str:
    """Return a message that says what to pass for a reference."""
    name = reference.name
    return (
        f"{name!r} ({reference.kind}) is code, which the file that this classifier was loaded "
        f"from does not hold; load(path, custom_objects={{{name!r}: ...}}), or set_params"
    )


def find_missing(value: Any) -> NotInFile | None:
    """Return a reference without an object, in a value or in its items."""
    if isinstance(value, NotInFile):
        return value
    if isinstance(value, SavableAugmenter):
        value = getattr(value, "__dict__", {})
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return next((found for v in value if (found := find_missing(v)) is not None), None)
    return None


class Encoder:
    """Turns values into JSON.

    Attributes
    ----------
    arrays : list of ndarray
        The arrays to which the JSON refers by number.
    """

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def encode(self, value: Any, name: str) -> Any:
        """Describe a parameter or attribute.

        Code becomes a reference by its own name. If it has none, the whole value becomes a
        reference by the parameter's name.
        """
        before = len(self.arrays)
        try:
            return self._encode(value, name)
        except _NamelessError as error:
            del self.arrays[before:]
            return {"type": "reference", "name": name.rstrip("_"), "kind": str(error)}

    def encode_each(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Describe a dict of parameters, some of which may become references."""
        items = [[name, self.encode(value, name)] for name, value in values.items()]
        return {"type": "dict", "items": items}

    def _encode(self, value: Any, name: str) -> Any:
        if type(value) in _PLAIN or (type(value) is float and math.isfinite(value)):
            return value
        if type(value) is float:
            return {"type": "float", "value": repr(value)}
        if type(value) is list:
            return [self._encode(v, name) for v in value]
        if type(value) is tuple:
            return {"type": "tuple", "items": [self._encode(v, name) for v in value]}
        if type(value) is dict:
            items = [[self._encode(k, name), self._encode(v, name)] for k, v in value.items()]
            return {"type": "dict", "items": items}
        return (
            self._array(value, name)
            or self._augmenter(value, name)
            or self._keras(value)
            or _reference(value)
        )

    def _array(self, value: Any, name: str) -> Any:
        if isinstance(value, np.dtype):
            return {"type": "dtype", "value": value.str}
        if isinstance(value, type) and issubclass(value, np.generic):
            return {"type": "numpy type", "value": value.__name__}
        if type(value) is np.ndarray and value.dtype == object:
            items = self._encode(value.ravel().tolist(), name)
            return {"type": "objects", "shape": list(value.shape), "items": items}
        if type(value) is not np.ndarray and not isinstance(value, np.generic):
            return None
        self.arrays.append(np.array(value))
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {"type": kind, "number": len(self.arrays) - 1}

    def _augmenter(self, value: Any, name: str) -> Any:
        if isinstance(value, type) or not isinstance(value, SavableAugmenter):
            return None
        config = value.to_config()
        kind = type(value).__name__
        if own_augmenters().get(kind) is type(value):
            parts = {
                key: self._named(part) if isinstance(part, dict) else self.encode(part, name)
                for key, part in config.items()
            }
            return {"type": kind, **parts}
        items = [[key, part] for key, part in self._named(config).items()]
        return {
            "type": "augmenter",
            "class": _reference(type(value)),
            "config": {"type": "dict", "items": items},
        }

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.encode(value, name) for name, value in values.items()}

    def _keras(self, value: Any) -> Any:
        if isinstance(value, keras.Layer):
            return {"type": "Keras layer", **write_layer(value, self.arrays)}
        if hasattr(value, "get_config") and not isinstance(value, type):
            return {"type": "Keras object", "config": write_object(value)}
        name = public_name(value) if isinstance(value, type) else ""
        if name and harmless_symbol(name) is value:
            return {"type": "Keras class", "name": name}
        return None


class _NamelessError(Exception):
    """An object that is not plain data, and has no name for a reference."""


def _reference(value: Any) -> dict[str, str]:
    named = value if hasattr(value, "__qualname__") else type(value)
    kind = f"{named.__module__}.{named.__qualname__}"
    if not hasattr(value, "__name__") or value.__name__.startswith("<"):
        raise _NamelessError(kind)
    return {
        "type": "reference",
        "name": keras.saving.get_registered_name(value),
        "kind": kind,
    }


class Decoder:
    """Turns JSON back into values.

    Parameters
    ----------
    arrays : list of ndarray
    custom_objects : mapping of str to object
        The objects for references.
    """

    def __init__(self, arrays: list[np.ndarray], custom_objects: Mapping[str, Any]) -> None:
        self._arrays = arrays
        self._custom_objects = custom_objects

    def decode(self, data: Any) -> Any:
        """Return the described value.

        Raises
        ------
        SavedFileError
        """
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        name = str(data.get("type"))
        if own := own_augmenters().get(name):
            return self._read_own_augmenter(own, data)
        if name not in _TYPES:
            raise SavedFileError(f"its values have an unknown type {data.get('type')!r}")
        return getattr(self, "_read_" + name.replace(" ", "_").lower())(data)

    def _read_float(self, data: Any) -> float:
        return float(data["value"])

    def _read_tuple(self, data: Any) -> tuple[Any, ...]:
        return tuple(self.decode(data["items"]))

    def _read_dict(self, data: Any) -> dict[Any, Any]:
        return {self.decode(key): self.decode(value) for key, value in data["items"]}

    def _read_dtype(self, data: Any) -> np.dtype[Any]:
        return np.dtype(str(data["value"]))

    def _read_numpy_type(self, data: Any) -> type[np.generic]:
        return np.dtype(str(data["value"])).type

    def _read_objects(self, data: Any) -> np.ndarray:
        values = np.empty(len(data["items"]), dtype=object)
        values[:] = self.decode(data["items"])
        return values.reshape(data["shape"])

    def _read_array(self, data: Any) -> np.ndarray:
        return self._arrays[data["number"]]

    def _read_scalar(self, data: Any) -> np.generic:
        return self._arrays[data["number"]][()]

    def _read_own_augmenter(self, kind: type[SavableAugmenter], data: Mapping[str, Any]) -> Any:
        parts = {
            key: self._named(part)
            if isinstance(part, dict) and "type" not in part
            else self.decode(part)
            for key, part in data.items()
            if key != "type"
        }
        return _made(kind, parts)

    def _named(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.decode(value) for name, value in data.items()}

    def _read_augmenter(self, data: Any) -> Any:
        """Make an augmenter of the user's own class, which the caller must have passed."""
        kind = self._read_reference(data["class"])
        if isinstance(kind, NotInFile):
            return kind
        # Other classes, such as Keras layers, have a from_config, too, and are checked elsewhere.
        if not isinstance(kind, type) or not issubclass(kind, SavableAugmenter):
            raise SavedFileError(
                f"custom_objects[{data['class']['name']!r}] needs to be the class of an augmenter "
                f"with to_config and from_config; it is {kind!r}"
            )
        return _made(kind, self.decode(data["config"]))

    def _read_keras_layer(self, data: Any) -> keras.Layer:
        return read_layer(data, self._arrays, self._custom_objects)

    def _read_keras_object(self, data: Any) -> Any:
        return read_object(data["config"], self._custom_objects)

    def _read_keras_class(self, data: Any) -> type:
        symbol = harmless_symbol(str(data["name"]))
        if symbol is None:
            raise SavedFileError(f"{data['name']!r} is not a class of Keras that only computes")
        return symbol

    def _read_reference(self, data: Any) -> Any:
        name = str(data["name"])
        if name in self._custom_objects:
            return self._custom_objects[name]
        return NotInFile(name, str(data["kind"]))


def _made(kind: type[SavableAugmenter], config: Mapping[str, Any]) -> Any:
    """Make an augmenter, or return the reference that is missing for it."""
    try:
        return kind.from_config(config)
    except Exception:
        if (reference := find_missing(dict(config))) is not None:
            return reference
        raise
