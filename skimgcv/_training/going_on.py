"""Parameters that a model was trained with, and those that later training may change."""

from __future__ import annotations

import contextlib
import hashlib
import types
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator

from skimgcv._models.routing import has_parameter, has_prefix, own_builder
from skimgcv._persistence.encoding import NotInFile
from skimgcv._runtime.keras_internals import compile_arguments
from skimgcv.augment._adapters import as_augmenter
from skimgcv.augment._protocol import SavableAugmenter

_COMPILED = ("optimizer", "loss", "metrics", "compile")
_EACH_CALL = {
    "class_augmenters",
    "validation_augmenter",
    "validation_split",
    "sampling_strategy",
    "class_weight",
    "tta_rounds",
    "tta_augmenter",
    "augmentation_views",
    "feature_cache",
    "image_shape",  # X is compared with the shape for which the model was built
    "batch_size",
    "epochs",
    "fine_tune_epochs",
    "fine_tune_layers",
    "fine_tune_learning_rate",
    "shuffle",
    "callbacks",
    "verbose",
    "warm_start",
}
"""Read again in each call, so a change takes effect."""

Record = dict[str, Any]


def record_of(estimator: Any, *, compiled_here: bool) -> Record:
    """Describe the parameters that made a model, as plain data.

    Parameters
    ----------
    compiled_here : bool
        Whether the estimator compiled the model, and not its builder.
    """
    elsewhere = _EACH_CALL | _not_the_builders(estimator)
    parameters = {
        name: _described(_adapted(value) if name == "augmenter" else value)
        for name, value in estimator._all_parameters().items()
        if name not in elsewhere and _root(name) not in ("fit", "predict", "callbacks")
    }
    return {"parameters": parameters, "compiled_here": compiled_here}


def _not_the_builders(estimator: Any) -> set[str]:
    """Return a subclass's own parameters, unless its builder may read them."""
    if own_builder(estimator) is not None:
        return set()
    builder = estimator.model
    return {
        name
        for name in estimator._own_parameters()
        if isinstance(builder, keras.Model)
        or not callable(builder)
        or not has_parameter(builder, name)
    }


class Changes:
    """The parameters that differ from those with which the estimator's model was trained.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
        Fitted. If nothing is recorded, as in a file of an earlier version, nothing counts as
        changed.

    Attributes
    ----------
    names : set of str
    compiled_here : bool
        Whether the estimator compiled the model.
    """

    def __init__(self, estimator: Any) -> None:
        record = getattr(estimator, "_trained_with", None)
        self.compiled_here: bool = bool(record and record["compiled_here"])
        self._was: Mapping[str, Any] = record["parameters"] if record else {}
        now = record_of(estimator, compiled_here=False)["parameters"]
        names = {*self._was, *now} if record else set()
        self.names = {
            name
            for name in names
            if name not in now or name not in self._was or not _same(self._was[name], now[name])
        }
        self._now = now

    @property
    def of_compile(self) -> set[str]:
        """The names of the arguments of ``compile``."""
        return {name for name in self.names if _root(name) in _COMPILED}

    @property
    def of_optimizer(self) -> bool:
        return any(_root(name) == "optimizer" for name in self.names)

    def check(self) -> None:
        """Refuse changes that an existing model cannot take.

        Raises
        ------
        ValueError
            The message names the parameter and its old value.
        """
        for name in sorted(self.names - {"augmenter"}):
            if name == "random_state":
                raise self.error(name, "the epochs to come are drawn by the seed of the first")
            if name not in self.of_compile:
                raise self.error(name, "the model was built with it")
            if not self.compiled_here:
                raise self.error(name, "the builder compiled the model, and is not called again")

    def error(self, name: str, why: str) -> ValueError:
        """Return the error that names the old value of a parameter."""
        was = f"was {self._was[name]!r}" if name in self._was else "was not set"
        now = f"is {self._now[name]!r}" if name in self._now else "is not set"
        return ValueError(
            f"{name} {was} and now {now}, but {why}: it cannot change while a model is trained "
            "further. Set it back, or train a new model: clone the estimator, or call fit with "
            "warm_start=False."
        )


@contextlib.contextmanager
def restored_on_error(model: keras.Model) -> Iterator[None]:
    """Restore all values of a model, and its compile arguments, if a fit fails."""
    # The optimizer that has the state: the one that was passed, or one that wraps it.
    arguments = compile_arguments(model) | {"optimizer": model.optimizer}
    variables = [*model.variables, *model.optimizer.variables]
    # Copied: convert_to_numpy may show the memory that training writes to.
    values = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    try:
        yield
    except BaseException:
        now = compile_arguments(model) | {"optimizer": model.optimizer}
        if any(now.get(name) is not value for name, value in arguments.items()):
            model.compile(**arguments | {"metrics": arguments["metrics"] or []})
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        raise


def _root(name: str) -> str:
    return name.partition("__")[0] if has_prefix(name) else name


def _adapted(augmenter: Any) -> Any:
    # A Keras ImageDataGenerator is compared by the parameters of the ImageAugmenter it becomes.
    adapted = as_augmenter(augmenter, "augmenter")
    return adapted if isinstance(adapted, BaseEstimator) else augmenter


def _described(value: Any) -> Any:
    """Return a form to compare later: the value may be changed in place, or copied."""
    if isinstance(value, BaseEstimator):
        parameters = value.get_params(deep=False)
        return {"class": type(value).__qualname__} | {
            n: _described(v) for n, v in parameters.items()
        }
    if isinstance(value, SavableAugmenter) and not isinstance(value, type):
        return {"class": type(value).__qualname__} | _described(value.to_config())
    if isinstance(value, (np.ndarray, np.generic)):
        content = repr(value.tolist()) if value.dtype == object else value.tobytes().hex()
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"array {value.dtype.str} {value.shape} {digest}" if value.ndim else value.item()
    if isinstance(value, Mapping):
        return {key: _described(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(v) for v in value]
    if hasattr(value, "get_config") and not isinstance(value, type):
        return _described_keras_object(value)
    return value


def _described_keras_object(value: Any) -> str:
    try:
        config = value.get_config()
    except Exception:  # a class of the user without one
        config = None
    if isinstance(value, keras.Model):
        # A file has lists in place of the tuples of the model.
        config = hashlib.sha256(repr(_described(config)).encode()).hexdigest()[:16]
    elif isinstance(config, dict):
        # Keras numbers its objects in their names.
        config = {k: v for k, v in config.items() if k != "name"}
    return f"{type(value).__qualname__} {config}"


def _same(was: Any, now: Any) -> bool:
    if was is now or isinstance(was, NotInFile) or isinstance(now, NotInFile):
        return True  # or it is unknown
    if isinstance(was, dict) and isinstance(now, dict):
        return was.keys() == now.keys() and all(_same(was[key], now[key]) for key in was)
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(map(_same, was, now))
    if isinstance(was, types.FunctionType) and isinstance(now, types.FunctionType):
        return _same_function(was, now)
    if isinstance(was, Number) and isinstance(now, Number):
        return bool(was == now) or (was != was and now != now)
    return type(was) is type(now) and bool(was == now)


def _same_function(was: types.FunctionType, now: types.FunctionType) -> bool:
    """Whether a function was only defined again, as by running a notebook's cell twice."""
    if was.__code__ != now.__code__ or was.__defaults__ != now.__defaults__:
        return False
    cells = zip(was.__closure__ or (), now.__closure__ or (), strict=True)
    return all(a is b or a.cell_contents is b.cell_contents for a, b in cells)
