"""The one door to what Keras and TensorFlow do not promise: each private name is here, once.

What SciKeras keeps private is in ``scikeras_internals``, whose import changes Keras; the few
names of other packages are in ``other_internals``, which imports none of them.
"""

from __future__ import annotations

import contextlib
import re
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import keras
from keras.src.api_export import get_name_from_symbol, get_symbol_from_name
from keras.src.backend.common import global_state
from keras.src.backend.common.variables import initialize_all_variables
from keras.src.models.functional import Functional
from keras.src.ops.symbolic_arguments import SymbolicArguments
from keras.src.saving.saving_lib import load_model, save_model
from keras.src.saving.serialization_lib import ObjectSharingScope, SafeModeScope
from keras.src.trainers.compile_utils import CompileLoss
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.utils.dtype_utils import dtype_size
from keras.src.utils.tracking import Tracker

__all__ = [
    "DataAdapter",
    "Functional",
    "ObjectSharingScope",
    "SafeModeScope",
    "data_adapter_utils",
    "get_name_from_symbol",
    "get_symbol_from_name",
    "load_model",
    "save_model",
]

# -- random states ---------------------------------------------------------------------------

_GLOBAL_SEED_GENERATOR = "global_seed_generator"


def global_seed_generator() -> Any:
    """Return the generator of Keras' unseeded numbers; None before it is first needed."""
    return global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: Any) -> None:
    """Put another one in its place; for None Keras makes one, from ``random``'s numbers."""
    global_state.set_global_attribute(_GLOBAL_SEED_GENERATOR, generator)


# -- layers and models -----------------------------------------------------------------------


def layers_in(layer: keras.Layer) -> list[keras.Layer]:
    """Return a layer and all that are inside of it, at any depth."""
    return list(layer._flatten_layers())


def seed_generators(layer: keras.Layer) -> list[keras.random.SeedGenerator]:
    """Return a layer's own generators, without those of the layers inside of it."""
    return list(layer._seed_generators)


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return what ``compile()`` was called with.

    The public getter serialises it, and so loses custom functions that are not registered.
    """
    return dict(model._compile_config.config)


def learning_rate_of(optimizer: Any) -> Any:
    """Return the schedule or function that gives an optimizer its rate, if there is one."""
    return getattr(optimizer, "_learning_rate", None)


def operation_of(tensor: keras.KerasTensor) -> keras.Operation:
    """Return which layer or operation gave a symbolic tensor."""
    return tensor._keras_history.operation


# -- files -----------------------------------------------------------------------------------


def place_in_keras(symbol: Any) -> str | None:
    """Return where in Keras a class or function is defined: "layers.core.dense", or None."""
    root, private, place = getattr(symbol, "__module__", "").partition("keras.src.")
    return place if private and not root else None


@contextlib.contextmanager
def variables_wait() -> Iterator[Callable[[], None]]:
    """Let variables that are made within get no memory before the function given is called."""
    name = "uninitialized_variables"
    waiting = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, [])
    try:
        yield initialize_all_variables
    finally:
        global_state.set_global_attribute(name, waiting)


def bits_of(dtype: str) -> int:
    """Return how many bits a value of a dtype takes."""
    return dtype_size(dtype)


# -- what a compiled step depends on ---------------------------------------------------------

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
_OF_SYMBOLIC_ARGUMENTS = {"_flat_arguments", "_single_positional_tensor", "keras_tensors"}

# What TensorFlow notes of the objects that it tracks; users' names may begin like these.
_OF_TENSORFLOW = re.compile(
    "_self_(setattr_tracking|unconditional_|update_uid|name_based_restores|saveable_object|"
    "tracked_trackables|extra_variables|last_wrapped|external_mod|non_append|non_string|"
    "attribute_sentinel|wrapped_)"
)


def bookkeeping_of(it: Any) -> set[str]:
    """Return the attributes of a Keras object, or of a subclass's, that no trace depends on."""
    if isinstance(it, keras.Model):
        return _BOOKKEEPING | _OF_LAYERS | _OF_MODELS
    if isinstance(it, keras.Operation):
        return _BOOKKEEPING | _OF_LAYERS
    if isinstance(it, keras.optimizers.Optimizer):
        return _BOOKKEEPING | _OF_OPTIMIZERS
    if isinstance(it, keras.random.SeedGenerator):
        return _BOOKKEEPING | {"_initial_seed"}
    if isinstance(it, SymbolicArguments):
        return _OF_SYMBOLIC_ARGUMENTS
    if type(it).__module__.partition(".")[0] == "keras":
        return _BOOKKEEPING | {"output_names"}
    return _BOOKKEEPING if isinstance(it, (keras.Loss, keras.Metric)) else set()


def is_noted_by_tensorflow(name: str) -> bool:
    """Whether this is an attribute that TensorFlow gives to what it tracks."""
    return _OF_TENSORFLOW.match(name) is not None


def is_tracker(value: Any) -> bool:
    """Whether this is Keras' list of what an object holds, which it holds anyway."""
    return isinstance(value, Tracker)


def is_wrapper_of_layers(name: str, value: types.FunctionType) -> bool:
    """Whether Keras put this on each layer; what it wraps is in the layer's class."""
    return (
        name in ("build", "quantize") and value.__globals__["__name__"] == keras.Layer.__module__
    )


def without_name(it: Any) -> tuple[Any, ...] | None:
    """Return Keras' record of a model's loss without its name, made from a layer's; else None."""
    return it[:-1] if isinstance(it, CompileLoss.Loss) else None


def has_value_of_its_own(variable: keras.Variable) -> bool:
    """Whether a variable has a value, and all of it in one place."""
    return variable._value is not None and variable._layout is None


def settings_of(variable: keras.Variable) -> tuple[Hashable, ...]:
    """Return what a trace takes from a variable but its value."""
    return (
        tuple(variable._shape),
        variable._dtype,
        variable._trainable,
        variable._autocast,
        variable._aggregation,
        variable._synchronization,
        variable._overwrite_with_gradient,
    )


def functions_of(variable: keras.Variable) -> tuple[Any, Any]:
    """Return a variable's regulariser and constraint."""
    return variable._regularizer, variable._constraint


def picks_variables_by_name(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer spares some variables its weight decay, or all else it does."""
    for choosing in ("_exclude_from_weight_decay", "exclude_layers"):
        if getattr(optimizer, choosing, None):
            return True
    return getattr(optimizer, "_exclude_from_weight_decay_pattern", None) is not None


CHOICES_OF_VARIABLES = {
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
    "_weight_decay_by_var_key",
}
"""Where an optimizer keeps which variables it lets decay; see ``decays``."""


def decays(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Whether an optimizer's weight decay is for this variable."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return bool(inner._use_weight_decay(variable))


def keras_switches() -> list[Hashable]:
    """Return what a trace takes from settings of Keras' that it has no public getter for."""
    return [flash_attention()]


def flash_attention() -> bool | None:
    """Return whether attention is computed so; None lets Keras choose."""
    return global_state.get_global_attribute("flash_attention")


def set_flash_attention(on: bool | None) -> None:
    """Keras' own functions cannot set None again."""
    global_state.set_global_attribute("flash_attention", on)


def tensorflow_switches() -> list[Hashable]:
    """Return what a trace takes from settings of TensorFlow's without a public getter."""
    from tensorflow.python.eager import context
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return [is_op_determinism_enabled(), context.context().device_name]


def op_determinism() -> bool:
    """Whether TensorFlow's operations are deterministic."""
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return bool(is_op_determinism_enabled())


def set_op_determinism(on: bool) -> None:
    """TensorFlow's public function can only switch it on."""
    from tensorflow.python.framework import config

    (config.enable_op_determinism if on else config.disable_op_determinism)()


# -- building a model before its first step --------------------------------------------------


def is_built(model: keras.Model) -> bool:
    """Whether a compiled model has all variables that its first step would make."""
    parts = (model._compile_loss, model._compile_metrics, model.optimizer)
    return all(p is None or p.built for p in parts) and all(
        layer.built for layer in layers_in(model)
    )


def build_by_tracing(model: keras.Model, batch: tuple[keras.KerasTensor, ...]) -> None:
    """Make all variables that the first training step would make."""
    model._symbolic_build(data_batch=batch)


def build_beside_graph(model: keras.Model, x: Any, y: Any, weights: Any = None) -> None:
    """Build metrics, loss and optimizer without a pass through the layers.

    Keras would trace the whole model to learn its output's shape, which a graph tells:
    for a deep model that takes as long as training it on hundreds of images.
    """
    (known,) = model.outputs
    output = keras.KerasTensor((x.shape[0], *known.shape[1:]), dtype=known.dtype)
    spec = keras.src.backend.compute_output_spec
    spec(model.compute_metrics, x, y, output, sample_weight=weights)
    spec(model._compute_loss, x, y, output, sample_weight=weights, training=False)
    model.optimizer.build(model.trainable_variables)
    model._post_build()


@contextlib.contextmanager
def built_once(model: keras.Model) -> Iterator[None]:
    """Keep Keras from building a model again that is spread over devices.

    It would do so by the first batch: an epoch begun, of which the data draws the next one
    instead, and an error where the devices cannot share the rows out evenly.
    """
    if getattr(model, "_distribute_strategy", None) is None or not is_built(model):
        yield
        return
    vars(model)["_maybe_symbolic_build"] = lambda **_: None
    try:
        yield
    finally:
        del vars(model)["_maybe_symbolic_build"]


# -- steps that models share -----------------------------------------------------------------


def metric_names(model: keras.Model) -> list[str]:
    """Return the names of a model's metrics, in the order of its logs."""
    return [m.name for m in model.metrics if m is not model._compile_metrics] + [
        m.name for m in (model._compile_metrics.metrics if model._compile_metrics else ())
    ]


@contextlib.contextmanager
def in_places_of(
    variables: Sequence[keras.Variable],
    optimizers: Sequence[keras.optimizers.Optimizer],
    others: Sequence[keras.Variable],
    other_optimizers: Sequence[keras.optimizers.Optimizer],
) -> Iterator[None]:
    """Let variables have the places of others for a while, TensorFlow's, with their own values."""
    own = [v._value for v in variables]
    places = [v._value for v in others]
    _copy(own, places)
    indices = [vars(o).get("_trainable_variables_indices") for o in optimizers]
    try:
        for variable, place in zip(variables, places, strict=True):
            variable._value = place
        for optimizer, other in zip(optimizers, other_optimizers, strict=True):
            optimizer.__dict__["_trainable_variables_indices"] = vars(other)[
                "_trainable_variables_indices"
            ]
        yield
    finally:
        _copy(places, own)
        for variable, value in zip(variables, own, strict=True):
            variable._value = value
        for optimizer, index in zip(optimizers, indices, strict=True):
            optimizer.__dict__["_trainable_variables_indices"] = index


def _copy(sources: Iterable[Any], targets: Iterable[Any]) -> None:
    """Assign TensorFlow variables to others, one by one but without Keras' checks."""
    from tensorflow import raw_ops

    for source, target in zip(sources, targets, strict=True):
        value = raw_ops.ReadVariableOp(resource=source.handle, dtype=source.dtype)
        raw_ops.AssignVariableOp(resource=target.handle, value=value)


def reduce_nothing(optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
    """Spare a twin's step the sum over replicas, of which there is one.

    TensorFlow gives each sum a gradient, and keeps that and the step's graph for ever:
    without this each architecture would take a megabyte that is never given back.
    """
    if keras.backend.backend() != "tensorflow":
        return
    from keras.src.backend.tensorflow.optimizer import filter_empty_gradients

    def unreduced(grads_and_vars: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        filter_empty_gradients(grads_and_vars)  # for its warning, and its error
        return list(grads_and_vars)

    for optimizer in optimizers:
        vars(optimizer)["_all_reduce_sum_gradients"] = unreduced


def drop_kernels() -> None:
    """Drop the kernels that TensorFlow keeps by variables' names, for ever."""
    from tensorflow.python.eager import context

    context.context().clear_kernel_cache()
