"""When two models are equal: everything that a compiled step bakes in, as one comparable key.

A compiled training step is a function of the Python objects that it was traced
from. So the key is a walk over all of them: layers, graph, losses, metrics,
optimizer, and the code, closures, defaults and globals of every function of the
user's that they reach. Two models with equal keys compile to the same step, and
the i-th variable of one walk is the counterpart of the i-th of the other.
"""

from __future__ import annotations

import collections
import enum
import functools
import hashlib
import re
import sys
import types
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.ops.symbolic_arguments import SymbolicArguments
from keras.src.utils.tracking import Tracker

from skimgcv._code import is_trusted, names_in, reads

# What Keras keeps on its objects that no trace depends on: names, bookkeeping, results of
# the last call, and what is derived from something that is walked anyway.
_BOOKKEEPING = {
    "name",
    "_name",
    "_path",
    "_parent_path",
    "_lock",
    "_auto_config",
    "_tracked",
    "_obj_reference_counts_dict",
}
_OF_LAYERS = {
    "_inbound_nodes",
    "_outbound_nodes",
    "_call_signature",
    "_called",
    "_build_shapes_dict",
    "_losses",
    "_loss_ids",
    "_losses_override",
    "_saved_model_inputs_spec",
    "_saved_model_arg_spec",
    "_nodes",
    "_operations_by_depth",
    "output_names",
}
_OF_MODELS = {
    "train_function",
    "test_function",
    "predict_function",
    "history",
    "stop_training",
    "stop_evaluating",
    "stop_predicting",
    "_initial_epoch",
    "_eval_epoch_iterator",
    "_compile_config",
    "_compiled_trainable_state",
    "_jax_state",
    "_jax_state_synced",
}
_OF_OPTIMIZERS = {
    "_trainable_variables_indices",
    "_distribution_strategy",
    "_exclude_from_weight_decay_cache",
}
_OF_CLASSES = {
    "__module__",
    "__qualname__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
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
_BUILDERS = {"__init__", "build", "get_config", "from_config", "compute_output_shape"}
_CONTAINERS = {"tuple": tuple, "deque": collections.deque, "dict": dict, "list": list}
# CPython's flag of classes that were made by a class statement.
_HEAP_TYPE = 1 << 9
_AS_THEY_ARE = (type(None), bool, str, bytes, type(Ellipsis), types.CodeType)


class UnprovableError(Exception):
    """Something was reached of which equality cannot be shown."""


@dataclass(frozen=True)
class _Same:
    """An object that equals itself only; the key keeps it alive, so that its id stays its own."""

    it: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


@dataclass(frozen=True)
class Fingerprint:
    """A model as a key, and what the key left out because it is state.

    Attributes
    ----------
    key : tuple
        Equal for models that compile to the same step.
    variables : list of keras.Variable
        All of the model's state, in the order of the walk.
    optimizers : list of keras.Optimizer
        In the order of the walk: a loss-scaling one comes before the one inside.
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
    walk = _Walk()
    records = tuple(walk.records(model))
    return Fingerprint((global_switches(), records), walk.variables, walk.optimizers)


def global_switches() -> tuple[Hashable, ...]:
    """Return what a trace takes from global settings."""
    if keras.distribution.distribution() is not None:
        raise UnprovableError("a keras.distribution is set")
    switches: list[Hashable] = [
        keras.backend.backend(),
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        str(keras.config.dtype_policy().get_config()),
        global_state.get_global_attribute("flash_attention"),
        sys.version_info[:2],
    ]
    if keras.backend.backend() == "tensorflow":
        switches += _tensorflow_switches()
    elif keras.backend.backend() == "jax":
        switches += _jax_switches()
    return tuple(switches)


def _tensorflow_switches() -> list[Hashable]:
    import tensorflow as tf
    from tensorflow.python.eager import context
    from tensorflow.python.framework.config import is_op_determinism_enabled

    if tf.distribute.has_strategy():
        raise UnprovableError("a tf.distribute strategy is in scope")
    return [
        tf.config.functions_run_eagerly(),
        is_op_determinism_enabled(),
        tf.config.experimental.tensor_float_32_execution_enabled(),
        str(sorted(tf.config.optimizer.get_experimental_options().items())),
        tf.config.optimizer.get_jit(),
        context.context().device_name,
    ]


def _jax_switches() -> list[Hashable]:
    import jax

    return [str(sorted((k, str(v)) for k, v in jax.config.values.items()))]


class _Walk:
    """Breadth first, each object numbered when it is first met; aliases become equal numbers."""

    def __init__(self) -> None:
        self.variables: list[keras.Variable] = []
        self.optimizers: list[keras.optimizers.Optimizer] = []
        self._number: dict[int, int] = {}
        self._queue: collections.deque[Any] = collections.deque()
        # An id is an object's own only while the object lives.
        self._alive: list[Any] = []

    def records(self, root: Any) -> Iterator[Hashable]:
        """Describe ``root`` and all that it reaches, an object a record."""
        self.refer(root)
        while self._queue:
            yield self._describe(self._queue.popleft())

    def refer(self, it: Any) -> Hashable:
        """Return a value itself, or the number of an object that has a record of its own."""
        kind = type(it)
        if kind in _AS_THEY_ARE:
            return it
        if kind is int:
            return ("int", it)
        if kind is float:
            return ("float", it.hex())
        if kind is complex:
            return ("complex", it.real.hex(), it.imag.hex())
        number = self._number.get(id(it))
        if number is None:
            number = self._number[id(it)] = len(self._number)
            self._alive.append(it)
            self._queue.append(it)
        return number

    def _each(self, items: Iterable[Any]) -> tuple[Hashable, ...]:
        return tuple([self.refer(i) for i in items])

    def _pairs(self, items: Iterable[tuple[Any, Any]]) -> tuple[Hashable, ...]:
        return tuple([(self.refer(k), self.refer(v)) for k, v in items])

    def _describe(self, it: Any) -> Hashable:
        if isinstance(it, keras.Variable):
            return self._variable(it)
        if isinstance(it, dict):
            return ("dict", _container(it), self._pairs(it.items()))
        if isinstance(it, (list, tuple, collections.deque)):
            return ("list", _container(it), self._each(it))
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
            return _array(it)
        if isinstance(it, types.ModuleType):
            return ("module", _Same(it))
        return self._instance(it)

    def _variable(self, it: keras.Variable) -> Hashable:
        """Describe a place for state; its value is put in, not compared."""
        self.variables.append(it)
        if it._value is None or it._layout is not None:
            raise UnprovableError(f"variable {it.path} has no value yet, or has a layout")
        return (
            "variable",
            tuple(it._shape),
            it._dtype,
            it._trainable,
            it._autocast,
            it._aggregation,
            it._synchronization,
            it._overwrite_with_gradient,
            self._each((it._regularizer, it._constraint)),
        )

    def _set(self, it: set[Any] | frozenset[Any]) -> Hashable:
        if all(type(i) is str or type(i) is int for i in it):
            return ("set", frozenset((type(i), i) for i in it))
        raise UnprovableError(f"a set of more than names and numbers: {it!r:.60}")

    def _class(self, it: type) -> Hashable:
        if is_trusted(it.__module__) or issubclass(it, enum.Enum):
            return ("class", _Same(it))
        body = [(k, v) for k, v in sorted(vars(it).items()) if k not in _OF_CLASSES]
        members = [(k, _unwrapped(v)) for k, v in body if not _is_slot(v)]
        return ("class", it.__qualname__, self._each(it.__mro__[1:]), self._pairs(members))

    def _function(self, it: types.FunctionType) -> Hashable:
        own = self._each((it.__defaults__, it.__kwdefaults__))
        cells = tuple([self._cell(c) for c in it.__closure__ or ()])
        if is_trusted(it.__globals__.get("__name__")):
            if not cells and not _is_local(it):
                return ("function", _Same(it))
            return ("function", it.__code__, own, cells)
        found = reads(it)
        if found.unprovable:
            raise UnprovableError(f"{it.__qualname__} uses {found.unprovable}")
        seen = [(k, v) for k, v in sorted(vars(it).items()) if k != "__wrapped__"]
        return (
            "function",
            it.__code__,
            own,
            cells,
            self._pairs(found.values),
            self._pairs(seen),
        )

    def _cell(self, cell: types.CellType) -> Hashable:
        try:
            return self.refer(cell.cell_contents)
        except ValueError:  # a name that is not bound yet
            return ("empty cell",)

    def _instance(self, it: Any) -> Hashable:
        kind = type(it)
        if (value := _by_value(it)) is not None:
            return value
        if not (_is_keras(kind) or not is_trusted(kind.__module__)):
            raise UnprovableError(f"an object of {kind.__module__}.{kind.__qualname__}")
        if any(not c.__flags__ & _HEAP_TYPE and c is not object for c in kind.__mro__):
            raise UnprovableError(f"an object whose type is written in C: {kind.__qualname__}")
        if isinstance(it, keras.optimizers.Optimizer):
            self._check_optimizer(it)
        return ("object", self.refer(kind), self._pairs(self._attributes(it)))

    def _check_optimizer(self, it: keras.optimizers.Optimizer) -> None:
        self.optimizers.append(it)
        for choosing in ("_exclude_from_weight_decay", "exclude_layers"):
            if getattr(it, choosing, None):
                raise UnprovableError("the optimizer picks variables by name")
        if getattr(it, "_exclude_from_weight_decay_pattern", None) is not None:
            raise UnprovableError("the optimizer picks variables by name")

    def _attributes(self, it: Any) -> Iterator[tuple[str, Any]]:
        skipped = _skipped(it)
        by_keras = _is_keras(type(it))
        for name, value in sorted(_state(it)):
            if name in skipped or name.startswith("_self_") or isinstance(value, Tracker):
                continue
            if isinstance(value, types.FunctionType) and _is_kerass_wrapper(name, value):
                continue
            if isinstance(value, keras.Initializer) and (by_keras or _only_builds(it, name)):
                # It gave the values that the variables had at first, and nothing else.
                value = type(value)
            yield name, value
        if not by_keras and isinstance(it, keras.Operation) and not _only_builds(it, "name"):
            yield "name", it.name


def _skipped(it: Any) -> set[str]:
    if isinstance(it, keras.Model):
        return _BOOKKEEPING | _OF_LAYERS | _OF_MODELS
    if isinstance(it, keras.Operation):
        return _BOOKKEEPING | _OF_LAYERS
    if isinstance(it, keras.optimizers.Optimizer):
        return _BOOKKEEPING | _OF_OPTIMIZERS
    if isinstance(it, keras.random.SeedGenerator):
        return _BOOKKEEPING | {"_initial_seed"}
    if isinstance(it, SymbolicArguments):
        return {"_flat_arguments", "_single_positional_tensor", "keras_tensors"}
    if _is_keras(type(it)):
        return _BOOKKEEPING | {"output_names"}
    return set()


def _state(it: Any) -> Iterator[tuple[str, Any]]:
    """Yield an instance's attributes, those in slots as well."""
    yield from getattr(it, "__dict__", {}).items()
    for kind in type(it).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(it, name):
                yield name, getattr(it, name)


def _only_builds(it: Any, attribute: str) -> bool:
    """Whether the user's class reads an attribute nowhere but where variables are made."""
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
    """Return what a class keeps behind a descriptor of Python's own."""
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if isinstance(member, property):
        return (member.fget, member.fset, member.fdel)
    if isinstance(member, functools.cached_property):
        return member.func
    return member


def _is_slot(member: Any) -> bool:
    return isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType))


def _is_keras(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _is_kerass_wrapper(name: str, value: types.FunctionType) -> bool:
    # Keras puts these on each layer; what they wrap is in the layer's class.
    return (
        name in ("build", "quantize") and value.__globals__["__name__"] == keras.Layer.__module__
    )


def _is_local(function: types.FunctionType) -> bool:
    return "<locals>" in function.__qualname__ or "<lambda>" in function.__qualname__


def _container(it: Any) -> Hashable:
    """Return a container's kind, without the wrappers that Keras and TensorFlow put on."""
    kind = type(it)
    if not is_trusted(kind.__module__):
        if hasattr(kind, "_fields") and kind.__bases__ == (tuple,):
            return kind._fields
        raise UnprovableError(f"a container of type {kind.__qualname__}")
    if hasattr(kind, "_fields"):
        return _Same(kind)
    return next(k for k in ("tuple", "deque", "dict", "list") if isinstance(it, _CONTAINERS[k]))


def _array(it: np.ndarray | np.generic) -> Hashable:
    if it.dtype.hasobject:
        raise UnprovableError("an array of objects")
    data = it.tobytes()
    content = data if len(data) <= 256 else hashlib.blake2b(data).digest()
    return ("array", type(it).__name__, it.dtype.str, it.shape, content)


def _by_value(it: Any) -> Hashable | None:
    """Return a record of a thing that never changes, or None."""
    kind = type(it)
    if isinstance(it, keras.KerasTensor):
        return ("tensor", tuple(it.shape), it.dtype, it.sparse, it.ragged)
    if isinstance(it, (enum.Enum, np.ufunc)) or kind is object:
        return ("same", _Same(it))
    if isinstance(it, types.BuiltinFunctionType) and isinstance(it.__self__, types.ModuleType):
        return ("same", _Same(it))
    if isinstance(it, (range, re.Pattern, np.dtype)):
        return (kind.__name__, it)
    root = kind.__module__.partition(".")[0]
    if root in ("tensorflow", "jaxlib") and kind.__name__ in ("EagerTensor", "ArrayImpl"):
        return ("constant", str(it.dtype), _array(np.asarray(it)))
    if kind.__name__ in ("TensorShape", "DType") and root == "tensorflow":
        return (kind.__name__, str(it))
    return None
