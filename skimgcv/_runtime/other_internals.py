"""Private names, continued: those of scikit-learn, joblib, Dask and Keras' old generator.

It imports only scikit-learn, since lists of files and their readers use it, too. A missing name
has the effect that ``keras_internals`` describes.
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

from skimgcv._runtime.versions import given_up, refusing, require, unsupported

try:
    # scikit-learn's constraints of parameters, and their errors. Without them no parameter could
    # be checked: an error. Seen in scikit-learn 1.6 to 1.9.
    from sklearn.utils._param_validation import (
        HasMethods,
        Interval,
        StrOptions,
        validate_parameter_constraints,
    )
except ImportError as error:
    raise unsupported("sklearn", "to check parameters", error) from error

__all__ = ["HasMethods", "Interval", "StrOptions", "validate_parameter_constraints"]


@refusing("sklearn", "to tell its callbacks of a fit")
def listens_to_callbacks(estimator: Any) -> bool:
    """Whether an estimator has scikit-learn's callbacks set.

    Without the attribute they would never be called: an error. Seen in scikit-learn 1.9. Earlier
    versions have no callbacks.
    """
    if hasattr(estimator, "_skl_callbacks"):
        return True
    setter = getattr(type(estimator), "set_callbacks", None)
    names = getattr(getattr(setter, "__code__", None), "co_names", ("_skl_callbacks",))
    require("_skl_callbacks" in names, "no _skl_callbacks")
    return False


@refusing("sklearn", "to tell its callbacks of a fit")
def begin_task(estimator: Any, max_subtasks: int) -> Any:
    """Return the context of a fit's task for scikit-learn's callbacks.

    Without it they would not be called: an error. Seen in scikit-learn 1.9.
    """
    return estimator._init_callback_context(max_subtasks=max_subtasks)


_LOKY = "joblib.externals.loky.backend.process"


def is_loky_worker() -> bool:
    """Whether joblib started this process.

    Without it its workers do not share a GPU: a warning. Seen in joblib 1.4 to 1.6.
    """
    return bool(
        _LOKY in sys.modules
        and (kind := _loky_process())
        and isinstance(multiprocessing.current_process(), kind)
    )


@given_up("joblib", "recognising workers", "the first may take all memory of a GPU")
def _loky_process() -> Any:
    return sys.modules[_LOKY].LokyProcess


def dask_workers() -> list[Any]:
    """Return the Dask workers in this process: usually none, or one.

    Without it each would use all cores and, the first, all of a GPU's memory: a warning. Seen in
    Dask 2026.
    """
    worker = _dask_worker() if "distributed.worker" in sys.modules else None
    return list(worker._instances) if worker else []


@given_up("distributed", "recognising workers", "each may use all cores and all memory of a GPU")
def _dask_worker() -> Any:
    worker = sys.modules["distributed.worker"].Worker
    iter(worker._instances)
    return worker


@refusing("keras", "to read an ImageDataGenerator's validation_split")
def validation_split_of(generator: Any) -> float:
    """Return the share of images that a Keras ImageDataGenerator holds out.

    Without it its images would be split differently: an error. Seen in Keras 3.8 to 3.16.
    """
    return generator._validation_split
