"""The one door to what scikit-learn, joblib, Dask and Keras' old generator do not promise.

It imports scikit-learn only: lists of files and their readers come by here, too.
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = ["HasMethods", "Interval", "StrOptions", "validate_parameter_constraints"]


def listens_to_callbacks(estimator: Any) -> bool:
    """Whether an estimator has scikit-learn's callbacks (from 1.9 on) set."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def begin_task(estimator: Any, max_subtasks: int) -> Any:
    """Return the context of the task that a fit is to scikit-learn's callbacks."""
    return estimator._init_callback_context(max_subtasks=max_subtasks)


def is_loky_worker() -> bool:
    """Whether joblib started this process."""
    loky = sys.modules.get("joblib.externals.loky.backend.process")
    return bool(loky and isinstance(multiprocessing.current_process(), loky.LokyProcess))


def dask_workers() -> list[Any]:
    """Return the Dask workers in this process: seldom any, or one."""
    dask = sys.modules.get("distributed.worker")
    return list(dask.Worker._instances) if dask else []


def validation_split_of(generator: Any) -> float:
    """Return the share of images that a Keras ImageDataGenerator holds out."""
    return generator._validation_split
