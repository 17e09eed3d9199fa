"""The second phase of a fit: unfreeze layers, and compile the model again."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

import keras

from skimgcv._models.copies import unshared
from skimgcv._models.custom_objects import check_config_says_all
from skimgcv._models.outputs import has_graph
from skimgcv._runtime.keras_internals import compile_arguments, layers_in


class FineTuning:
    """Unfreezes layers of a trained model, and compiles it again.

    Parameters
    ----------
    layers : "all", int, str or callable
        As the estimator's ``fine_tune_layers``.
    learning_rate : float
    """

    def __init__(self, layers: Any, learning_rate: float) -> None:
        self._layers = layers
        self._rate = learning_rate

    def check(self, model: keras.Model) -> None:
        """Refuse a model without layers to unfreeze, or which cannot be compiled again.

        Raises
        ------
        ValueError
            If no layer would be unfrozen, or if the model cannot be compiled again.
        TypeError
            If the function returns objects that are not layers of the model.
        """
        if type(model).compile is not keras.Model.compile:
            raise ValueError(
                f"fine_tune_epochs compiles the model again, and {type(model).__name__} has its "
                "own compile(), whose arguments are unknown; use fine_tune_epochs=0."
            )
        self._optimizer(model)
        frozen = _frozen(model)
        learning = [la for la, learns in self._who_learns(model) if learns and id(la) in frozen]
        if not any(map(_has_own_weights, learning)):
            names = ", ".join(layer.name for layer in _frozen_units(model)[-8:])
            raise ValueError(
                f"fine_tune_layers={self._layers!r} unfreezes no weights; batch normalisation "
                f"stays frozen. The last frozen layers are {names}."
            )

    def begin(self, model: keras.Model) -> None:
        """Unfreeze a model's layers, and compile it with a new optimizer."""
        # Parents come before their inner layers, because setting their flag sets those, too.
        for layer, learns in self._who_learns(model):
            layer.trainable = learns
        # A copy of each metric, since the old ones keep their counts.
        arguments = {name: unshared(v) for name, v in compile_arguments(model).items()}
        model.compile(**arguments | {"optimizer": self._optimizer(model)})

    def _who_learns(self, model: keras.Model) -> list[tuple[keras.Layer, bool]]:
        """Return for each layer whether the second phase trains it."""
        frozen = _frozen(model)
        chosen = self._chosen(model)
        chosen_ids = {id(layer) for layer in chosen}
        learning = {
            id(inner)
            for layer in chosen
            for inner in layers_in(layer)
            if not isinstance(inner, keras.layers.BatchNormalization)
            # A function may choose it on purpose.
            or (callable(self._layers) and id(inner) in chosen_ids)
        }
        return [
            (
                layer,
                id(layer) not in frozen
                or id(layer) in learning
                or any(id(inner) in chosen_ids for inner in layers_in(layer)[1:]),
            )
            for layer in layers_in(model)
        ]

    def _chosen(self, model: keras.Model) -> list[keras.Layer]:
        frozen = _frozen_units(model)
        if not frozen:
            raise ValueError(
                "fine_tune_epochs unfreezes layers, and no layer of the model is frozen. Let the "
                "builder freeze some (layer.trainable = False), as skimgcv.models.pretrained "
                "does; or use fine_tune_epochs=0."
            )
        which = self._layers
        if callable(which):
            return _checked(which(model), model)
        if which == "all":
            return frozen
        if isinstance(which, str):
            return [layer for layer in layers_in(model) if fnmatch.fnmatchcase(layer.name, which)]
        return frozen[-which:]

    def _optimizer(self, model: keras.Model) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.get(compile_arguments(model)["optimizer"])
        check_config_says_all(optimizer)
        config = optimizer.get_config()
        # One that scales the loss has the learning rate of its inner optimizer.
        inner = config["inner_optimizer"]["config"] if "inner_optimizer" in config else config
        inner["learning_rate"] = self._rate
        return type(optimizer).from_config(config)


def _frozen_units(model: keras.Model) -> list[keras.Layer]:
    frozen = _frozen(model)
    return [layer for layer in _units(model) if id(layer) in frozen]


def _units(model: keras.Model) -> list[keras.Layer]:
    """Return a model's layers in order, with the layers of nested models in place of these."""
    units = []
    for layer in model.layers:
        if isinstance(layer, keras.Model) and has_graph(layer):
            units += _units(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            units.append(layer)
    return units


def _frozen(model: keras.Model) -> set[int]:
    """Return the ids of frozen layers, and of all layers within them."""
    outer = [layer for layer in layers_in(model) if not layer.trainable]
    return {id(inner) for layer in outer for inner in layers_in(layer)}


def _checked(layers: Any, model: keras.Model) -> list[keras.Layer]:
    chosen = list(layers) if isinstance(layers, Iterable) else [layers]
    known = {id(layer) for layer in layers_in(model)}
    if not all(id(layer) in known for layer in chosen):
        raise TypeError(
            "fine_tune_layers must return layers of the model, for instance "
            f"lambda model: model.layers[1].layers[-20:]; it returned {layers!r}."
        )
    return chosen


def _has_own_weights(layer: keras.Layer) -> bool:
    inner = layers_in(layer)[1:]
    return len(layer.weights) > len({id(w) for other in inner for w in other.weights})
