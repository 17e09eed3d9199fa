"""Which attributes of an object a compiled step may depend on."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.ops.symbolic_arguments import SymbolicArguments
from keras.src.utils.tracking import Tracker

from skimgcv._compiled.code import is_trusted, names_in

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


def attributes_of(it: Any) -> Iterator[tuple[str, Any]]:
    """Yield an instance's attributes by name, sorted, without Keras' bookkeeping."""
    skipped = _skipped(it)
    by_keras = is_keras(type(it))
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


def members_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what is in the body of a class of the user's, sorted."""
    for name, member in sorted(vars(kind).items()):
        if name not in _OF_CLASSES and not _is_slot(member):
            yield name, _unwrapped(member)


def is_keras(kind: type) -> bool:
    """Whether a class is one of Keras' own."""
    return kind.__module__.partition(".")[0] == "keras"


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
    if is_keras(type(it)):
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


def _is_kerass_wrapper(name: str, value: types.FunctionType) -> bool:
    # Keras puts these on each layer; what they wrap is in the layer's class.
    return (
        name in ("build", "quantize") and value.__globals__["__name__"] == keras.Layer.__module__
    )
