"""Labels as the model's loss wants them, and its outputs as probabilities."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import keras
import numpy as np

from skimgcv._runtime.keras_internals import operation_of

Outputs = Literal["probabilities", "logits", "scores"]


@dataclass(frozen=True)
class Targets:
    """How one model speaks of classes.

    Attributes
    ----------
    n_classes : int
    one_unit : bool
        One output for the second of two classes.
    sparse : bool
        The loss takes class numbers, not one-hot rows.
    logits : bool
        The outputs are not yet probabilities, but scores of either sign.
    """

    n_classes: int
    one_unit: bool
    sparse: bool
    logits: bool

    @classmethod
    def of(cls, model: keras.Model, loss: Any, n_classes: int) -> Targets:
        """Read them from a model's output and its loss."""
        return cls(
            n_classes=n_classes,
            one_unit=units_of(model, n_classes) == 1,
            sparse=_is_sparse(loss, n_classes),
            logits=_are_scores(model, loss, n_classes),
        )

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Turn class numbers (n,) into (n, 1) or (n, n_classes) float32 for the loss."""
        if self.one_unit:
            return y.astype(np.float32).reshape(-1, 1)
        if self.sparse:
            return y.astype(np.int32).reshape(-1, 1)
        return np.eye(self.n_classes, dtype=np.float32)[y]

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Turn the model's outputs into float64 rows that sum to 1."""
        outputs = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
        if self.one_unit:
            second = _sigmoid(outputs) if self.logits else outputs.clip(0, 1)
            return np.hstack([1 - second, second])
        if self.logits:
            outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs = outputs.clip(0)
        total = outputs.sum(axis=1, keepdims=True)
        # Independent sigmoids may all be 0: then no class is likelier than another.
        uniform = np.full_like(outputs, 1 / self.n_classes)
        return np.divide(outputs, total, out=uniform, where=total > 0)


def auto_loss(model: keras.Model, n_classes: int, *, one_hot: bool) -> keras.losses.Loss:
    """Choose the crossentropy that fits the model's output.

    Parameters
    ----------
    one_hot : bool
        Whether class numbers will not do: targets are mixed, or a metric needs their rows.

    Raises
    ------
    ValueError
        Where the number of outputs fits no loss for this many classes, or where
        it cannot be told whether the outputs are probabilities.
    """
    units = units_of(model, n_classes)
    logits = _outputs_logits(model)
    if units == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    if one_hot:
        return keras.losses.CategoricalCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def check_loss(loss: Any, optimizer: Any) -> None:
    """Refuse what cannot be trained with."""
    if not loss or not optimizer:
        raise ValueError(
            "A model needs a loss and an optimizer; pass loss='auto' or a Keras loss to the "
            "estimator, or give both to compile() in the builder."
        )
    if isinstance(loss, (list, dict)):
        raise ValueError("The model must have one output and one loss, not several.")


def has_graph(model: keras.Model) -> bool:
    """Whether it is known which layer gives the model's output."""
    return isinstance(model, (keras.Sequential, _functional())) and model.built


@functools.cache
def _functional() -> Any:
    """Return the class of models that are made of inputs and outputs, which has no public name."""
    it = keras.Input((1,), name="input")
    return type(keras.Model(it, keras.layers.Identity(name="identity")(it), name="functional"))


def units_of(model: keras.Model, n_classes: int) -> int:
    outputs = model.outputs if has_graph(model) else keras.tree.flatten(model.output)
    shapes = [output.shape for output in outputs]
    shape = shapes[0]
    if len(shapes) != 1:
        raise ValueError(
            f"The model must have one output of shape (None, {n_classes}); it has {len(shapes)}: "
            f"{' and '.join(map(str, shapes))}. Return keras.Model(model.inputs, "
            "model.outputs[0]) from the builder, and fit a classifier for each target."
        )
    if len(shape) != 2:
        raise ValueError(
            f"The model must have one output of shape (None, {n_classes}), or (None, 1) for two "
            f"classes; it has {shape}. End it with Flatten or a pooling "
            "layer."
        )
    if shape[1] == n_classes or (shape[1] == 1 and n_classes == 2):
        return int(shape[1])
    raise ValueError(
        f"The model has {shape[1]} outputs, but y has {n_classes} classes. Let the builder read "
        "meta['n_classes_'], or, where a fold lacks a class, use a stratified splitter."
    )


def _is_sparse(loss: Any, n_classes: int) -> bool:
    if "sparse" in _name(loss):
        return True
    own = loss if isinstance(loss, FunctionType) else type(loss)
    if isinstance(loss, str) or own.__module__.partition(".")[0] == "keras":
        return False
    # The user's own loss: one-hot rows, unless it cannot take them.
    try:
        loss(np.eye(n_classes, dtype=np.float32), np.full((n_classes,) * 2, 1 / n_classes, "f4"))
    except Exception:
        return True
    return False


def outputs_are(model: keras.Model, loss: Any) -> Outputs:
    """Tell what a model's outputs are: ``"scores"`` are fitted, but neither of the others."""
    if _says_logits(loss):
        return "logits"
    if _last_activation(model)[1] in (keras.activations.linear, keras.activations.tanh):
        return "scores"
    return "probabilities"


def ends_with_softmax(model: keras.Model) -> bool:
    """Whether it is known that a softmax gives the outputs."""
    return _last_activation(model)[1] is keras.activations.softmax


def _are_scores(model: keras.Model, loss: Any, n_classes: int) -> bool:
    outputs = outputs_are(model, loss)
    if outputs != "scores":
        return outputs == "logits"
    # One output that was fitted to 0 and 1 parts the classes at 0.5; a hinge's does at 0.
    return units_of(model, n_classes) > 1 or "hinge" in _name(loss)


def _says_logits(loss: Any) -> bool:
    fixed = getattr(loss, "keywords", {})  # of a functools.partial
    if isinstance(loss, keras.losses.Loss) and not hasattr(loss, "from_logits"):
        # From Keras 3.16 on some losses tell it in their config alone.
        with contextlib.suppress(Exception):  # one of the user's own may have none
            fixed = loss.get_config()
    return bool(getattr(loss, "from_logits", fixed.get("from_logits", False)))


def _name(loss: Any) -> str:
    loss = getattr(loss, "func", loss)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return str(name).lower()


def _last_activation(model: keras.Model) -> tuple[keras.Operation, Any]:
    layer = model
    while has_graph(layer):
        layer = operation_of(layer.outputs[0])
    if isinstance(layer, keras.layers.Softmax):
        return layer, keras.activations.softmax
    return layer, getattr(layer, "activation", None)


def _outputs_logits(model: keras.Model) -> bool:
    layer, activation = _last_activation(model)
    if activation is None:
        raise ValueError(
            f"loss='auto' cannot tell whether the outputs of {type(layer).__name__} are "
            "probabilities or logits; pass loss, for instance "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    return bool(activation is keras.activations.linear)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # The form that cannot overflow.
    return 0.5 * (1 + np.tanh(0.5 * x))
