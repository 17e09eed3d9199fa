"""Private names of Keras, continued: the graph of a functional model, and parts of it as models.

``graphs_can_be_cut`` tries it on a small model before its first use. The versions are those of
``keras_internals``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from skimgcv._runtime.keras_internals import compile_arguments, private
from skimgcv._runtime.versions import given_up, require


@dataclass(frozen=True)
class Call:
    """One call of a layer or another operation in a graph.

    Attributes
    ----------
    operation : keras.Operation
    inputs, outputs : list of keras.KerasTensor
    convert : callable
        Takes a function of one argument, and returns the call's ``(args, kwargs)`` after it
        replaced all arguments.
    """

    operation: keras.Operation
    inputs: Sequence[keras.KerasTensor]
    outputs: Sequence[keras.KerasTensor]
    convert: Callable[[Callable[[Any], Any]], tuple[Any, Any]]


def has_own_graph(model: Any) -> bool:
    """Whether a model is of Keras' own classes, and consists only of its graph."""
    return _graph(model) is not None


def _graph(model: Any) -> Any:
    if type(model) is keras.Sequential:
        return model._functional
    return model if type(model) is private("models.functional", "Functional") else None


def calls_of(model: keras.Model) -> Iterator[Call]:
    """Yield the calls of a model in an order in which they can run, without its inputs."""
    by_depth = _graph(model)._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if not node.is_input:
                arguments = node.arguments
                yield Call(node.operation, node.input_tensors, node.outputs, arguments.convert)


def fixes_training(model: keras.Model) -> bool:
    """Whether a layer was called with ``training``, and this version of Keras obeys it.

    Up to 3.15 the training of the whole model replaces it. In 3.16 (nightly) it holds for the
    layer, for what is in it, and for what comes after it: so parts of the model would train
    otherwise than the whole.
    """
    return _says_training(model) and _training_is_obeyed()


def _says_training(model: keras.Model) -> bool:
    return any(
        node.arguments.kwargs.get("training") is not None
        or (_graph(node.operation) is not None and _says_training(node.operation))
        for nodes in _graph(model)._nodes_by_depth.values()
        for node in nodes
        if not node.is_input
    )


@functools.cache
def _training_is_obeyed() -> bool:
    inner_input = keras.Input((64,), name="inner_input")
    inside, after = (keras.layers.Dropout(0.5, seed=i, name=f"dropout{i}") for i in (0, 1))
    inner = keras.Model(inner_input, inside(inner_input), name="inner")
    outer_input = keras.Input((64,), name="outer_input")
    middle = inner(outer_input, training=False)
    model = keras.Model(outer_input, [middle, after(middle)], name="outer")
    ones = np.ones((1, 64), "float32")
    middle, end = map(keras.ops.convert_to_numpy, model(ones, training=True))
    return bool(middle.all() or np.count_nonzero(end) == np.count_nonzero(middle))


def opened(model: keras.Model, is_open: Callable[[keras.Operation], bool]) -> keras.Model:
    """Return a model of the same layers, with some nested models replaced by their layers.

    Parameters
    ----------
    model : keras.Model
        A model with its own graph, one input and one output.
    is_open : callable
        Whether to replace an operation, which is a model with its own graph.
    """
    if not any(is_open(call.operation) for call in calls_of(model)):
        return model
    (output,) = called_again(calls_of(model), model, is_open=is_open)
    return keras.Model(model.inputs[0], output)


def called_again(
    calls: Iterator[Call] | Sequence[Call],
    model: keras.Model,
    places: dict[int, Any] | None = None,
    is_open: Callable[[keras.Operation], bool] = lambda operation: False,
) -> list[Any]:
    """Repeat calls of a model on symbolic tensors; return its outputs.

    Parameters
    ----------
    calls : sequence of Call
    model : keras.Model
        The model of the calls.
    places : dict of int to keras.KerasTensor, optional
        The new tensors, by the ids of the model's tensors.
    is_open : callable
        As for ``opened``.
    """
    places = {} if places is None else places
    node = private("ops.node", "Node")
    for call in calls:
        args, kwargs = call.convert(lambda it: places.get(id(it), it))
        inner = call.operation
        given = keras.tree.flatten((args, kwargs))
        if is_open(inner) and _come_as_they_are(given, inner):
            own = {id(t): g for t, g in zip(inner.inputs, given, strict=False)}
            outputs = called_again(calls_of(inner), inner, own, is_open)
        else:
            outputs = [_like(tensor) for tensor in call.outputs]
            node(inner, call_args=args, call_kwargs=kwargs, outputs=outputs)
        places.update({id(t): o for t, o in zip(call.outputs, outputs, strict=True)})
    return [places.get(id(output), output) for output in model.outputs]


def _come_as_they_are(given: Sequence[Any], model: keras.Model) -> bool:
    """Whether a nested model does not convert its inputs."""
    return all(
        g.dtype == t.dtype and len(g.shape) == len(t.shape)
        for g, t in zip(given, model.inputs, strict=False)
    )


def _like(tensor: Any) -> keras.KerasTensor:
    return keras.KerasTensor(tensor.shape, dtype=tensor.dtype, sparse=tensor.sparse)


def mask_of(tensor: Any) -> Any:
    """Return a layer's mask of the steps that count in its output; None if all do."""
    return private("backend.common.masking", "get_keras_mask")(tensor)


_SHARED = ("_compile_loss", "_compile_metrics", "_loss_tracker")


def compile_alike(part: keras.Model, model: keras.Model) -> None:
    """Compile a part of a model like the model: with the same optimizer, loss and metrics."""
    if all(vars(part).get(name) is vars(model)[name] for name in _SHARED) and part.compiled:
        return
    # An optimizer that is to scale the loss does so already.
    arguments = compile_arguments(model) | {"optimizer": model.optimizer, "auto_scale_loss": False}
    part.compile(**arguments)
    # Without Keras' tracking, as its compile sets them.
    vars(part).update({name: vars(model)[name] for name in _SHARED})


@given_up("keras", "running frozen layers once", "they run for each batch, which is slower")
def graphs_can_be_cut() -> bool:
    """Try it on a small model: a few hundredths of a second, once."""
    layers = keras.layers
    ones = {"kernel_initializer": "ones"}
    inner_input = keras.Input((2,), name="inner_input")
    first = layers.Dense(2, **ones, name="first")
    second = layers.Dense(2, **ones, name="second")
    inner = keras.Model(inner_input, second(first(inner_input)), name="inner")
    outer_input = keras.Input((2,), name="outer_input")
    model = keras.Model(outer_input, inner(outer_input), name="outer")
    flat = opened(model, lambda operation: operation is inner)
    operations = [call.operation for call in calls_of(flat)]
    require(operations == [first, second], "a nested model is not taken apart")
    cut = next(calls_of(flat)).outputs
    start = keras.Input((2,), name="start")
    rest = called_again(list(calls_of(flat))[1:], flat, {id(cut[0]): start})
    x = np.array([[1.0, 2.0]], "float32")
    middle = keras.Model(flat.inputs[0], list(cut), name="trunk")(x)
    require(mask_of(middle) is None, "there is a mask that nobody made")
    whole, parts = model(x), keras.Model(start, rest, name="head")(middle)
    whole, parts = (keras.ops.convert_to_numpy(keras.tree.flatten(p)[0]) for p in (whole, parts))
    require(np.array_equal(whole, parts) and whole[0, 0] == 6, "parts are not the whole")
    model.compile("sgd", "mse")
    require(set(_SHARED) <= set(vars(model)), "a compiled model lacks its parts")
    return True
