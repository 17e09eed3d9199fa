"""Notes on errors of the user's own code: where in the fit they occurred."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from skimgcv._batches.batches import TrainingBatches
from skimgcv._compiled.step_groups import failed_step


class FitLocation(keras.callbacks.Callback):
    """Records the current epoch and batch, before the user's own callbacks are called."""

    takes_groups = True

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self._batches = batches
        self._doing, self._batch = "training", -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._doing, self._batch = "training", -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch = batch

    def on_test_begin(self, logs: Any = None) -> None:
        self._doing, self._batch = "validating", -1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._doing, self._batch = "training", -1

    def of(self, error: BaseException) -> str:
        """Return where an error occurred."""
        where = f"while {self._doing}, in epoch {self._batches.number}"
        if self._batch < 0:
            return where
        batch = self._batch + failed_step(error)
        return f"{where}, batch {batch}, rows {self._batches.rows_of(batch)} of X"


@contextlib.contextmanager
def errors_noted(location: FitLocation) -> Iterator[None]:
    """Add the epoch and batch to errors of the user's own callback, loss or layer."""
    try:
        yield
    except Exception as error:
        if not getattr(error, "__notes__", None):
            error.add_note(location.of(error))
        raise
