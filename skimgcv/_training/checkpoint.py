"""An interrupted fit goes on from its last epoch, with the bits that it would have had."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator

from skimgcv._data.rows import LabelledRows
from skimgcv._persistence.archive import read_archive, write_archive
from skimgcv._persistence.encoding import Decoder, Encoder
from skimgcv._persistence.saving import package_versions
from skimgcv._training.training_data import TrainingData

_KIND = "skimgcv checkpoint"
_DOCUMENT = "fit.json"
# These change nothing in what is trained.
_IDLE = {"verbose", "tta_rounds", "tta_augmenter", "warm_start"}
_PLAIN = (type(None), bool, int, float, str, np.generic)
_SOME_ROWS = 24
# How a callback compares, which Keras' own choose, and turn their min_delta for, only once.
_COMPARISONS = {"less": keras.ops.less, "greater": keras.ops.greater}


class FitState(keras.callbacks.Callback):
    """Writes all that a fit needs to go on into a file, at the end of each epoch.

    Parameters
    ----------
    path : Path
        What is there already is gone on from.
    callbacks : list of keras.callbacks.Callback
        The fit's own, whose counters and records are kept as well.
    """

    def __init__(self, path: Path, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self._path = path
        self._callbacks = callbacks
        self.history: dict[str, list[float]] = {}
        self.stopped = False
        self._arrays: list[np.ndarray] = []
        self._kept: list[dict[str, Any]] = []
        if path.exists():
            self._read()

    @classmethod
    def of(
        cls,
        folder: str | os.PathLike[str],
        estimator: Any,
        data: TrainingData,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> FitState:
        """Find the state of a fit with these parameters and this data, if there is one.

        Raises
        ------
        ValueError
            Where another fit could not be the same one.
        """
        seed = estimator.random_state
        if not isinstance(seed, (int, np.integer)):
            raise ValueError(
                "checkpoint_dir needs random_state to be an int, so that a fit that goes on is "
                f"the same one; it is {seed!r}."
            )
        Path(folder).mkdir(parents=True, exist_ok=True)
        return cls(Path(folder, f"{_key(estimator, data)}.fit"), callbacks)

    @property
    def epochs(self) -> int:
        """How many epochs were run."""
        return len(self.history.get("loss", ()))

    def whole(self, history: dict[str, list[float]]) -> dict[str, list[float]]:
        """Return the history of the fit from its start, given that of this run."""
        return {**history, **self.history}

    # -- what Keras calls, after it has called the fit's own callbacks -------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Put everything back where it was."""
        if not self.epochs:
            return
        model = self.model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        # What the callbacks have kept comes after these.
        for variable, value in zip(_variables(model), self._arrays, strict=False):
            variable.assign(value)
        for callback, kept in zip(self._callbacks, self._kept, strict=True):
            vars(callback).update(kept)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the state of this moment."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.stopped = bool(self.model.stop_training)
        encoder = Encoder()
        # Copied: convert_to_numpy may show the memory that training writes to.
        encoder.arrays += [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(self.model)]
        state = {
            "history": self.history,
            "stopped": self.stopped,
            "callbacks": [
                {name: value for name, value in vars(c).items() if _is_kept(value)}
                for c in self._callbacks
            ],
        }
        document = encoder.encode(state, "state")
        write_archive(
            self._path, _KIND, {_DOCUMENT: document}, encoder.arrays, packages=package_versions()
        )

    def _read(self) -> None:
        (document,), self._arrays = read_archive(self._path, _KIND, [_DOCUMENT])
        state = Decoder(self._arrays, _COMPARISONS).decode(document)
        self.history, self.stopped = state["history"], state["stopped"]
        self._kept = state["callbacks"]


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def _is_kept(value: Any) -> bool:
    return _is_plain(value) or any(value is comparison for comparison in _COMPARISONS.values())


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN) or (isinstance(value, np.ndarray) and value.dtype != object)


# -- which fit it is -------------------------------------------------------------------------


def _key(estimator: Any, data: TrainingData) -> str:
    """Return what only an equal fit has: of parameters, code, rows and versions."""
    digest = hashlib.blake2b(digest_size=16)
    parameters = estimator.get_params(deep=False)
    settings = {name: value for name, value in parameters.items() if name not in _IDLE}
    for part in (package_versions(), settings, data.classes, data.features):
        digest.update(_described(part).encode())
    for rows in (data.train, data.validation):
        if rows is not None:
            _add_rows(digest, rows)
    return digest.hexdigest()


def _add_rows(digest: Any, labelled: LabelledRows) -> None:
    images = labelled.images
    for array in (labelled.rows, labelled.y, labelled.weights):
        digest.update(_described(array).encode())
    digest.update(repr((images.shape, images.dtype)).encode())
    # Files are not all decoded for this.
    some = np.unique(np.linspace(0, len(images) - 1, _SOME_ROWS).astype(int))
    for chunk in images.chunks() if images.has_pixels else [images[some]]:
        digest.update(np.ascontiguousarray(chunk).data)


def _described(value: Any, depth: int = 0) -> str:
    """Describe a parameter by its content: the same in each process, other for other code."""
    if isinstance(value, _PLAIN) or depth > 8:
        return repr(value) if isinstance(value, _PLAIN) else type(value).__qualname__
    inner = functools.partial(_described, depth=depth + 1)
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
        return f"array {value.dtype.str} {value.shape} {hashlib.sha256(content).hexdigest()}"
    if isinstance(value, (list, tuple, set)):
        return f"{type(value).__name__} {list(map(inner, value))}"
    if isinstance(value, dict):
        # Keras counts its objects up in their names.
        named = {k: v for k, v in value.items() if k != "name"}
        return f"dict {sorted((inner(k), inner(v)) for k, v in named.items())}"
    if isinstance(value, functools.partial):
        return f"partial {inner(value.func)} {inner(value.args)} {inner(value.keywords)}"
    if isinstance(value, (type, types.FunctionType, types.MethodType)):
        return _code(value, inner)
    return f"{inner(type(value))} {inner(_content(value))}"


def _code(value: Any, inner: Any) -> str:
    name = f"{value.__module__}.{value.__qualname__}"
    if value.__module__.partition(".")[0] in ("keras", "numpy", "builtins", "skimgcv"):
        return name
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):  # typed at a prompt
        source = getattr(getattr(value, "__code__", None), "co_code", b"").hex()
    cells = [c.cell_contents for c in getattr(value, "__closure__", None) or ()]
    return json.dumps([name, source, inner(cells), inner(getattr(value, "__defaults__", None))])


def _content(value: Any) -> Any:
    if isinstance(value, BaseEstimator):
        return value.get_params(deep=False)
    if hasattr(value, "get_config"):
        return value.get_config()
    return {name: v for name, v in getattr(value, "__dict__", {}).items() if name != "_model"}
