"""Callbacks that write files. Several fits with one path overwrite each other's files."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import keras

from skimgcv._runtime.callers import user_stacklevel
from skimgcv.exceptions import SharedPathWarning

_PATHS = {
    keras.callbacks.CSVLogger: "filename",
    keras.callbacks.ModelCheckpoint: "filepath",
    keras.callbacks.TensorBoard: "log_dir",
}

# The estimator whose fit wrote to a path last, in this process.
_writers: dict[str, weakref.ref[Any]] = {}
_lock = threading.Lock()


def refuse_backups(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuse Keras' own way to resume: it does not ask which fit it resumes.

    Raises
    ------
    ValueError
    """
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        raise ValueError(
            "BackupAndRestore resumes what any fit left in its folder. This may be the fit of "
            "another fold, which has seen this one's test rows. Pass checkpoint_dir to fit "
            "(params={'checkpoint_dir': folder} to cross_validate): it resumes the same fit only."
        )


def warn_shared_paths(callbacks: Sequence[keras.callbacks.Callback], estimator: Any) -> None:
    """Warn if a fit writes to the path of another estimator's fit, as the clones of folds do.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback
        The callbacks of this fit. Only the paths of Keras' own classes are known.
    estimator : AugmentedKerasClassifier

    Warns
    -----
    SharedPathWarning
    """
    for callback in callbacks:
        for kind, attribute in _PATHS.items():
            path = getattr(callback, attribute, None) if isinstance(callback, kind) else None
            if path is not None and _written_by_another(os.path.abspath(path), estimator):
                name = type(callback).__name__
                warnings.warn(
                    f"{name} writes to {os.fspath(path)!r}, and a fit of another estimator in "
                    "this process did so, too. Of several folds or candidates, the file has only "
                    "the last one, or a mixture. Give each fit its own path with a function: "
                    f"callbacks=lambda: keras.callbacks.{name}(new_path()).",
                    SharedPathWarning,
                    stacklevel=user_stacklevel(),
                )


def _written_by_another(path: str, estimator: Any) -> bool:
    with _lock:
        last, _writers[path] = _writers.get(path), weakref.ref(estimator)
    return last is not None and last() is not estimator
