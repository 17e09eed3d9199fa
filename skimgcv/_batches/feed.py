"""The data for Keras: batches, one prepared ahead, until the fit ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from skimgcv._batches.channels import Channel, channels
from skimgcv._runtime.keras_internals import adapted

Batch = tuple[np.ndarray, ...]


class Feed:
    """Passes batches to Keras in order, each made once.

    Keras itself reads the first batches of a ``PyDataset`` twice to learn their shapes, builds a
    pipeline for each, and keeps both until the process ends.

    Parameters
    ----------
    data : keras.utils.PyDataset
        Its batches are tuples of arrays with a row for each image.
    batch_size : int, optional
        Fill each batch to this number of rows, with copies of its last row.
    """

    def __init__(self, data: keras.utils.PyDataset, batch_size: int | None = None) -> None:
        self._data: keras.utils.PyDataset | None = data
        self._fill_to = batch_size
        self._last_rows = 0
        self._n_batches: int = data.num_batches
        self._looked_at: Batch | None = None
        self._begun = False
        self._channel: Channel | None = None
        self.error: BaseException | None = None

    @property
    def num_batches(self) -> int:
        return self._n_batches

    @property
    def n_rows(self) -> int:
        """Number of rows, without those that fill batches."""
        return (self._n_batches - 1) * (self._fill_to or 0) + self._last_rows

    @property
    def is_unread(self) -> bool:
        """Whether no batch was read. The first may have been peeked at."""
        return not self._begun

    def first(self) -> Batch:
        """Peek at the first batch, which is read later."""
        if self._looked_at is None:
            self._looked_at = self._make(0)
        return self._looked_at

    def read(self, batch: int) -> Batch:
        """Return a batch, or none at the end and after the data is released."""
        if self._data is None or batch >= self._n_batches:
            raise StopIteration
        self._begun = True
        ready, self._looked_at = self._looked_at, None
        return ready if ready is not None and batch == 0 else self._make(batch)

    def _make(self, batch: int) -> Batch:
        assert self._data is not None
        try:
            parts = self._data[batch]
        except BaseException as error:
            # TensorFlow wraps it in its own error, or takes it for the end.
            self.error = error
            raise RuntimeError("a batch could not be made") from error
        if self._fill_to is None:
            return parts
        if batch == self._n_batches - 1:
            self._last_rows = len(parts[0])
        return tuple(_filled(part, self._fill_to) for part in parts)

    def release(self) -> None:
        """Release the data."""
        if self._channel is not None:
            channels.give_back(self._channel)
        self._channel = self._data = self._looked_at = self.error = None

    # -- the interface for Keras -------------------------------------------

    def for_keras(self) -> Any:
        """Return the data for Keras' methods."""
        adapter = adapted(self)
        return _Dataset(self) if adapter is None else adapter

    def dataset(self) -> Any:
        """Return a TensorFlow data set of this data."""
        spec = tuple(((None, *part.shape[1:]), part.dtype.name) for part in self.first())
        self._channel = channels.take(spec)
        return self._channel.connect(self.read, self._n_batches)

    def epoch(self) -> Iterator[Batch]:
        """Return one epoch of arrays."""
        return (self.read(batch) for batch in range(self._n_batches))

    def on_epoch_begin(self) -> None:
        """Let the data draw its next epoch. It returns True if batches are others than before."""
        if self._data is not None and self._data.on_epoch_begin():
            self._looked_at = None

    def on_epoch_end(self) -> None:
        """Call the data's hook for the end of an epoch."""
        if self._data is not None:
            self._data.on_epoch_end()


class _Dataset(keras.utils.PyDataset):
    """A feed's batches for Keras' own data adapter, which reads some of them twice."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    @property
    def num_batches(self) -> int:
        return self._feed.num_batches

    def __getitem__(self, batch: int) -> Batch:
        return self._feed.read(batch)

    def on_epoch_begin(self) -> None:
        self._feed.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._feed.on_epoch_end()


def _filled(part: np.ndarray, n_rows: int) -> np.ndarray:
    missing = n_rows - len(part)
    if missing <= 0:
        return part
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])


@contextlib.contextmanager
def released(feeds: Sequence[Feed]) -> Iterator[None]:
    """Release the data at the end, and raise the data's own errors unchanged."""
    cause: BaseException | None = None
    try:
        yield
    except Exception:
        cause = next((f.error for f in feeds if f.error is not None), None)
        if cause is None:
            raise
    finally:
        for feed in feeds:
            feed.release()
    if cause is not None:
        context = cause.__context__
        try:
            raise cause
        finally:
            # Without the error that wrapped it, whose cause it is: a pickle cannot contain a
            # circle.
            cause.__context__ = context
