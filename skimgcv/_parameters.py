"""An estimator's parameters: each is checked before anything is read or built."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np

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
# What reads these says more of what they may be than a list of types does.
_ELSEWHERE = "no_validation"

CONSTRAINTS: dict[str, Any] = {
    "model": _ELSEWHERE,
    "augmenter": _AUGMENTER,
    "class_augmenters": [None, Mapping],
    "validation_augmenter": _AUGMENTER,
    "validation_split": [Interval(Real, 0, 1, closed="left")],
    "sampling_strategy": _ELSEWHERE,
    "class_weight": _ELSEWHERE,
    "tta_rounds": _COUNT_OR_0,
    "tta_augmenter": _AUGMENTER,
    "image_shape": _ELSEWHERE,
    "optimizer": [None, str, keras.optimizers.Optimizer, type],
    "loss": [None, str, callable, list, tuple, Mapping],
    "metrics": [None, str, callable, list, tuple, Mapping],
    "batch_size": _BATCH,
    "epochs": _COUNT,
    "shuffle": ["boolean"],
    "callbacks": [None, callable, keras.callbacks.Callback, list, tuple, Mapping],
    "verbose": _VERBOSE,
    "random_state": ["random_state", np.random.Generator],
    "warm_start": ["boolean"],
}
"""Of the classifier, in the words of scikit-learn's own estimators."""

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
    """Check an estimator's parameters, and that none is missing.

    Parameters
    ----------
    resume : bool
        Whether no model is to be built.

    Raises
    ------
    ValueError
        A TypeError, too, in scikit-learn's words.
    ValueError
        Where a file that the estimator was loaded from lacks one that is code.
    """
    parameters = estimator._all_parameters()
    for name, value in parameters.items():
        reference = find_missing(value)
        if reference is not None and not (resume and name == "model"):
            raise ValueError(f"{name}: {missing(reference)}.")
    validate_parameter_constraints(
        CONSTRAINTS | _ROUTED, parameters, caller_name=type(estimator).__name__
    )
