"""Records of plain values. Equal records mean equal values of equal types."""

from __future__ import annotations

import collections
import enum
import hashlib
import re
import types
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from skimgcv._runtime.libraries import is_trusted

_CONTAINERS = {"tuple": tuple, "deque": collections.deque, "dict": dict, "list": list}


class UnprovableError(Exception):
    """An object was reached whose equality cannot be proved."""


@dataclass(frozen=True)
class Same:
    """An object that equals only itself. The key keeps it alive, so its id stays unique."""

    it: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


def container_kind(it: Any) -> Hashable:
    """Return a container's kind, without the wrappers that Keras and TensorFlow put on.

    For a named tuple, which may be defined again for each model, these are its fields.
    """
    kind = type(it)
    if hasattr(kind, "_fields") and kind.__bases__ == (tuple,):
        whose = kind.__module__ if is_trusted(kind.__module__) else ""
        return (whose, *kind._fields)
    if not is_trusted(kind.__module__):
        raise UnprovableError(f"a container of type {kind.__qualname__}")
    return next(k for k in ("tuple", "deque", "dict", "list") if isinstance(it, _CONTAINERS[k]))


def is_singular(it: Any) -> bool:
    """Whether a process has only one such object, and its name identifies it."""
    if isinstance(it, types.BuiltinFunctionType):
        # Some do not know their module.
        return it.__self__ is None or isinstance(it.__self__, types.ModuleType)
    return isinstance(it, (enum.Enum, np.ufunc)) or type(it) is object


def array_record(it: np.ndarray | np.generic) -> Hashable:
    if it.dtype.hasobject:
        raise UnprovableError("an array of objects")
    data = it.tobytes()
    content = data if len(data) <= 256 else hashlib.blake2b(data).digest()
    return ("array", type(it).__name__, _dtype_record(it.dtype), it.shape, content)


def _dtype_record(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.names is None else repr(dtype)


def value_record(it: Any) -> Hashable | None:
    """Return a record of an object that never changes, or None."""
    kind = type(it)
    if isinstance(it, keras.KerasTensor):
        return ("tensor", tuple(it.shape), it.dtype, it.sparse, getattr(it, "ragged", False))
    if isinstance(it, range):
        return ("range", it.start, it.stop, it.step)
    if isinstance(it, re.Pattern):
        return ("pattern", it.pattern, it.flags)
    if isinstance(it, np.dtype):
        return ("dtype", _dtype_record(it))
    root = kind.__module__.partition(".")[0]
    if root in ("tensorflow", "jaxlib") and kind.__name__ in ("EagerTensor", "ArrayImpl"):
        return ("constant", str(it.dtype), array_record(np.asarray(it)))
    if kind.__name__ in ("TensorShape", "DType") and root == "tensorflow":
        return (kind.__name__, str(it))
    return None
