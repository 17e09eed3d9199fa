"""The kind of a model's outputs, from its layers and its loss."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from typing import Any, Literal

import keras

from skimgcv._runtime.keras_internals import operation_of

Outputs = Literal["probabilities", "logits", "scores"]


def has_graph(model: keras.Model) -> bool:
    """Whether the layer that gives the model's output is known."""
    return isinstance(model, (keras.Sequential, _functional())) and model.built


@functools.cache
def _functional() -> Any:
    """Return the class of functional models, which has no public name."""
    it = keras.Input((1,), name="input")
    return type(keras.Model(it, keras.layers.Identity(name="identity")(it), name="functional"))


def width_of(model: keras.Model, wanted: int, what: str, *, one_unit: bool = False) -> int:
    """Return the number of outputs of a model; refuse a wrong number.

    Parameters
    ----------
    model : keras.Model
    wanted : int
        The number that is needed.
    what : str
        The things in y that have this number, for errors: "classes".
    one_unit : bool
        Whether one output is enough.
    """
    outputs = model.outputs if has_graph(model) else keras.tree.flatten(model.output)
    shapes = [output.shape for output in outputs]
    shape = shapes[0]
    if len(shapes) != 1:
        raise ValueError(
            f"The model must have one output of shape (None, {wanted}); it has {len(shapes)}: "
            f"{' and '.join(map(str, shapes))}. Return keras.Model(model.inputs, "
            "model.outputs[0]) from the builder, and fit an estimator for each target."
        )
    if len(shape) != 2:
        or_one = ", or (None, 1) for two classes" if what == "classes" else ""
        raise ValueError(
            f"The model must have one output of shape (None, {wanted}){or_one}; it has {shape}. "
            "End it with Flatten or a pooling layer."
        )
    if shape[1] == wanted or (shape[1] == 1 and one_unit):
        return int(shape[1])
    advice = {
        "classes": "Let the builder read meta['n_classes_'], or, where a fold lacks a class, use "
        "a stratified splitter.",
        "labels": "Let the builder read meta['n_classes_'].",
        "numbers a row": "Let the builder read meta['n_outputs_'].",
    }
    raise ValueError(
        f"The model has {shape[1]} outputs, but y has {wanted} {what}. {advice[what]}"
    )


def outputs_are(model: keras.Model, loss: Any) -> Outputs:
    """Return the kind of a model's outputs. ``"scores"`` are neither of the others."""
    if _says_logits(loss):
        return "logits"
    if _last_activation(model)[1] in _SIGNED:
        return "scores"
    return "probabilities"


def check_activation(model: keras.Model, loss: Any) -> None:
    """Refuse an activation that does not give what a crossentropy of Keras takes.

    Keras does not refuse it. It clips logits to 0..1. With TensorFlow it passes the input of a
    softmax or sigmoid to the loss, and the loss applies its own function: then the model is not
    trained for what it predicts.

    Raises
    ------
    ValueError
    """
    made = keras.losses.get(loss) if isinstance(loss, str) else getattr(loss, "func", loss)
    own = made if inspect.isfunction(made) else type(made)
    name = name_of_loss(made)
    if own.__module__.partition(".")[0] != "keras" or not _OF_PROBABILITIES.search(name):
        return
    layer, activation = _last_activation(model)
    needed = [keras.activations.sigmoid, keras.activations.softmax]
    if _says_logits(loss):
        needed = [keras.activations.linear]
    elif "binary" in name or "categorical" in name:
        needed = needed[:1] if "binary" in name else needed[1:]
    if _is_unfit(activation, needed):
        advice = ", or use loss='auto'" if activation in _KNOWN else ""
        raise ValueError(
            f"The loss {name}{' from logits' if _says_logits(loss) else ''} needs outputs with "
            f"the activation {' or '.join(a.__name__ for a in needed)}; the last layer, "
            f"{layer.name}, has {activation.__name__}. Change one of them{advice}."
        )


_OF_PROBABILITIES = re.compile("crossentropy|kl_?divergence")
_SIGNED = (keras.activations.linear, keras.activations.tanh)
_KNOWN = (*_SIGNED, keras.activations.sigmoid, keras.activations.softmax)
# Their values are neither probabilities nor of either sign.
_UNBOUNDED = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "exponential")


def _is_unfit(activation: Any, needed: list[Any]) -> bool:
    if activation in needed:
        return False
    unbounded = [getattr(keras.activations, name) for name in _UNBOUNDED]
    return activation in _KNOWN or activation in unbounded


def ends_with_softmax(model: keras.Model) -> bool:
    """Whether it is known that a softmax gives the outputs."""
    return _last_activation(model)[1] is keras.activations.softmax


def ends_with_sigmoid(model: keras.Model) -> bool:
    """Whether it is known that a sigmoid gives the outputs."""
    return _last_activation(model)[1] is keras.activations.sigmoid


def _says_logits(loss: Any) -> bool:
    fixed = getattr(loss, "keywords", {})  # of a functools.partial
    if isinstance(loss, keras.losses.Loss) and not hasattr(loss, "from_logits"):
        # From Keras 3.16 on, some losses have it only in their config.
        with contextlib.suppress(Exception):  # the user's own loss may have no config
            fixed = loss.get_config()
    return bool(getattr(loss, "from_logits", fixed.get("from_logits", False)))


def name_of_loss(loss: Any) -> str:
    loss = getattr(loss, "func", loss)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return str(name).lower()


def _last_activation(layer: keras.Operation) -> tuple[keras.Operation, Any]:
    while has_graph(layer):
        layer = operation_of(layer.outputs[0])
    if isinstance(layer, keras.layers.Softmax):
        return layer, keras.activations.softmax
    activation = getattr(layer, "activation", None)
    if isinstance(layer, keras.layers.Activation) and activation is keras.activations.linear:
        # In mixed precision such a layer often only makes the outputs float32.
        before = _last_activation(operation_of(layer.input))
        return (layer, activation) if before[1] is None else before
    return layer, activation


def outputs_logits(model: keras.Model) -> bool:
    layer, activation = _last_activation(model)
    if activation is None:
        raise ValueError(
            f"loss='auto' cannot tell whether the outputs of {type(layer).__name__} are "
            "probabilities or logits; pass loss, for instance "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    return bool(activation is keras.activations.linear)
