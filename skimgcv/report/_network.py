"""A Keras model as a table that people can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_TIMES = " \N{MULTIPLICATION SIGN} "
# What of a layer's configuration people want to know, in this order, and what it is called.
_SHOWN = {
    "filters": "filters",
    "units": "units",
    "kernel_size": "window",
    "pool_size": "window",
    "strides": "step",
    "rate": "share dropped",
    "activation": "activation",
    "scale": "factor",
}


@dataclass(frozen=True)
class Layer:
    """A row of the table.

    Attributes
    ----------
    kind : str
        Its class; of a network within the network its name.
    settings : str
        Such as "filters 16, activation relu".
    output : str
        The shape of what it gives for one image; empty where that is not known.
    n_weights : int
    n_trained : int
        Of its weights, those that training changes.
    """

    kind: str
    settings: str
    output: str
    n_weights: int
    n_trained: int


@dataclass(frozen=True)
class Network:
    """A model.

    Attributes
    ----------
    layers : list of Layer
    n_weights, n_trained : int
        Numbers in all, and those that training changes.
    optimizer, loss : str
    """

    layers: list[Layer]
    n_weights: int
    n_trained: int
    optimizer: str
    loss: str


def network_of(model: Any) -> Network:
    """Describe a fitted Keras model."""
    return Network(
        [_layer(layer) for layer in model.layers],
        int(model.count_params()),
        sum(_size(weight) for weight in model.trainable_weights),
        _optimizer(getattr(model, "optimizer", None)),
        _named(getattr(model, "loss", None)),
    )


def _layer(layer: Any) -> Layer:
    return Layer(
        layer.name if getattr(layer, "layers", None) else type(layer).__name__,
        _settings(layer),
        _output(layer),
        int(layer.count_params()) if layer.built else 0,
        sum(_size(weight) for weight in layer.trainable_weights),
    )


def _settings(layer: Any) -> str:
    if getattr(layer, "layers", None):
        return f"a network of {len(layer.layers)} layers"
    try:
        config = layer.get_config()
    except NotImplementedError:  # a layer of the user's own need not have one
        return ""
    said = [
        f"{word} {_value(config[name])}"
        for name, word in _SHOWN.items()
        if config.get(name) not in (None, "linear", (1, 1), [1, 1], 1)
        and not (name == "strides" and config.get("pool_size") == config[name])
    ]
    return ", ".join(said)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _TIMES.join(map(_value, value))
    if isinstance(value, dict):
        return str(value.get("config", {}).get("name", value.get("class_name", "")))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _output(layer: Any) -> str:
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):  # of a subclassed model, or used more than once
        return ""
    return _TIMES.join("?" if side is None else str(side) for side in shape[1:])


def _size(weight: Any) -> int:
    size = 1
    for side in weight.shape:
        size *= int(side)
    return size


def _optimizer(optimizer: Any) -> str:
    if optimizer is None:
        return ""
    rate = optimizer.get_config().get("learning_rate")
    return f"{type(optimizer).__name__}" + (
        f", learning rate {rate:.4g}" if isinstance(rate, float) else ""
    )


def _named(loss: Any) -> str:
    if loss is None or isinstance(loss, str):
        return loss or ""
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__))
