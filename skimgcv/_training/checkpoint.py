"""Checkpoints: an interrupted fit resumes after its last epoch, with the same bits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from skimgcv._persistence.archive import read_archive, write_archive
from skimgcv._persistence.encoding import Decoder, Encoder
from skimgcv._persistence.saving import package_versions

_KIND = "skimgcv checkpoint"
_DOCUMENT = "fit.json"
_PLAIN = (type(None), bool, int, float, str, np.generic)
# Keras' callbacks choose their comparison, and the sign of min_delta, only once.
_COMPARISONS = {"less": keras.ops.less, "greater": keras.ops.greater}


class FitState(keras.callbacks.Callback):
    """Writes the state that a fit needs to resume into a file, at the end of each epoch.

    Parameters
    ----------
    path : Path
        A file that exists there is resumed.
    callbacks : list of keras.callbacks.Callback
        The callbacks of this fit. Their counters and records are saved as well.
    """

    def __init__(self, path: Path, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self._path = path
        self._callbacks = callbacks
        self.history: dict[str, list[float]] = {}
        self.stopped = False
        self._metric_names: list[str] = []
        self._arrays: list[np.ndarray] = []
        self._kept: list[dict[str, Any]] = []
        self._files: list[str | None] = []
        if path.exists():
            self._read()
            self._restore_files()

    @classmethod
    def of(
        cls,
        folder: str | os.PathLike[str],
        key: str,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> FitState:
        """Find the state of the fit with this key, if there is one."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        return cls(Path(folder, f"{key}.fit"), callbacks)

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return len(self.history.get("loss", ()))

    def whole(self, history: dict[str, list[float]]) -> dict[str, list[float]]:
        """Return the history of the fit from its start, given that of this run."""
        return {**history, **self.history}

    # -- methods that Keras calls after the fit's own callbacks -------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore the saved state."""
        if not self.epochs:
            return
        model = self.model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        # The saved attributes of the callbacks come after these.
        for variable, value in zip(_variables(model), self._arrays, strict=False):
            variable.assign(value)
        for callback, kept in zip(self._callbacks, self._kept, strict=True):
            if isinstance(callback, keras.callbacks.CSVLogger):
                kept = {k: v for k, v in kept.items() if k not in ("append", "append_header")}
            vars(callback).update(kept)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the current state."""
        self._rename_metrics()
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.stopped = bool(self.model.stop_training)
        encoder = Encoder()
        # Copied: convert_to_numpy may show the memory that training writes to.
        encoder.arrays += [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(self.model)]
        state = {
            "history": self.history,
            "stopped": self.stopped,
            "metrics": self._metric_names,
            "callbacks": [
                {name: value for name, value in vars(c).items() if _is_kept(value)}
                for c in self._callbacks
            ],
            "files": [_text_of(c) for c in self._callbacks],
        }
        document = encoder.encode(state, "state")
        write_archive(
            self._path, _KIND, {_DOCUMENT: document}, encoder.arrays, packages=package_versions()
        )

    def _read(self) -> None:
        (document,), self._arrays = read_archive(self._path, _KIND, [_DOCUMENT])
        state = Decoder(self._arrays, _COMPARISONS).decode(document)
        self.history, self.stopped = state["history"], state["stopped"]
        self._metric_names = state["metrics"]
        self._kept = state["callbacks"]
        self._files = state["files"]

    def _restore_files(self) -> None:
        """Let each CSVLogger go on after the completed epochs, whatever its file has now."""
        for callback, text in zip(self._callbacks, self._files, strict=True):
            if isinstance(callback, keras.callbacks.CSVLogger):
                callback.append = True
                if text is not None:  # None: the file is on another machine
                    Path(callback.filename).write_bytes(text.encode())

    def _rename_metrics(self) -> None:
        """Rename the history's metrics as in this model; Keras numbers metrics without a name."""
        now = [metric.name for metric in self.model.metrics]
        names = dict(zip(self._metric_names, now, strict=False))
        names |= {f"val_{old}": f"val_{new}" for old, new in names.items()}
        self.history = {names.get(name, name): v for name, v in self.history.items()}
        self._metric_names = now


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def _text_of(callback: keras.callbacks.Callback) -> str | None:
    """Return what a CSVLogger has written, to a file on this machine."""
    if isinstance(callback, keras.callbacks.CSVLogger) and os.path.isfile(callback.filename):
        return Path(callback.filename).read_bytes().decode()
    return None


def _is_kept(value: Any) -> bool:
    return _is_plain(value) or any(value is comparison for comparison in _COMPARISONS.values())


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN) or (isinstance(value, np.ndarray) and value.dtype != object)
