"""The kind of a model's outputs, from its layers and its loss."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

from skimgcv._runtime.keras_internals import call_of

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
    return "scores" if _end_of(model).values in ("linear", "signed") else "probabilities"


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
    layer, activation, values = _end_of(model)
    needed, fit = "sigmoid or softmax", {"sigmoid", "softmax"}
    if _says_logits(loss):
        needed, fit = "linear", {"linear", "signed"}
    elif "binary" in name:
        needed, fit = "sigmoid", {"sigmoid"}
    elif "categorical" in name:
        needed, fit = "softmax", {"softmax"}
    if values != "unknown" and values not in fit:
        advice = "" if values in ("signed", "positive") else ", or use loss='auto'"
        raise ValueError(
            f"The loss {name}{' from logits' if _says_logits(loss) else ''} needs outputs with "
            f"the activation {needed}; the last layer, {layer.name}, has "
            f"{getattr(activation, '__name__', type(activation).__name__)}. Change one of "
            f"them{advice}."
        )


_OF_PROBABILITIES = re.compile("crossentropy|kl_?divergence")


def ends_with_softmax(model: keras.Model) -> bool:
    """Whether it is known that a softmax gives the outputs."""
    return _end_of(model).values == "softmax"


def ends_with_sigmoid(model: keras.Model) -> bool:
    """Whether it is known that a sigmoid gives the outputs."""
    return _end_of(model).values == "sigmoid"


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


Values = Literal["linear", "softmax", "sigmoid", "signed", "positive", "unknown"]
"""What an activation gives. A function that is not Keras' own counts as what its values are like.

The last two known ones are neither probabilities nor any number: of both signs, or not negative.
"""


class End(NamedTuple):
    """The layer that gives a model's outputs, its activation, and the values this gives."""

    layer: keras.Operation
    activation: Any
    values: Values


# They move or average values. So logits stay logits, and probabilities stay probabilities.
_PASSING = (
    keras.layers.Average,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.Identity,
    keras.layers.Reshape,
)
_ACTIVATIONS = (
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
)
_NAMED: dict[Any, Values] = {
    keras.activations.linear: "linear",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.softmax: "softmax",
}


def _end_of(model: keras.Model) -> End:
    if has_graph(model):
        return _end_at(model.outputs[0])
    return End(model, None, "unknown")


def _end_at(tensor: Any) -> End:
    layer, inputs, place = call_of(tensor)
    if has_graph(layer):
        return _end_at(layer.outputs[place])
    is_activation = isinstance(layer, (keras.layers.Activation, *_ACTIVATIONS))
    activation = getattr(layer, "activation", layer if is_activation else None)
    if isinstance(layer, keras.layers.Softmax):
        activation = keras.activations.softmax
    if isinstance(layer, _PASSING) or (is_activation and activation is keras.activations.linear):
        # In mixed precision such an activation often only makes the outputs float32.
        before, *others = map(_end_at, inputs)
        is_passed = all(end.values == before.values for end in others)
        return before if is_passed else End(layer, None, "unknown")
    for known, values in _NAMED.items():
        if activation is known:
            return End(layer, activation, values)
    # Tried on numbers of both signs, if it sees such numbers.
    is_keras = type(layer).call.__module__.partition(".")[0] == "keras"
    is_tried = is_keras and callable(activation)
    if is_tried and is_activation:
        is_tried = _end_at(inputs[0]).values in ("linear", "signed")
    tried = _tried(activation, tensor.shape[-1]) if is_tried else "unknown"
    return End(layer, activation, tried)


def _tried(activation: Any, width: Any) -> Values:
    """Return what an activation gives for numbers of both signs."""
    try:
        probe = np.linspace(-8, 8, 5 * width, dtype=np.float32).reshape(5, width)
        values = keras.ops.convert_to_numpy(activation(keras.ops.convert_to_tensor(probe)))
    except Exception:  # of the user's own function
        return "unknown"
    least, most = values.min(), values.max()
    rounding = 1e-3  # of float16
    if np.isnan(values).any():
        return "unknown"
    if least < -rounding:
        return "signed"
    if most > 1 + rounding:
        return "positive"
    is_shared = width > 1 and np.allclose(values.sum(axis=-1), 1, atol=rounding)
    return "softmax" if is_shared else "sigmoid"


def outputs_logits(model: keras.Model) -> bool:
    layer, activation, values = _end_of(model)
    if activation is None:
        raise ValueError(
            f"loss='auto' cannot tell whether the outputs of {type(layer).__name__} are "
            "probabilities or logits; pass loss, for instance "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    return values == "linear"
