"""What Keras gets as data: batches, for as long as the fit lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np


class Feed(keras.utils.PyDataset):
    """Passes batches on to Keras, which keeps this for ever: the data only while it trains.

    Parameters
    ----------
    data : keras.utils.PyDataset
    batch_size : int, optional
        Fill up each batch to as many rows.
    """

    def __init__(self, data: keras.utils.PyDataset, batch_size: int | None = None) -> None:
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self._data: keras.utils.PyDataset | None = data
        self._batch_size = batch_size
        self._last_rows = 0
        self._n_batches = data.num_batches
        self.error: Exception | None = None

    @property
    def num_batches(self) -> int:
        return self._n_batches

    @property
    def n_rows(self) -> int:
        """How many rows there were, those that fill up left out."""
        return (self._n_batches - 1) * (self._batch_size or 0) + self._last_rows

    def __getitem__(self, index: int) -> Any:
        data = self._data
        if data is None:
            raise IndexError("the fit is over")
        try:
            batch = data[index]
        except Exception as error:
            # TensorFlow will wrap it in an error of its own.
            self.error = error
            raise
        if self._batch_size is None:
            return batch
        if index == self._n_batches - 1:
            self._last_rows = len(batch[0])
        return tuple(_filled(part, self._batch_size) for part in batch)

    def on_epoch_begin(self) -> None:
        if self._data is not None:
            self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        if self._data is not None:
            self._data.on_epoch_end()

    def release(self) -> None:
        """Let go of the data."""
        self._data = None
        self.error = None


def _filled(part: np.ndarray, n_rows: int) -> np.ndarray:
    missing = n_rows - len(part)
    if missing <= 0:
        return part
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])


@contextlib.contextmanager
def released(feeds: Sequence[Feed]) -> Iterator[None]:
    """Release the data in the end, and let the data's own errors through as themselves."""
    cause: Exception | None = None
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("tensorflow"):
            cause = next((f.error for f in feeds if f.error is not None), None)
        if cause is None:
            raise
    finally:
        for feed in feeds:
            feed.release()
    if cause is not None:
        raise cause
