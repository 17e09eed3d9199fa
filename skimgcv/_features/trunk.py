"""A trunk that is run: compiled once, on batches of one size, and shown to be what it seems."""

from __future__ import annotations

import collections
import functools
import hashlib
import os
import platform
import threading
import uuid
import weakref
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from skimgcv._compiled.canonical import encoded
from skimgcv._compiled.content import content_digest
from skimgcv._compiled.equality import Fingerprint, fingerprint, global_switches
from skimgcv._compiled.values import UnprovableError
from skimgcv._features.cut import Cut
from skimgcv._runtime.graph_internals import mask_of
from skimgcv._runtime.platform import after_fork, allowed_cores

BATCH = 24
"""Images that are run at once, always: a multiple of what kernels take at a time.

So the features of an image are the same bits whatever others are run with it.
"""


@dataclass
class _Steps:
    """What trunks of one structure share: the first one's compiled step, without its weights."""

    token: bytes
    run: Callable[[list[Any], Any], list[Any]]
    difference: str | None
    lasting_keys: dict[bytes, bytes]


class Trunk:
    """A cut model's first part, with its weights of now.

    Parameters
    ----------
    cut : Cut
    some : callable
        Gives a few images as the model gets them, to try it on.

    Attributes
    ----------
    shape : tuple of int
        Of an image's features.
    dtype : dtype
    key : bytes
        Equal for trunks of equal structure and weights, in this process.

    Raises
    ------
    UnprovableError
        If it does not give the same bits in training as in evaluation.
    """

    def __init__(self, cut: Cut, some: Callable[[], np.ndarray]) -> None:
        self._model, self._cut, self._some = cut.trunk, cut, some
        self.shape, self.dtype = cut.feature_shape, np.dtype(cut.feature_dtype)
        self._steps, self._variables = _steps_of(cut.trunk, some)
        # Copied: what Keras and TensorFlow give may show the memory that is assigned to.
        self._arrays = [np.array(v.numpy()) for v in self._variables]
        self.key = self._steps.token + _digest(self._arrays)

    def of_now(self) -> Trunk:
        """Return this one, or one with the weights of now where these have changed."""
        now = _digest(v.numpy() for v in self._variables)
        return self if self._steps.token + now == self.key else Trunk(self._cut, self._some)

    def lasting_key(self) -> bytes:
        """Return what equal trunks have in other processes, too, on this kind of machine."""
        known = self._steps.lasting_keys
        if self.key not in known:
            said = encoded((content_digest(self._model), global_switches(), _machine()))
            known[self.key] = hashlib.blake2b(said, digest_size=16).digest()
        return known[self.key]

    @functools.cached_property
    def _values(self) -> list[Any]:
        """The weights as the backend's tensors: not needed where all features are kept."""
        return [keras.ops.convert_to_tensor(array) for array in self._arrays]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Run up to ``BATCH`` prepared images."""
        filled = np.repeat(images[-1:], BATCH, axis=0)
        filled[: len(images)] = images
        parts = [
            keras.ops.convert_to_numpy(part).reshape(BATCH, -1)
            for part in self._steps.run(self._values, filled)
        ]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return whole[: len(images)].reshape(len(images), *self.shape)


_LIMIT = 4
_known: collections.OrderedDict[Hashable, _Steps] = collections.OrderedDict()
# Of each trunk: the walk over a deep one takes longer than its head's epoch.
_walked: weakref.WeakKeyDictionary[keras.Model, tuple[_Steps, list[keras.Variable]]]
_walked = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def clear_trunks() -> None:
    """Forget the compiled steps of all trunks."""
    global _lock
    _lock = threading.Lock()
    _known.clear()
    _walked.clear()


after_fork(clear_trunks, lambda: (dict(_known), dict(_walked)))


def _steps_of(
    model: keras.Model, some: Callable[[], np.ndarray]
) -> tuple[_Steps, list[keras.Variable]]:
    if model not in _walked:
        _ = model.jit_compile  # Keras finds it out when it is asked, and notes it
        found = fingerprint(model)
        _walked[model] = (_steps_found(model, found, some), found.variables)
    steps, variables = _walked[model]
    if steps.difference is not None:
        raise UnprovableError(steps.difference)
    return steps, variables


def _steps_found(model: keras.Model, found: Fingerprint, some: Callable[[], np.ndarray]) -> _Steps:
    with _lock:
        steps = _known.get(found.key)
        if steps is None:
            run = _compiled(model, found.variables)
            steps = _Steps(uuid.uuid4().bytes, run, _difference(model, some()), {})
            _known[found.key] = steps
        _known.move_to_end(found.key)
        while len(_known) > _LIMIT:
            _known.popitem(last=False)
    return steps


def _compiled(
    model: keras.Model, variables: list[keras.Variable]
) -> Callable[[list[Any], Any], list[Any]]:
    """Compile a model's evaluation, as a function of its variables' values, too."""
    import tensorflow as tf

    @tf.function(jit_compile=model.jit_compile)
    def run(values: list[Any], images: Any) -> list[Any]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return keras.tree.flatten(model(images, training=False))

    return run


def _difference(model: keras.Model, images: np.ndarray) -> str | None:
    """Say in what a model is another one in training than in evaluation; None if in nothing."""
    with keras.StatelessScope(collect_losses=True) as scope:
        trained = keras.tree.flatten(model(images, training=True))
    if scope.losses:
        return "its frozen part adds to the loss"
    if scope.state_mapping:
        return "its frozen part changes in training"
    with keras.StatelessScope():
        plain = keras.tree.flatten(model(images, training=False))
    if any(mask_of(part) is not None for part in plain):
        return "its frozen part passes a mask on"
    pairs = zip(trained, plain, strict=True)
    if not all(np.array_equal(*map(keras.ops.convert_to_numpy, pair)) for pair in pairs):
        return "its frozen part gives other values in training than in evaluation"
    return None


def _digest(values: Iterable[np.ndarray]) -> bytes:
    said = hashlib.blake2b(digest_size=16)
    for value in values:
        said.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return said.digest()


def _machine() -> tuple[str, ...]:
    import tensorflow as tf

    devices = {device.device_type for device in tf.config.list_logical_devices()}
    # How a sum is shared out between threads decides how it is rounded.
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS"), allowed_cores() or os.cpu_count()
    asked = tf.config.threading.get_intra_op_parallelism_threads()
    return (platform.machine(), *sorted(devices), *map(str, (*threads, asked)))
