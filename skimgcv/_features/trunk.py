"""A running trunk: compiled once, for batches of one size, and checked against training."""

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
from skimgcv._runtime.libraries import versions_of
from skimgcv._runtime.platform import after_fork, allowed_cores

BATCH = 24
"""Images in each batch: a multiple of the rows that kernels take at a time.

So the features of an image do not depend on the other images, bit for bit.
"""


MOST_CONSTANT = 2**25
"""Bytes of weights that may be constants of a compiled step.

With constants TensorFlow computes what depends on weights alone once, such as a batch norm's part
of a convolution. Small networks take up to a third less time. Large ones gain little, and the
step keeps some fifteen copies of its constants.
"""

_Run = Callable[[np.ndarray], list[Any]]


@dataclass
class _Steps:
    """What trunks of one structure share.

    Attributes
    ----------
    token : bytes
    run : callable
        The compiled step, for the values of its variables and images.
    difference : str or None
        How it differs between training and evaluation.
    lasting_keys : dict of bytes to bytes
    constant : (bytes, callable) or None
        The latest key, and the compiled step with that trunk's weights as constants.
    """

    token: bytes
    run: Callable[[list[Any], Any], list[Any]]
    difference: str | None
    lasting_keys: dict[bytes, bytes]
    constant: tuple[bytes, _Run] | None = None


class Trunk:
    """The first part of a cut model, with its current weights.

    Parameters
    ----------
    cut : Cut
    some : callable
        Returns a few prepared images for the check.

    Attributes
    ----------
    shape : tuple of int
        Shape of an image's features.
    dtype : dtype
    key : bytes
        Equal for trunks of equal structure and weights, in this process.

    Raises
    ------
    UnprovableError
        If it gives other bits in training than in evaluation.
    """

    def __init__(self, cut: Cut, some: Callable[[], np.ndarray]) -> None:
        self._model, self._cut, self._some = cut.trunk, cut, some
        self.shape, self.dtype = cut.feature_shape, np.dtype(cut.feature_dtype)
        self._steps, self._variables = _steps_of(cut.trunk, some)
        # Copied: arrays from Keras and TensorFlow may share memory that later changes.
        self._arrays = [np.array(v.numpy()) for v in self._variables]
        self.key = self._steps.token + _digest(self._arrays)

    def of_now(self) -> Trunk:
        """Return this trunk, or one with the current weights if these changed."""
        now = _digest(v.numpy() for v in self._variables)
        return self if self._steps.token + now == self.key else Trunk(self._cut, self._some)

    def lasting_key(self) -> bytes:
        """Return a key of equal trunks, also for other processes on this kind of machine."""
        known = self._steps.lasting_keys
        if self.key not in known:
            versions = versions_of(("keras", "tensorflow"))
            way = (global_switches(), _machine(), MOST_CONSTANT, str(versions))
            said = encoded((content_digest(self._model), way))
            known[self.key] = hashlib.blake2b(said, digest_size=16).digest()
        return known[self.key]

    @functools.cached_property
    def _run(self) -> _Run:
        """The compiled step with weights. Not needed if all features are cached."""
        steps = self._steps
        if self._model.jit_compile or sum(a.nbytes for a in self._arrays) > MOST_CONSTANT:
            values = [keras.ops.convert_to_tensor(array) for array in self._arrays]
            return lambda images: steps.run(values, images)
        known = steps.constant
        if known is None or known[0] != self.key:
            run = _with_constants(self._model, self._variables, self._arrays)
            known = steps.constant = (self.key, run)
        return known[1]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Run up to ``BATCH`` prepared images."""
        filled = np.repeat(images[-1:], BATCH, axis=0)
        filled[: len(images)] = images
        parts = [keras.ops.convert_to_numpy(part).reshape(BATCH, -1) for part in self._run(filled)]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return whole[: len(images)].reshape(len(images), *self.shape)


_LIMIT = 4
_known: collections.OrderedDict[Hashable, _Steps] = collections.OrderedDict()
# For each trunk, since the walk over a deep one takes longer than an epoch of its head. Steps
# refer to a trunk, which would never be freed if they were not weak here.
_walked: weakref.WeakKeyDictionary[
    keras.Model, tuple[weakref.ref[_Steps], list[keras.Variable]]
] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def clear_trunks() -> None:
    """Drop the compiled steps of all trunks."""
    global _lock
    _lock = threading.Lock()
    _known.clear()
    _walked.clear()


after_fork(clear_trunks, lambda: (dict(_known), dict(_walked)))


def _steps_of(
    model: keras.Model, some: Callable[[], np.ndarray]
) -> tuple[_Steps, list[keras.Variable]]:
    of_model, variables = _walked.get(model, (lambda: None, []))
    steps = of_model()
    if steps is None:
        _ = model.jit_compile  # Keras computes and stores it at the first access
        found = fingerprint(model)
        steps, variables = _steps_found(model, found, some), found.variables
        _walked[model] = (weakref.ref(steps), variables)
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
    """Compile a model's evaluation as a function of its variables' values and of images."""
    import tensorflow as tf

    @tf.function(jit_compile=model.jit_compile)
    def run(values: list[Any], images: Any) -> list[Any]:
        return _evaluated(model, variables, values, images)

    return run


def _with_constants(
    model: keras.Model, variables: list[keras.Variable], arrays: list[np.ndarray]
) -> _Run:
    """Compile a model's evaluation with its weights as constants."""
    import tensorflow as tf

    @tf.function(jit_compile=False)
    def run(images: Any) -> list[Any]:
        values = [keras.ops.convert_to_tensor(array) for array in arrays]
        return _evaluated(model, variables, values, images)

    return run


def _evaluated(
    model: keras.Model, variables: list[keras.Variable], values: list[Any], images: Any
) -> list[Any]:
    with keras.StatelessScope(list(zip(variables, values, strict=True))):
        return keras.tree.flatten(model(images, training=False))


def _difference(model: keras.Model, images: np.ndarray) -> str | None:
    """Return how a model differs between training and evaluation, or None."""
    with keras.StatelessScope(collect_losses=True) as scope:
        trained = keras.tree.flatten(model(images, training=True))
    if scope.losses:
        return "its frozen part adds to the loss"
    if scope.state_mapping:
        return "its frozen part changes in training"
    with keras.StatelessScope():
        plain = keras.tree.flatten(model(images, training=False))
        alone = keras.tree.flatten(model(images[:1], training=False))
    if any(mask_of(part) is not None for part in plain):
        return "its frozen part passes a mask on"
    trained, plain, alone = (
        [keras.ops.convert_to_numpy(part) for part in parts] for parts in (trained, plain, alone)
    )
    if not all(map(np.array_equal, trained, plain)):
        return "its frozen part gives other values in training than in evaluation"
    # Kernels may round the values of one image otherwise, in half precision by some percent.
    pairs = zip(plain, alone, strict=True)
    if not all(np.allclose(a[:1], b, 0, 0.05 * np.abs(a).max()) for a, b in pairs):
        return "its frozen part gives an image other values beside other images"
    return None


def _digest(values: Iterable[np.ndarray]) -> bytes:
    said = hashlib.blake2b(digest_size=16)
    for value in values:
        said.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return said.digest()


def _machine() -> tuple[str, ...]:
    import tensorflow as tf

    devices = {device.device_type for device in tf.config.list_logical_devices()}
    # The number of threads decides how sums are rounded.
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS"), allowed_cores() or os.cpu_count()
    asked = tf.config.threading.get_intra_op_parallelism_threads()
    return (platform.machine(), *sorted(devices), *map(str, (*threads, asked)))
