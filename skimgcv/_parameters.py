"""The parameters of an estimator. Each is checked before images are read or a model is built."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import keras
import numpy as np

from skimgcv._models.routing import names_with_prefix, nearest
from skimgcv._persistence.encoding import find_missing, missing
from skimgcv._runtime.other_internals import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

_AUGMENTER = [
    None,
    callable,
    HasMethods(["draw", "apply", "standardize"]),
    HasMethods(["random_transform", "standardize"]),  # a Keras ImageDataGenerator
]
_COUNT = [Interval(Integral, 1, None, closed="left")]
_COUNT_OR_0 = [Interval(Integral, 0, None, closed="left")]
_BATCH = [None, *_COUNT]
_VERBOSE = ["boolean", StrOptions({"auto"}), *_COUNT_OR_0]
# The code that reads these parameters has better messages than a list of types.
_ELSEWHERE = "no_validation"

CONSTRAINTS: dict[str, Any] = {
    "model": _ELSEWHERE,
    "augmenter": _AUGMENTER,
    "class_augmenters": [None, Mapping],
    "validation_augmenter": _AUGMENTER,
    "validation_split": [Interval(Real, 0, 1, closed="left")],
    "sampling_strategy": _ELSEWHERE,
    "class_weight": _ELSEWHERE,
    "multilabel": ["boolean"],
    "tta_rounds": _COUNT_OR_0,
    "tta_augmenter": _AUGMENTER,
    "image_shape": _ELSEWHERE,
    "augmentation_views": [None, *_COUNT],
    "feature_cache": [None, str, os.PathLike, *_COUNT_OR_0],
    "optimizer": [None, str, keras.optimizers.Optimizer, type],
    "loss": [None, str, callable, list, tuple, Mapping],
    "metrics": [None, str, callable, list, tuple, Mapping],
    "batch_size": _BATCH,
    "epochs": _COUNT,
    "fine_tune_epochs": _COUNT_OR_0,
    "fine_tune_layers": [str, callable, *_COUNT],
    "fine_tune_learning_rate": [Interval(Real, 0, None, closed="neither")],
    "shuffle": ["boolean"],
    "callbacks": [None, callable, keras.callbacks.Callback, list, tuple, Mapping],
    "verbose": _VERBOSE,
    "random_state": ["random_state", np.random.Generator],
    "warm_start": ["boolean"],
}
"""The constraints of all estimators, written as scikit-learn's own estimators do."""

_ROUTED = {
    "fit__batch_size": _BATCH,
    "fit__epochs": _COUNT,
    "fit__initial_epoch": _COUNT_OR_0,
    "fit__validation_freq": _COUNT,
    "fit__verbose": _VERBOSE,
    "predict__batch_size": _BATCH,
    "predict__verbose": _VERBOSE,
}


def check_parameters(estimator: Any, *, resume: bool = False) -> None:
    """Check the parameters of an estimator, and that none is missing.

    Parameters
    ----------
    resume : bool
        Whether training continues with a model, so that none is built.

    Raises
    ------
    ValueError
        A TypeError, too, in scikit-learn's words.
    ValueError
        If the estimator was loaded from a file, and a parameter that is code is not yet set.
    """
    parameters = estimator._all_parameters()
    for name, value in parameters.items():
        reference = find_missing(value)
        if reference is not None and not (resume and name == "model"):
            raise ValueError(f"{name}: {missing(reference)}.")
    validate_parameter_constraints(
        CONSTRAINTS | _ROUTED, parameters, caller_name=type(estimator).__name__
    )


def check_parameter_names(estimator: Any, params: Mapping[str, Any]) -> None:
    """Refuse names that ``set_params`` does not know, and suggest similar names.

    Raises
    ------
    ValueError
        As in scikit-learn, whose message would list all names.
    """
    for name in params:
        owner, _, nested = name.partition("__")
        known = estimator.get_params(deep=False)
        if owner not in known:
            names = [*known, *names_with_prefix(estimator)]
            near = nearest(owner, names, getattr(estimator, "optimizer", None))
            others = "It has"
            if "model" in known and not near:
                others = f"A parameter of the builder is model__{name}; the others are"
            raise ValueError(
                f"Invalid parameter {owner!r} for {type(estimator).__name__}{near or '.'} "
                f"{others} {', '.join(known)}."
            )
        its_own = getattr(params.get(owner, known[owner]), "get_params", None)
        if nested and its_own and nested.partition("__")[0] not in its_own(deep=False):
            near = nearest(nested, its_own(deep=False))
            raise ValueError(
                f"Invalid parameter {nested!r} for {owner}{near or '.'} It has "
                f"{', '.join(its_own(deep=False))}."
            )


_Method = TypeVar("_Method", bound=Callable[..., Any])
_PREFIXED = {
    "fit": ("initial_epoch", "validation_freq"),
    "predict": ("batch_size", "callbacks", "verbose"),
}


def options_explained(method: _Method) -> _Method:
    """Let a method say where to pass an option that this method takes in Keras or SciKeras."""
    known = inspect.signature(method).parameters

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in known:
                raise TypeError(_where_it_belongs(method.__name__, name, list(known)[1:]))
        return method(self, *args, **kwargs)

    return cast(_Method, call)


def _where_it_belongs(method: str, name: str, known: list[str]) -> str:
    keras_method = "fit" if method.endswith("fit") else "predict"
    if name in _PREFIXED[keras_method]:
        name = f"{keras_method}__{name}"
    elif name not in CONSTRAINTS:
        return (
            f"{method}() takes no {name!r}, but {', '.join(known)}. Other options are parameters "
            "of the estimator; an epoch is all rows, or what sampling_strategy makes of them."
        )
    return (
        f"{method}() takes no {name.rpartition('__')[2]!r}: it is a parameter of the estimator. "
        f"Pass {name}=... where the estimator is made, or call set_params({name}=...) before."
    )
