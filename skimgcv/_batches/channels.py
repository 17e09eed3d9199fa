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

_MOST_BATCHES = 2**32
"""Numbers of batches contain that of their connection, in the bits above these."""


class Channel:
    """Makes TensorFlow data sets that read batch 0, 1, ... of the data that it is connected to.

    The function that makes them is traced once. With a new data set in each fit, TensorFlow would
    trace functions again, which takes as long as some folds, and keep them until the process ends.
    """

    def __init__(self, spec: Spec) -> None:
        import tensorflow as tf

        self.spec = spec
        self._connection = 0
        # One object, since another thread may replace it at any time.
        self._connected: tuple[int, Read] | None = None
        dtypes = [dtype for _, dtype in spec]

        def read(number: Any) -> tuple[Any, ...]:
            parts = tf.numpy_function(self._read, [number], dtypes)
            for part, (shape, _) in zip(parts, spec, strict=True):
                part.set_shape(shape)
            return tuple(parts)

        def batches(first: Any, end: Any) -> Any:
            options = tf.data.Options()
            options.autotune.enabled = False
            # One batch is made while the model trains on the last one.
            options.threading.private_threadpool_size = 1
            with tf.device("CPU:0"):  # also if the user's code chose another device
                numbers = tf.data.Dataset.range(first, end)
                return numbers.map(read).prefetch(1).with_options(options)

        number = tf.TensorSpec((), tf.int64)
        # A traced function stays one under tf.config.run_functions_eagerly.
        self._dataset = tf.function(batches, autograph=False).get_concrete_function(number, number)

    def connect(self, read: Read, n_batches: int) -> Any:
        """Return a data set of this data. Iterators of earlier ones cannot read it."""
        self._connection += 1
        self._connected = (self._connection, read)
        first = self._connection * _MOST_BATCHES
        return self._dataset(np.int64(first), np.int64(first + n_batches))

    def disconnect(self) -> None:
        """Release the data."""
        self._connected = None

    def _read(self, number: np.int64) -> tuple[np.ndarray, ...]:
        connection, batch = divmod(int(number), _MOST_BATCHES)
        connected = self._connected
        if connected is None or connected[0] != connection:
            raise StopIteration
        return connected[1](batch)


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
