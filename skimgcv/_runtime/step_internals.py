"""Private names, continued: the things a compiled step of Keras depends on, and sharing it.

All of it serves to compile once. ``_compiled.canary`` tries it on two small models before its
first use. If a name is missing or has changed, each model is compiled for itself: slower, with the
same results. Versions and tests are as in ``keras_internals``.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import types
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import keras

from skimgcv._runtime.keras_internals import (
    flash_attention,
    layers_in,
    op_determinism,
    private,
    spares_variables,
)
from skimgcv._runtime.versions import given_up, refusing, remembered, require

# -- what a step depends on ------------------------------------------------------------------

# Attributes of Keras' objects on which no trace depends: names, bookkeeping, results of the last
# call, and values that follow from others. If one is missing here, equal models look different,
# and each is compiled for itself. Seen in Keras 3.8 to 3.16; _compiled_trainable_state from 3.15
# on, _exclude_from_weight_decay_cache until 3.15, _weight_decay_by_var_key from 3.16 on.
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
# By variables' names or ids: the position of each in an optimizer, and (from Keras 3.16 on)
# whether it decays. Eager calls look them up, so they are exchanged together with the variables.
_BY_VARIABLE = ("_trainable_variables_indices", "_weight_decay_by_var_key")
_OF_OPTIMIZERS = {
    *_BY_VARIABLE,
    "_distribution_strategy",
    "_exclude_from_weight_decay_cache",
}
_OF_SYMBOLIC_ARGUMENTS = {"_flat_arguments", "_single_positional_tensor", "keras_tensors"}

# Attributes that TensorFlow adds to the objects that it tracks. Users' names may begin like these.
# As above. Seen in TensorFlow 2.18 to 2.23.
_OF_TENSORFLOW = re.compile(
    "_self_(setattr_tracking|unconditional_|update_uid|name_based_restores|saveable_object|"
    "tracked_trackables|extra_variables|last_wrapped|external_mod|non_append|non_string|"
    "attribute_sentinel|wrapped_)"
)

_private = remembered(private)


def bookkeeping_of(it: Any) -> set[str]:
    """Return the attributes of a Keras object, or of a subclass's, that no trace depends on.

    Without SymbolicArguments each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    if isinstance(it, keras.Model):
        return _BOOKKEEPING | _OF_LAYERS | _OF_MODELS
    if isinstance(it, keras.Operation):
        return _BOOKKEEPING | _OF_LAYERS
    if isinstance(it, keras.optimizers.Optimizer):
        return _BOOKKEEPING | _OF_OPTIMIZERS
    if isinstance(it, keras.random.SeedGenerator):
        return _BOOKKEEPING | {"_initial_seed"}
    if isinstance(it, _private("ops.symbolic_arguments", "SymbolicArguments")):
        return _OF_SYMBOLIC_ARGUMENTS
    if type(it).__module__.partition(".")[0] == "keras":
        return _BOOKKEEPING | {"output_names"}
    return _BOOKKEEPING if isinstance(it, (keras.Loss, keras.Metric)) else set()


def is_noted_by_tensorflow(name: str) -> bool:
    """Whether TensorFlow adds this attribute to the objects that it tracks."""
    return _OF_TENSORFLOW.match(name) is not None


def is_tracker(value: Any) -> bool:
    """Whether this is Keras' list of an object's parts, which are attributes, too.

    Without it each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    return isinstance(value, _private("utils.tracking", "Tracker"))


def is_wrapper_of_layers(name: str, value: types.FunctionType) -> bool:
    """Whether Keras adds this to each layer. The wrapped function is in the layer's class."""
    return (
        name in ("build", "quantize") and value.__globals__["__name__"] == keras.Layer.__module__
    )


def without_name(it: Any) -> tuple[Any, ...] | None:
    """Return Keras' record of a model's loss without its name, made from a layer's; else None.

    Without it each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    record = _private("trainers.compile_utils", "CompileLoss").Loss
    return it[:-1] if isinstance(it, record) else None


def has_value_of_its_own(variable: keras.Variable) -> bool:
    """Whether a variable has a value, on one device.

    Layouts are known in 3.8 to 3.11 in subclasses, and from 3.14 on in all; 3.12 and 3.13 lack
    them; only a ``keras.distribution`` sets one, and with one nothing is shared. Without
    ``_value`` each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    return variable._value is not None and getattr(variable, "_layout", None) is None


def settings_of(variable: keras.Variable) -> tuple[Hashable, ...]:
    """Return the properties of a variable that a trace uses, without its value.

    Without one of them each model is compiled for itself. Seen in Keras 3.8 to 3.16;
    ``_synchronization``, which only a distribution strategy uses, from 3.10 on.
    """
    return (
        tuple(variable._shape),
        variable._dtype,
        variable._trainable,
        variable._autocast,
        variable._aggregation,
        getattr(variable, "_synchronization", None),
        variable._overwrite_with_gradient,
    )


def functions_of(variable: keras.Variable) -> tuple[Any, Any]:
    """Return a variable's regulariser and constraint.

    Without them each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    return variable._regularizer, variable._constraint


def picks_variables_by_name(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer excludes some variables from weight decay or from its own updates.

    As ``spares_variables``; ``exclude_layers`` is Muon's parameter.
    """
    return spares_variables(optimizer) or bool(getattr(optimizer, "exclude_layers", None))


def keras_switches() -> list[Hashable]:
    """Return the settings of Keras that a trace uses, and that have no public getter."""
    return [flash_attention()]


def tensorflow_switches() -> list[Hashable]:
    """Return the settings of TensorFlow that a trace uses, and that have no public getter.

    Without them each model is compiled for itself. Seen in TensorFlow 2.18 to 2.23.
    """
    from tensorflow.python.eager import context

    return [op_determinism(), context.context().device_name]


# -- building a model before its first step --------------------------------------------------


def is_built(model: keras.Model) -> bool:
    """Whether a compiled model has all variables that its first step would create.

    Without loss and metrics each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    parts = (model._compile_loss, model._compile_metrics, model.optimizer)
    return all(p is None or p.built for p in parts) and all(
        layer.built for layer in layers_in(model)
    )


def build_by_tracing(model: keras.Model, batch: tuple[keras.KerasTensor, ...]) -> None:
    """Create all variables that the first training step would create.

    Without it each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    model._symbolic_build(data_batch=batch)


def build_beside_graph(model: keras.Model, x: Any, y: Any, weights: Any = None) -> None:
    """Build metrics, loss and optimizer without a pass through the layers.

    Keras would trace the whole model to learn the shape of its output, which the graph already
    has. For a deep model this takes as long as training it on hundreds of images. Without it each
    model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    (known,) = model.outputs
    output = keras.KerasTensor((x.shape[0], *known.shape[1:]), dtype=known.dtype)
    spec = private("backend", "compute_output_spec")
    spec(model.compute_metrics, x, y, output, sample_weight=weights)
    spec(model._compute_loss, x, y, output, sample_weight=weights, training=False)
    model.optimizer.build(model.trainable_variables)
    model._post_build()


@contextlib.contextmanager
def built_once(model: keras.Model) -> Iterator[None]:
    """Keep Keras from building a model again that is spread over devices.

    Keras would read the first batch for it. This starts an epoch, so that the data draws the next
    one instead, and fails if the devices cannot divide the rows evenly. If this cannot be
    prevented, such a model is refused. Seen in Keras 3.8 to 3.16.
    """
    if not is_spread(model):
        yield
        return
    _check_builds_again(model)
    if not is_built(model):
        yield
        return
    vars(model)["_maybe_symbolic_build"] = lambda **_: None
    try:
        yield
    finally:
        del vars(model)["_maybe_symbolic_build"]


def is_spread(model: keras.Model) -> bool:
    """Whether a model is spread over devices, or would be here."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    # Outside of a scope TensorFlow returns its default, as do models that were made there.
    own, current = model.distribute_strategy, tf.distribute.get_strategy()
    return tf.distribute.has_strategy() or own is not current


@refusing("keras", "to train a model that is spread over devices")
def _check_builds_again(model: keras.Model) -> None:
    require(hasattr(type(model), "_maybe_symbolic_build"), "no _maybe_symbolic_build")
    require(hasattr(type(model), "_symbolic_build"), "no _symbolic_build")


# -- steps that models share -----------------------------------------------------------------


def metric_names(model: keras.Model) -> list[str]:
    """Return the names of a model's metrics, in the order of its logs.

    Without them each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
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
    """Give variables the TensorFlow variables of others for a while, with their own values.

    Without it each model is compiled for itself. Seen in Keras 3.8 to 3.16.
    """
    own = [v._value for v in variables]
    places = [v._value for v in others]
    _copy(own, places)
    tables = [_by_variable(o) for o in optimizers]
    try:
        for variable, place in zip(variables, places, strict=True):
            variable._value = place
        for optimizer, other in zip(optimizers, other_optimizers, strict=True):
            vars(optimizer).update(_by_variable(other))
        yield
    finally:
        _copy(places, own)
        for variable, value in zip(variables, own, strict=True):
            variable._value = value
        for optimizer, table in zip(optimizers, tables, strict=True):
            vars(optimizer).update(table)


def _by_variable(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    # Without Keras' tracking, which would copy them.
    return {name: vars(optimizer)[name] for name in _BY_VARIABLE if name in vars(optimizer)}


def _copy(sources: Iterable[Any], targets: Iterable[Any]) -> None:
    """Assign TensorFlow variables to others, one by one, without Keras' checks."""
    from tensorflow import raw_ops

    for source, target in zip(sources, targets, strict=True):
        value = raw_ops.ReadVariableOp(resource=source.handle, dtype=source.dtype)
        raw_ops.AssignVariableOp(resource=target.handle, value=value)


def reduce_nothing(optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
    """Remove the sum over replicas from a twin's step, since there is only one.

    TensorFlow makes a gradient for each sum, and never frees it and the step's graph. Without this
    each architecture costs a megabyte. Seen in Keras 3.8 to 3.16.
    """
    if keras.backend.backend() != "tensorflow" or not (unreduced := _unreduced()):
        return
    for optimizer in optimizers:
        vars(optimizer)["_all_reduce_sum_gradients"] = unreduced


@given_up("keras", "freeing a step's memory", "each kind of model keeps a megabyte")
def _unreduced() -> Any:
    filter_empty_gradients = private("backend.tensorflow.optimizer", "filter_empty_gradients")
    require(
        hasattr(keras.optimizers.Optimizer, "_all_reduce_sum_gradients"),
        "no _all_reduce_sum_gradients",
    )

    def unreduced(grads_and_vars: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        filter_empty_gradients(grads_and_vars)  # for its warning, and its error
        return list(grads_and_vars)

    return unreduced


def trace_for_any_rows(model: keras.Model) -> None:
    """Let a model's steps be traced once, for batches of any number of rows.

    Seen in Keras 3.16 (nightly): there a step gets a batch, not its iterator, so TensorFlow traces
    it for the number of rows of the first batch, and again for a batch with fewer. The two traces
    round differently, so the last bit of a result would depend on earlier fits. In other versions,
    and if the step is not found, nothing is changed.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for kind in ("train", "test"):
        getattr(model, f"make_{kind}_function")()
        function = getattr(model, f"{kind}_function")
        if step := _step_on_a_batch(function):
            # Without Keras' tracking.
            vars(model)[f"{kind}_function"] = _tracing_first(function, step)


def _step_on_a_batch(function: Any) -> Any:
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    if "get_next_as_optional" not in names:
        return None
    step = inspect.getclosurevars(function).nonlocals.get("one_step_on_data")
    while step is not None and not hasattr(step, "get_concrete_function"):
        step = getattr(step, "__wrapped__", None)
    return step


def _tracing_first(function: Any, step: Any) -> Any:
    from tensorflow.data import Iterator

    known = set()

    def call(iterator: Any) -> Any:
        if isinstance(iterator, Iterator) and iterator.element_spec not in known:
            step.get_concrete_function(iterator.element_spec)
            known.add(iterator.element_spec)
        return function(iterator)

    return call


def drop_kernels() -> None:
    """Drop the kernels that TensorFlow caches by variable names and never frees.

    Without it each fit keeps a little memory. Seen in TensorFlow 2.18 to 2.23.
    """
    if clear := _kernel_cache():
        clear()


@given_up("tensorflow", "freeing the memory of kernels", "each fit keeps a little memory")
def _kernel_cache() -> Any:
    from tensorflow.python.eager import context

    # Not the method of the current context, which may be replaced.
    require(callable(context.context().clear_kernel_cache), "no clear_kernel_cache")
    return lambda: context.context().clear_kernel_cache()
