"""Cutting a model after its first layers, if they are frozen and the same in training.

Such layers make the same features of an image in each epoch, fold and candidate. They become one
model, the trunk. The rest, the head, is trained on features.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any

import keras

from skimgcv._compiled.values import UnprovableError
from skimgcv._models.outputs import has_graph
from skimgcv._runtime.graph_internals import (
    Call,
    called_again,
    calls_of,
    compile_alike,
    fixes_training,
    graphs_can_be_cut,
    has_own_graph,
    opened,
)
from skimgcv._runtime.keras_internals import layers_in, seed_generators
from skimgcv._runtime.step_internals import is_spread


@dataclass(frozen=True)
class Cut:
    """A model in two parts, that share its layers.

    Attributes
    ----------
    trunk : keras.Model
        From images to the features that the head needs.
    head : keras.Model
        From features to outputs. Several outputs of the trunk are joined to one row.
    """

    trunk: keras.Model
    head: keras.Model

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return tuple(self.head.inputs[0].shape[1:])

    @property
    def feature_dtype(self) -> str:
        return str(self.head.inputs[0].dtype)


def cut_of(model: keras.Model) -> Cut | None:
    """Cut a compiled model after its frozen first part; None if it has none.

    Raises
    ------
    UnprovableError
        If this part is not proved to do the same in training.
    """
    layers = layers_in(model)
    if not any(map(_is_frozen, layers)):
        return None
    _check(model)
    state = [(id(x), x.trainable, _draws(x), x.dtype_policy.name) for x in layers]
    known = _cuts.get(model)
    if known is None or known[0] != state:
        known = _cuts[model] = (state, _made(model))
    cut = known[1]
    cut.trunk.jit_compile = model.jit_compile
    compile_alike(cut.head, model)
    trained = [id(v) for v in cut.head.trainable_variables]
    if trained != [id(v) for v in model.trainable_variables]:
        raise UnprovableError("its head has the trained variables in another order")
    return cut


# Cuts of models, and the state of their layers at that time.
_cuts: weakref.WeakKeyDictionary[keras.Model, tuple[list[Any], Cut]] = weakref.WeakKeyDictionary()


def _made(model: keras.Model) -> Cut:
    flat = opened(model, _is_partly_frozen)
    trunk, rest = _parted(flat)
    if not any(_is_frozen(layer) for call in trunk for layer in _layers(call.operation)):
        raise UnprovableError("no frozen layer comes before those that are trained or are random")
    fixed = {id(tensor) for call in trunk for tensor in call.outputs}
    fixed |= {id(tensor) for tensor in flat.inputs}
    if id(flat.outputs[0]) in fixed:
        raise UnprovableError("nothing in it is trained")
    ends = list({id(t): t for call in rest for t in call.inputs if id(t) in fixed}.values())
    return Cut(keras.Model(flat.inputs[0], ends), _head(flat, rest, ends))


def _check(model: keras.Model) -> None:
    if keras.backend.backend() != "tensorflow":
        raise UnprovableError(f"on {keras.backend.backend()} the whole model is run")
    if not graphs_can_be_cut():
        raise UnprovableError("this version of Keras keeps its graph otherwise")
    if not model.compiled or not has_own_graph(model):
        raise UnprovableError(f"{type(model).__name__} may have a training step of its own")
    if not (has_graph(model) and len(model.outputs) == 1):
        raise UnprovableError("it has several outputs")
    if fixes_training(model):
        raise UnprovableError("a layer was called with training=..., which Keras obeys")
    if model.run_eagerly or is_spread(model):
        raise UnprovableError("it is run eagerly, or spread over devices")


def _layers(operation: keras.Operation) -> list[keras.Layer]:
    return layers_in(operation) if isinstance(operation, keras.Layer) else []


def _is_frozen(layer: keras.Layer) -> bool:
    return not layer.trainable and bool(layer.weights)


def _is_partly_frozen(operation: keras.Operation) -> bool:
    return (
        has_own_graph(operation)
        and not _is_fixed(operation)
        and len(operation.inputs) == 1
        and any(_is_frozen(layer) for layer in layers_in(operation))
    )


def _is_fixed(operation: keras.Operation) -> bool:
    """Whether an operation's type shows that it is the same in training and evaluation."""
    return not any(
        layer.trainable_variables or _draws(layer) or _learns_statistics(layer)
        for layer in _layers(operation)
    )


def _draws(layer: keras.Layer) -> bool:
    if isinstance(layer, DROPOUTS):
        return bool(layer.rate != 0)
    return bool(seed_generators(layer))


DROPOUTS = (
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
)
"""At a rate of 0 these do nothing."""


def _learns_statistics(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable


def _parted(model: keras.Model) -> tuple[list[Call], list[Call]]:
    """Divide a model's calls into the fixed ones, from its input on, and the others."""
    calls = list(calls_of(model))
    trunk, _ = _divided(model, calls, {id(c): _is_fixed(c.operation) for c in calls})
    # A dropout of rate 0 belongs to the head, as in candidates with another rate, so that they
    # have the same trunk. An exception are frozen weights after it.
    leads_to_weights: set[int] = set()
    fixed = {id(call) for call in trunk}
    for call in reversed(trunk):
        layers = _layers(call.operation)
        if any(map(_is_frozen, layers)) or leads_to_weights & set(map(id, call.outputs)):
            leads_to_weights.update(map(id, call.inputs))
        elif any(isinstance(layer, DROPOUTS) for layer in layers):
            fixed.remove(id(call))
    return _divided(model, calls, {id(c): id(c) in fixed for c in calls})


def _divided(
    model: keras.Model, calls: list[Call], fixed: dict[int, bool]
) -> tuple[list[Call], list[Call]]:
    made = {id(tensor) for tensor in model.inputs}
    trunk: list[Call] = []
    rest: list[Call] = []
    for call in calls:
        is_fixed = fixed[id(call)] and all(id(tensor) in made for tensor in call.inputs)
        (trunk if is_fixed else rest).append(call)
        if is_fixed:
            made.update(map(id, call.outputs))
    return trunk, rest


def _head(model: keras.Model, calls: list[Call], ends: list[Any]) -> keras.Model:
    """Return the model from some tensors to the outputs."""
    (dtype, *others) = {tensor.dtype for tensor in ends}
    shapes = [tuple(tensor.shape[1:]) for tensor in ends]
    if others or any(n is None for shape in shapes for n in shape):
        raise UnprovableError("its frozen part gives values of several types or of no fixed shape")
    if len(ends) == 1:
        features = keras.Input(shapes[0], dtype=dtype)
        parts = [features]
    else:
        sizes = [math.prod(shape) for shape in shapes]
        features = keras.Input((sum(sizes),), dtype=dtype)
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        parts = [
            keras.ops.reshape(features[:, start : start + size], (-1, *shape))
            for start, size, shape in zip(starts, sizes, shapes, strict=True)
        ]
    places = {id(tensor): part for tensor, part in zip(ends, parts, strict=True)}
    return keras.Model(features, called_again(calls, model, places)[0])
