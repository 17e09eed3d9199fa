"""TensorFlow's data sets of batches from Python, built once for each kind of batch."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from skimgcv._runtime.platform import after_fork

Spec = tuple[tuple[tuple[int | None, ...], str], ...]
"""The shape of each part of a batch, with None for the rows, and its dtype."""

Read = Callable[[int], tuple[np.ndarray, ...]]


class Channel:
    """A ``tf.data.Dataset`` that reads batch 0, 1, ... of the data that it is connected to.

    With a new data set in each fit, three functions would be traced, which takes as long as some
    folds. TensorFlow would keep them until the process ends.
    """

    def __init__(self, spec: Spec) -> None:
        import tensorflow as tf

        self.spec = spec
        self._connection = self._n_batches = 0
        self._readers: dict[int, Read] = {}
        dtypes = [dtype for _, dtype in spec]

        def batches_of(_: Any) -> Any:
            connection, n_batches = tf.numpy_function(self._begin, [], [tf.int64, tf.int64])
            return tf.data.Dataset.range(n_batches).map(lambda batch: read(connection, batch))

        def read(connection: Any, batch: Any) -> tuple[Any, ...]:
            parts = tf.numpy_function(self._read, [connection, batch], dtypes)
            for part, (shape, _) in zip(parts, spec, strict=True):
                part.set_shape(shape)
            return tuple(parts)

        options = tf.data.Options()
        options.autotune.enabled = False
        # One batch is made while the model trains on the last one.
        options.threading.private_threadpool_size = 1
        once = tf.data.Dataset.from_tensors(0)
        self.dataset = once.flat_map(batches_of).prefetch(1).with_options(options)

    def connect(self, read: Read, n_batches: int) -> None:
        """Connect it: iterators that start from now on read from here."""
        self._connection += 1
        self._n_batches = n_batches
        self._readers = {self._connection: read}

    def disconnect(self) -> None:
        """Disconnect it: running iterators end."""
        self._readers = {}

    def _begin(self) -> tuple[np.int64, np.int64]:
        return np.int64(self._connection), np.int64(self._n_batches)

    def _read(self, connection: np.int64, batch: np.int64) -> tuple[np.ndarray, ...]:
        read = self._readers.get(int(connection))
        if read is None:
            raise StopIteration
        return read(int(batch))


class Channels:
    """Idle channels. The least recently used is dropped first. A channel in use is not here."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Drop all channels."""
        # A lock of another thread during a fork would stay locked in the child.
        self._lock = threading.Lock()
        self._idle: collections.deque[Channel] = collections.deque(maxlen=self._limit)

    def take(self, spec: Spec) -> Channel:
        """Return a channel for such batches, an idle or a new one."""
        with self._lock:
            for channel in self._idle:
                if channel.spec == spec:
                    self._idle.remove(channel)
                    return channel
        return Channel(spec)

    def give_back(self, channel: Channel) -> None:
        """Keep a channel for the next fit."""
        channel.disconnect()
        with self._lock:
            self._idle.append(channel)


channels = Channels(limit=16)
after_fork(channels.clear, lambda: dict(vars(channels)))
