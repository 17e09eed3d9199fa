"""The attributes of an object on which a compiled step may depend."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import keras

from skimgcv._compiled.code import names_in
from skimgcv._runtime.libraries import is_trusted
from skimgcv._runtime.step_internals import (
    bookkeeping_of,
    is_noted_by_tensorflow,
    is_tracker,
    is_wrapper_of_layers,
)

_OF_CLASSES = {
    "__module__",
    "__qualname__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
    "__annotations_cache__",
    "__annotate__",
    "__annotate_func__",
    "__conditional_annotations__",
    "__abstractmethods__",
    "_abc_impl",
    "__parameters__",
    "__orig_bases__",
    "__firstlineno__",
    "__static_attributes__",
    "__slotnames__",
    "__match_args__",
    "__dataclass_fields__",
    "__dataclass_params__",
}
_OF_CALLBACKS = {"model", "_model", "params"}
# Attributes of Albumentations' transforms that describe the last call, or that we set in each
# call.
_OF_TRANSFORMS = {
    "params",
    "seed",
    "random_generator",
    "py_random",
    "_images_was_list",
    "_masks_was_list",
}
_BUILDERS = {"__init__", "build", "get_config", "from_config", "compute_output_shape"}


# Keras chooses the names of layers without one: dense, dense_1, dense_2.
_NAMED = (keras.Operation, keras.Loss, keras.Metric)


def attributes_of(it: Any) -> Iterator[tuple[str, Any]]:
    """Yield an instance's attributes, sorted by name, without Keras' bookkeeping."""
    skipped = _skipped(it)
    by_keras = is_keras(type(it))
    for name, value in sorted(_state(it)):
        if name in skipped or is_noted_by_tensorflow(name) or is_tracker(value):
            continue
        if isinstance(value, types.FunctionType) and is_wrapper_of_layers(name, value):
            continue
        if isinstance(value, keras.Initializer) and (by_keras or _only_builds(it, name)):
            # It gave only the initial values of the variables.
            value = type(value)
        yield name, value
    if not by_keras and isinstance(it, _NAMED) and not _only_builds(it, "name"):
        yield "name", it.name


def members_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the members of a class of the user, sorted."""
    for name, member in sorted(vars(kind).items()):
        if name not in _OF_CLASSES and not _is_slot(member):
            yield name, _unwrapped(member)


def is_keras(kind: type) -> bool:
    """Whether a class is one of Keras' own."""
    return kind.__module__.partition(".")[0] == "keras"


def is_transform(kind: type) -> bool:
    """Whether a class is, or extends, one of Albumentations'."""
    return any(base.__module__.partition(".")[0] == "albumentations" for base in kind.__mro__)


def _skipped(it: Any) -> set[str]:
    if isinstance(it, keras.callbacks.Callback):
        return _OF_CALLBACKS
    if is_transform(type(it)):
        return _OF_TRANSFORMS
    return bookkeeping_of(it)


def _state(it: Any) -> Iterator[tuple[str, Any]]:
    """Yield an instance's attributes, including those in slots."""
    yield from getattr(it, "__dict__", {}).items()
    for kind in type(it).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(it, name):
                yield name, getattr(it, name)


def _only_builds(it: Any, attribute: str) -> bool:
    """Whether the user's class reads an attribute only while it makes variables."""
    for kind in type(it).__mro__:
        if is_trusted(kind.__module__):
            continue
        for name, member in vars(kind).items():
            if name in _BUILDERS:
                continue
            member = _unwrapped(member)
            functions = member if isinstance(member, tuple) else (member,)
            for function in functions:
                code = getattr(function, "__code__", None)
                if code is not None and attribute in names_in(code):
                    return False
    return True


def _unwrapped(member: Any) -> Any:
    """Return the functions within one of Python's own descriptors."""
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if isinstance(member, property):
        return (member.fget, member.fset, member.fdel)
    if isinstance(member, functools.cached_property):
        return member.func
    return member


def _is_slot(member: Any) -> bool:
    return isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType))
