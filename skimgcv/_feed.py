"""What Keras gets as data: batches, one prepared ahead, for as long as the fit lasts."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


class Feed(DataAdapter):
    """Batches as Keras reads them, in their own order.

    Keras' own adapter would make TensorFlow keep the data for ever.

    Parameters
    ----------
    data : keras.utils.PyDataset
        Its batches are tuples of arrays with a row an image.
    batch_size : int, optional
        Fill up each batch to as many rows, with copies of its last one.
    """

    def __init__(self, data: keras.utils.PyDataset, batch_size: int | None = None) -> None:
        self._data: keras.utils.PyDataset | None = data
        self._batch_size = batch_size
        self._n_batches: int = data.num_batches
        self._last_rows = 0
        self._pipe: _Pipe | None = None
        self.error: Exception | None = None

    @property
    def num_batches(self) -> int:
        return self._n_batches

    @property
    def batch_size(self) -> int | None:
        return self._batch_size

    @property
    def n_rows(self) -> int:
        """How many rows there were, those that fill up left out."""
        return (self._n_batches - 1) * (self._batch_size or 0) + self._last_rows

    def on_epoch_begin(self) -> None:
        if self._data is not None:
            self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        if self._data is not None:
            self._data.on_epoch_end()

    def get_numpy_iterator(self) -> Iterator[tuple[np.ndarray, ...]]:
        return self.batches()

    def get_jax_iterator(self) -> Iterator[Any]:
        return data_adapter_utils.get_jax_iterator(self.batches())

    def get_torch_dataloader(self) -> Any:
        return data_adapter_utils.get_torch_dataloader(self.batches())

    def get_tf_dataset(self) -> Any:
        self._pipe = _pipes.take(data_adapter_utils.get_tensor_spec([self._read(0)]))
        self._pipe.feed = self
        return self._pipe.dataset

    def batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the batches of an epoch."""
        for index in range(self._n_batches):
            yield self._read(index)

    def release(self) -> None:
        """Let go of the data."""
        self._data = None
        self.error = None
        if self._pipe is not None:
            _pipes.give_back(self._pipe)
            self._pipe = None

    def _read(self, index: int) -> tuple[np.ndarray, ...]:
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


def _filled(part: np.ndarray, n_rows: int) -> np.ndarray:
    missing = n_rows - len(part)
    if missing <= 0:
        return part
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])


class _Pipe:
    """A ``tf.data.Dataset`` of whatever feed is connected to it.

    TensorFlow never forgets a data set that is made of Python code, nor what that
    code refers to; so there are few of them, and they are used again.
    """

    def __init__(self, spec: tuple[Any, ...]) -> None:
        import tensorflow as tf

        self.spec = spec
        self.feed: Feed | None = None
        data = tf.data.Dataset.from_generator(self._batches, output_signature=spec)
        options = tf.data.Options()
        # There is nothing to tune: one batch is read while another one trains.
        options.autotune.enabled = False
        self.dataset = data.prefetch(2).with_options(options)

    def _batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        return iter(()) if self.feed is None else self.feed.batches()


class _Pipes:
    """Idle pipes by what their batches look like."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        # A lock that another thread held during a fork would stay locked in the child.
        self._lock = threading.Lock()
        self._idle: dict[Hashable, list[_Pipe]] = collections.defaultdict(list)

    def take(self, spec: tuple[Any, ...]) -> _Pipe:
        with self._lock:
            if idle := self._idle[spec]:
                return idle.pop()
        return _Pipe(spec)

    def give_back(self, pipe: _Pipe) -> None:
        pipe.feed = None
        with self._lock:
            self._idle[pipe.spec].append(pipe)


_pipes = _Pipes()
os.register_at_fork(after_in_child=_pipes.clear)
