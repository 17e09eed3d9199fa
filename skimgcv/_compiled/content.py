"""Equality of two fits in different processes: a walk over everything that decides their result.

Within one process, identity decides. Here content decides: names of a library's classes and
functions, code of the user's, values of arrays and variables. Other things cannot be compared.
"""

from __future__ import annotations

import collections.abc
import enum
import hashlib
import random
import re
import sys
import types
from collections.abc import Hashable, Iterator
from typing import Any

import keras
import numpy as np

from skimgcv._compiled.attributes import attributes_of, is_keras, is_transform
from skimgcv._compiled.canonical import Reference, digest
from skimgcv._compiled.code import reads
from skimgcv._compiled.equality import Walk, is_made_in_c
from skimgcv._compiled.values import UnprovableError
from skimgcv._files.image_files import ImageFiles
from skimgcv._runtime.keras_internals import CHOICES_OF_VARIABLES
from skimgcv._runtime.libraries import package_of, versions_of
from skimgcv.augment._keras import LayerAugmenter

_DRAWN_FROM = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)
_PLAIN = (type(None), str, bytes, bool, int, float, complex, type(Ellipsis))
# With these a class decides what its pickle contains, which may be less than all of it.
_PICKLED_BY = {"__reduce__", "__reduce_ex__", "__getstate__"}


def content_digest(root: Any) -> str:
    """Return a digest that only equal objects have, in this process and in others.

    Raises
    ------
    UnprovableError
        If something is reached that cannot be compared. The message names it.
    """
    walk = ContentWalk()
    said = digest(list(walk.records(root)))
    return f"{said} {versions_of(walk.packages)}"


class ContentWalk(Walk):
    """A walk whose records are plain values.

    Attributes
    ----------
    packages : set of str
        The packages whose names identify things.
    """

    def __init__(self) -> None:
        super().__init__()
        self.packages: set[str] = set()
        # For each object: the number of the object that contains it, and its name there.
        self._found: list[tuple[int, Any]] = []
        self._at = -1

    def records(self, root: Any) -> Iterator[Hashable]:
        """Describe ``root`` and all objects that it reaches, one record for each."""
        try:
            yield from super().records(root)
        except UnprovableError as reason:
            raise UnprovableError(f"{self._place(self._at)}: {reason}") from reason

    def _place(self, number: int) -> str:
        parts = []
        while number > 0:
            number, called = self._found[number]
            is_attribute = isinstance(called, str)
            parts.append(f".{called}".rstrip(".") if is_attribute else f"[{called!r:.40}]")
        return "".join(reversed(parts)).strip(".") or "it"

    def _met(self, called: Any) -> None:
        self._found.append((self._at, called))

    def refer(self, it: Any, called: Any = "") -> Hashable:
        """Return a plain value, or a reference to an object with its own record."""
        if type(it) is tuple and _is_plain(it):
            return ("tuple", *[self.refer(part) for part in it])
        return super().refer(it, called)

    def _reference(self, number: int) -> Hashable:
        return Reference(number)

    # -- things that a name identifies ---------------------------------------------------------

    def same(self, it: Any) -> Hashable:
        """Return the name of a library's object, if there is only one of it."""
        if type(it) is object:
            return "object"
        if isinstance(it, enum.Enum):
            return (self.refer(type(it)), str(it.name), self.refer(it.value, "value"))
        if isinstance(it, types.ModuleType):
            self._is_library(it.__name__)
            return it.__name__
        if isinstance(it, type) and issubclass(it, enum.Enum) and not self._library(it):
            return self._users_enum(it)
        if isinstance(it, np.ufunc):
            return _ufunc_name(it)
        if isinstance(it, types.BuiltinFunctionType):
            return self._name_in_c(it)
        return f"{it.__module__}.{it.__qualname__}"

    def _name_in_c(self, it: types.BuiltinFunctionType) -> str:
        home = getattr(it.__self__, "__name__", None) or _home_of(it, self._is_whole_library)
        if home is None or not self._is_library(home):
            raise UnprovableError(f"a function in C, {it.__qualname__}")
        return f"{home}.{it.__qualname__}"

    def _users_enum(self, it: type[enum.Enum]) -> Hashable:
        members = self._pairs((name, member.value) for name, member in it.__members__.items())
        own = sorted((k, v) for k, v in vars(it).items() if isinstance(v, types.FunctionType))
        return (it.__qualname__, members, self._pairs(own))

    def _library(self, it: Any) -> bool:
        return self._is_library(it.__module__)

    def _is_library(self, module: str | None, file: str | None = None) -> bool:
        package = package_of(module, file)
        if package is not None:
            self.packages.add(package)
        return package is not None

    def _is_whole_library(self, module: str | None) -> bool:
        package = package_of(module)
        return package is not None and package != "python"

    def _is_found_by_name(self, function: types.FunctionType) -> bool:
        found: Any = sys.modules.get(function.__module__ or "")
        for part in function.__qualname__.split("."):
            found = getattr(found, part, None)
        return found is function

    # -- things that their content identifies
    # ------------------------------------------------------

    def code(self, code: types.CodeType) -> Hashable:
        """Describe what code does, independent of its file."""
        return (
            code.co_name,
            code.co_code,
            tuple([self._constant(c) for c in code.co_consts]),
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_cellvars,
            (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
            getattr(code, "co_exceptiontable", b""),
        )

    def _constant(self, constant: Any) -> Hashable:
        if isinstance(constant, tuple):
            return ("tuple", *map(self._constant, constant))
        if isinstance(constant, frozenset):
            return frozenset(map(self._constant, constant))
        return self.refer(constant)

    def _variable(self, it: keras.Variable) -> Hashable:
        place = super()._variable(it)
        value = np.asarray(keras.ops.convert_to_numpy(it))
        return (place, hashlib.blake2b(np.ascontiguousarray(value).tobytes()).digest())

    def _class(self, it: type) -> Hashable:
        if "<locals>" in it.__qualname__ and self._library(it):
            raise UnprovableError(f"a class that {it.__module__} made while it ran")
        return super()._class(it)

    def _outside(self, it: types.FunctionType) -> tuple[Hashable, ...]:
        if written := reads(it, self._is_whole_library).writes:
            raise UnprovableError(
                f"{it.__qualname__} changes {written}, which no checkpoint keeps"
            )
        return super()._outside(it)

    def _set(self, it: set[Any] | frozenset[Any]) -> Hashable:
        if not all(map(_is_plain, it)):
            raise UnprovableError(f"a set of more than plain values: {it!r:.60}")
        return ("set", frozenset(self._constant(part) for part in it))

    def _describe(self, it: Any) -> Hashable:
        self._at += 1
        if isinstance(it, np.ndarray) and it.dtype.hasobject and it.dtype.names is None:
            return ("objects", it.shape, self._each(it.ravel().tolist()))
        if isinstance(it, np.ma.MaskedArray):
            return ("masked", self._each((it.data, np.ma.getmaskarray(it), it.fill_value)))
        if _is_more_than_its_items(it):
            return self._pickled(it)
        return super()._describe(it)

    def _object(self, it: Any) -> Hashable:
        kind = type(it)
        if isinstance(it, types.ModuleType):
            raise UnprovableError(f"the module {it.__name__}")
        if isinstance(it, _DRAWN_FROM):
            raise UnprovableError(f"a {kind.__qualname__}, which moves on while it is drawn from")
        if any(c.__name__ == "Variable" and self._library(c) for c in kind.__mro__):
            raise UnprovableError("a variable that is not Keras', which no checkpoint keeps")
        if isinstance(it, collections.abc.Iterator):
            raise UnprovableError(f"a {kind.__qualname__}, which moves on while it is read")
        if hasattr(it, "cache_parameters") and hasattr(it, "__wrapped__"):
            return ("cached", self.refer(it.__wrapped__))
        if isinstance(it, ImageFiles):
            return ("files", it.fingerprint())
        if isinstance(it, LayerAugmenter):
            state = {**it.__getstate__()}
            return ("augmenting", self._layers(state.pop("layer")), self._state(state))
        by_parts = is_transform(kind) or any(map(is_keras, kind.__mro__))
        if (by_parts or not self._library(kind)) and not is_made_in_c(kind):
            return ("object", self.refer(kind), self._pairs(_attributes_of(it)))
        return self._pickled(it)

    def _layers(self, described: tuple[type, Any, Any]) -> Hashable:
        """Describe layers that augment. Their seeds come with each image."""
        kind, config, state = described
        if state is None:
            return ("layers", self.refer(kind), tuple([self._layers(step) for step in config]))
        left_out = {"name", "seed"} if is_keras(kind) else {"name"}
        kept = sorted((k, _unnumbered(v)) for k, v in config.items() if k not in left_out)
        return ("layer", self.refer(kind), self._pairs(kept), self.refer(state))

    def _pickled(self, it: Any) -> Hashable:
        """Describe an object by the content of its pickle."""
        kind = type(it)
        own = [c for c in kind.__mro__ if not self._library(c) and _PICKLED_BY & set(vars(c))]
        try:
            if own:
                raise TypeError("its class pickles itself")
            parts = it.__reduce_ex__(4)
        except Exception as error:
            raise UnprovableError(f"an object of {kind.__module__}.{kind.__qualname__}") from error
        if isinstance(parts, str):  # the name of an object that exists once
            if not self._is_library(getattr(it, "__module__", None)):
                raise UnprovableError(f"an object of {kind.__module__}.{kind.__qualname__}")
            return ("same", f"{it.__module__}.{parts}")
        make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        return (
            "made",
            self.refer(make),
            self._each(arguments),
            self._state(state),
            self._each(items or ()),
            self._pairs(pairs or ()),
        )

    def _state(self, state: Any) -> Hashable:
        if isinstance(state, dict) and all(isinstance(name, str) for name in state):
            return self._pairs(sorted(state.items()))
        return self.refer(state)


def _attributes_of(it: Any) -> Iterator[tuple[str, Any]]:
    for name, value in attributes_of(it):
        # The order of names in their pattern differs between processes.
        if not (isinstance(it, keras.optimizers.Optimizer) and name in CHOICES_OF_VARIABLES):
            yield name, value
    if isinstance(it, (keras.Operation, keras.Metric)):
        yield "its name", _given_name(it)


def _given_name(it: Any) -> str:
    """Return a name without Keras' counter."""
    base = re.sub(r"_\d+$", "", it.name)
    squeezed = re.sub(r"[\W_]", "", type(it).__name__).lower()
    return base if base.replace("_", "").endswith(squeezed) else str(it.name)


def _unnumbered(config: Any) -> Any:
    """Remove the names and seeds of inner layers from a config."""
    if isinstance(config, (list, tuple)):
        return [_unnumbered(part) for part in config]
    if not isinstance(config, dict):
        return config
    if {"class_name", "config", "module"} <= set(config) and isinstance(config["config"], dict):
        inner = {k: v for k, v in config["config"].items() if k not in ("name", "seed")}
        config = config | {"config": inner}
    return {name: _unnumbered(value) for name, value in config.items()}


def _home_of(function: types.BuiltinFunctionType, is_library: Any) -> str | None:
    """Find the module of a function in C that does not know it, such as OpenCV's."""
    name = function.__name__
    homes = [
        place
        for place, module in list(sys.modules.items())
        if getattr(module, "__dict__", {}).get(name) is function
    ]
    return min(filter(is_library, homes), key=lambda n: (n.count("."), len(n), n), default=None)


def _ufunc_name(it: np.ufunc) -> str:
    for home in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(home), it.__name__, None) is it:
            return f"{home}.{it.__name__}"
    raise UnprovableError(f"the ufunc {it.__name__}")


def _is_plain(it: Any) -> bool:
    if type(it) in (tuple, frozenset):
        return all(map(_is_plain, it))
    return type(it) in _PLAIN


def _is_more_than_its_items(it: Any) -> bool:
    """Whether a container has a class or a setting that counts in addition to its items."""
    kind = type(it)
    if kind in (list, tuple, dict, set, frozenset):
        return False
    if not isinstance(it, (list, tuple, dict, set, frozenset, collections.deque)):
        return False
    if hasattr(kind, "_fields") and kind.__bases__ == (tuple,):
        return False
    # These wrap the lists and dicts of layers.
    return kind.__module__.partition(".")[0] not in ("keras", "tensorflow")
