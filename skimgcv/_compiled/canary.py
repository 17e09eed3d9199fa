"""A check that models can share compiled steps with the installed Keras."""

from __future__ import annotations

import keras
import numpy as np

from skimgcv._compiled.equality import Fingerprint, fingerprint
from skimgcv._runtime.seeding import seeded
from skimgcv._runtime.step_internals import (
    build_beside_graph,
    build_by_tracing,
    in_places_of,
    is_built,
    metric_names,
)
from skimgcv._runtime.versions import given_up, require


@given_up("keras", "sharing compiled models", "each model is compiled for itself, which is slower")
def models_share_steps() -> bool:
    """Try it on two small models: a few hundredths of a second, once."""
    if keras.backend.backend() == "torch":
        return True  # it compiles no steps: no model is shared there, and none is checked
    # Layers draw their seeds here; the user's random numbers do not change.
    with seeded(0):
        one, other = _model("one"), _model("other")
    of_one, of_other = fingerprint(one), fingerprint(other)
    require(of_one.key == of_other.key, "equal models look different")
    require(len(of_one.variables) > 8, "variables are missed")
    require(metric_names(one) == metric_names(other), "metrics have no names")
    for step in ("train_function", "test_function", "predict_function"):
        require(step in vars(one), f"no {step}")
    if keras.backend.backend() == "tensorflow":
        _check_exchange(one, of_one, other, of_other)
    return True


def _model(name: str) -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((2,), name=f"{name}_input"),
            layers.Dense(2, name=f"{name}_dense"),
            layers.Dropout(0.5, name=f"{name}_dropout"),
        ],
        name=name,
    )
    optimizer = keras.optimizers.AdamW(0.5, weight_decay=0.5, name=f"{name}_adamw")
    model.compile(optimizer, "mse", metrics=["mae"])
    x, y = (keras.KerasTensor((1, 2), dtype="float32", name=n) for n in "xy")
    build_beside_graph(model, x, y)
    require(is_built(model), "models are not built")
    build_by_tracing(model, (x, y))
    return model


def _check_exchange(
    model: keras.Model, of_one: Fingerprint, other: keras.Model, of_other: Fingerprint
) -> None:
    """Let a model take a step with another's variables, and compare it with its own step."""
    gradients = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    for variable in other.trainable_variables:
        variable.assign(variable * 0 + 7)
    start = model.get_weights()
    state = [np.array(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables]
    with in_places_of(
        of_one.variables, of_one.optimizers, of_other.variables, of_other.optimizers
    ):
        require(_same(model, start) and _same(other, start), "values are not put in")
        model.optimizer.apply(gradients, model.trainable_variables)
        require(_same(other, model.get_weights()), "variables are not exchanged")
    after = model.get_weights()
    # The same step with the model's own variables, after its state was restored.
    require(not _same(model, start), "values are not taken out")
    model.set_weights(start)
    for variable, value in zip(model.optimizer.variables, state, strict=True):
        variable.assign(value)
    model.optimizer.apply(gradients, model.trainable_variables)
    require(_same(model, after), "a step in another's variables is another step")


def _same(model: keras.Model, weights: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, model.get_weights(), weights))
