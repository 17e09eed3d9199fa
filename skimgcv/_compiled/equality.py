"""Equality of two models: everything that a compiled step depends on, as one comparable key.

A compiled training step is a function of the Python objects that it was traced
from. So the key is a walk over all of them: layers, graph, losses, metrics,
optimizer, and the code, closures, defaults and globals of every function of the user that they
reach. Two models with equal keys compile to the same step, and the i-th variable of one walk is
the counterpart of the i-th of the other.
"""

from __future__ import annotations

import collections
import enum
import functools
import sys
import types
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from skimgcv._compiled.attributes import attributes_of, is_keras, members_of
from skimgcv._compiled.code import is_pure, reads
from skimgcv._compiled.values import (
    Same,
    UnprovableError,
    array_record,
    container_kind,
    is_singular,
    value_record,
)
from skimgcv._runtime.libraries import is_library, is_trusted
from skimgcv._runtime.step_internals import (
    functions_of,
    has_value_of_its_own,
    keras_switches,
    picks_variables_by_name,
    settings_of,
    tensorflow_switches,
    without_name,
)

# CPython's flag for classes made by a class statement.
_HEAP_TYPE = 1 << 9
_AS_THEY_ARE = (type(None), str, bytes, type(Ellipsis), type(NotImplemented))


@dataclass(frozen=True)
class Fingerprint:
    """A model as a key, and its state, which is not in the key.

    Attributes
    ----------
    key : tuple
        Equal for models that compile to the same step.
    variables : list of keras.Variable
        All of the model's state, in the order of the walk.
    optimizers : list of keras.Optimizer
        In the order of the walk: a loss-scaling optimizer comes before its inner one.
    """

    key: Hashable
    variables: list[keras.Variable]
    optimizers: list[keras.optimizers.Optimizer]


def fingerprint(model: keras.Model) -> Fingerprint:
    """Walk over a compiled and built model.

    Raises
    ------
    UnprovableError
        If the model reaches something whose influence on the compiled step cannot
        be compared. The message names it.
    """
    walk = Walk()
    records = tuple(walk.records(model))
    return Fingerprint((global_switches(), records), walk.variables, walk.optimizers)


def global_switches() -> tuple[Hashable, ...]:
    """Return the global settings that a trace uses."""
    if keras.distribution.distribution() is not None:
        raise UnprovableError("a keras.distribution is set")
    switches: list[Hashable] = [
        keras.backend.backend(),
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        str(keras.config.dtype_policy().get_config()),
        *keras_switches(),
        sys.version_info[:2],
    ]
    if keras.backend.backend() == "tensorflow":
        switches += _tensorflow_switches()
    elif keras.backend.backend() == "jax":
        switches += _jax_switches()
    return tuple(switches)


def _tensorflow_switches() -> list[Hashable]:
    import tensorflow as tf

    # A model that was made in a scope is also refused outside of it, since it contains the
    # strategy.
    if tf.distribute.has_strategy():
        raise UnprovableError("a tf.distribute strategy is in scope")
    return [
        tf.config.functions_run_eagerly(),
        tf.config.experimental.tensor_float_32_execution_enabled(),
        str(sorted(tf.config.optimizer.get_experimental_options().items())),
        tf.config.optimizer.get_jit(),
        *tensorflow_switches(),
    ]


def _jax_switches() -> list[Hashable]:
    settings = sys.modules["jax"].config.values
    return [str(sorted((name, str(value)) for name, value in settings.items()))]


class Walk:
    """A walk, breadth first. Objects are numbered when first met, so aliases have equal numbers.

    Identity decides for objects that cannot be described by their parts, so it compares objects of
    one process. ``ContentWalk`` compares objects of different processes.
    """

    def __init__(self) -> None:
        self.variables: list[keras.Variable] = []
        self.optimizers: list[keras.optimizers.Optimizer] = []
        self._number: dict[int, int] = {}
        self._queue: collections.deque[Any] = collections.deque()
        # An id is unique only while the object lives.
        self._alive: list[Any] = []

    def records(self, root: Any) -> Iterator[Hashable]:
        """Describe ``root`` and all that it reaches, an object a record."""
        self.refer(root)
        while self._queue:
            yield self._describe(self._queue.popleft())

    def refer(self, it: Any, called: Any = "") -> Hashable:
        """Return a plain value, or the number of an object with its own record.

        Parameters
        ----------
        it : object
        called : str, int or another key
            Its name in the described object.
        """
        kind = type(it)
        if kind in _AS_THEY_ARE:
            return it
        if kind is types.CodeType:
            return self.code(it)
        if kind is int or kind is bool:
            return (kind.__name__, it)
        if kind is float:
            return ("float", it.hex())
        if kind is complex:
            return ("complex", it.real.hex(), it.imag.hex())
        number = self._number.get(id(it))
        if number is None:
            number = self._number[id(it)] = len(self._number)
            self._alive.append(it)
            self._queue.append(it)
            self._met(called)
        return self._reference(number)

    # -- what ContentWalk does differently ---------------------------------------

    def same(self, it: Any) -> Hashable:
        """Return a key for an object that is not described by its parts."""
        return Same(it)

    def code(self, code: types.CodeType) -> Hashable:
        return code

    def _reference(self, number: int) -> Hashable:
        return number

    def _met(self, called: Any) -> None:
        """Record a new object."""

    def _is_library(self, module: str | None, file: str | None = None) -> bool:
        return is_trusted(module, file)

    def _is_whole_library(self, module: str | None) -> bool:
        """Whether it is enough to know that a module is used."""
        return is_library(module)

    def _is_found_by_name(self, function: types.FunctionType) -> bool:
        # Otherwise made inside another function, perhaps again for each model.
        return "<" not in function.__qualname__

    # -- kinds of objects ----------------------------------------------------------------------

    def _each(self, items: Iterable[Any]) -> tuple[Hashable, ...]:
        return tuple([self.refer(it, place) for place, it in enumerate(items)])

    def _pairs(self, items: Iterable[tuple[Any, Any]]) -> tuple[Hashable, ...]:
        return tuple([(self.refer(k), self.refer(v, k)) for k, v in items])

    def _describe(self, it: Any) -> Hashable:
        if isinstance(it, keras.Variable):
            return self._variable(it)
        if isinstance(it, dict):
            return ("dict", container_kind(it), self._pairs(it.items()))
        if (loss := without_name(it)) is not None:
            return ("loss", self._each(loss))
        if isinstance(it, (list, tuple, collections.deque)):
            return ("list", container_kind(it), self._each(it))
        if isinstance(it, (set, frozenset)):
            return self._set(it)
        if isinstance(it, type):
            return self._class(it)
        if isinstance(it, types.FunctionType):
            return self._function(it)
        if isinstance(it, types.MethodType):
            return ("method", self.refer(it.__func__), self.refer(it.__self__))
        if isinstance(it, functools.partial):
            return ("partial", self._each((it.func, it.args, it.keywords, vars(it))))
        if isinstance(it, (np.ndarray, np.generic)):
            return array_record(it)
        if isinstance(it, types.ModuleType) and is_pure(it, self._is_whole_library):
            return ("module", self.same(it))
        return self._instance(it)

    def _variable(self, it: keras.Variable) -> Hashable:
        """Describe a variable. Its value is copied, and not compared."""
        self.variables.append(it)
        if not has_value_of_its_own(it):
            raise UnprovableError(f"variable {it.path} has no value yet, or has a layout")
        return ("variable", *settings_of(it), self._each(functions_of(it)))

    def _set(self, it: set[Any] | frozenset[Any]) -> Hashable:
        if all(type(i) is str or type(i) is int for i in it):
            return ("set", frozenset((type(i), i) for i in it))
        raise UnprovableError(f"a set of more than names and numbers: {it!r:.60}")

    def _class(self, it: type) -> Hashable:
        if self._is_library(it.__module__) or issubclass(it, enum.Enum):
            return ("class", self.same(it))
        bases = self._each(it.__mro__[1:])
        return ("class", it.__qualname__, bases, self._pairs(members_of(it)))

    def _function(self, it: types.FunctionType) -> Hashable:
        space = it.__globals__
        by_library = self._is_library(space.get("__name__"), space.get("__file__"))
        if by_library and self._is_found_by_name(it):
            return ("function", self.same(it))
        own = self._each((it.__defaults__, it.__kwdefaults__))
        cells = tuple([self._cell(c) for c in it.__closure__ or ()])
        if by_library:
            return ("function", self.code(it.__code__), own, cells)
        return ("function", self.code(it.__code__), own, cells, *self._outside(it))

    def _outside(self, it: types.FunctionType) -> tuple[Hashable, ...]:
        """Describe the outer values that a function of the user reads, and its attributes."""
        found = reads(it, self._is_whole_library)
        if found.unprovable:
            raise UnprovableError(f"{it.__qualname__} uses {found.unprovable}")
        seen = [(k, v) for k, v in sorted(vars(it).items()) if k != "__wrapped__"]
        return (self._pairs(found.values), self._pairs(seen))

    def _cell(self, cell: types.CellType) -> Hashable:
        try:
            content = cell.cell_contents
        except ValueError:  # a name that is not bound yet
            return ("empty cell",)
        # Only the attributes of a module that the function reads are compared.
        return "module" if isinstance(content, types.ModuleType) else self.refer(content)

    def _instance(self, it: Any) -> Hashable:
        kind = type(it)
        if (value := value_record(it)) is not None:
            return value
        if is_singular(it):
            return ("same", self.same(it))
        if kind is types.SimpleNamespace:
            return ("namespace", self._pairs(sorted(vars(it).items())))
        return self._object(it)

    def _object(self, it: Any) -> Hashable:
        kind = type(it)
        if not (is_keras(kind) or not is_trusted(kind.__module__)):
            raise UnprovableError(f"an object of {kind.__module__}.{kind.__qualname__}")
        if is_made_in_c(kind):
            raise UnprovableError(f"an object whose type is written in C: {kind.__qualname__}")
        if isinstance(it, keras.optimizers.Optimizer):
            self._check_optimizer(it)
        return ("object", self.refer(kind), self._pairs(attributes_of(it)))

    def _check_optimizer(self, it: keras.optimizers.Optimizer) -> None:
        self.optimizers.append(it)
        if picks_variables_by_name(it):
            raise UnprovableError("the optimizer picks variables by name")


def is_made_in_c(kind: type) -> bool:
    """Whether a class has a part whose state Python cannot see."""
    return any(not c.__flags__ & _HEAP_TYPE and c is not object for c in kind.__mro__)
