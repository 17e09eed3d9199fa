"""Keras' global settings: they change results, and other processes do not have them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from skimgcv._runtime.keras_internals import (
    flash_attention,
    op_determinism,
    set_flash_attention,
    set_op_determinism,
)

Settings = dict[str, Any]
"""The value of each setting by name, as plain data."""

_JAX = (
    "jax_debug_nans",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_jit",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_threefry_partitionable",
)


@dataclass(frozen=True)
class _Switch:
    get: Callable[[], Any]
    set: Callable[[Any], None]


def current() -> Settings:
    """Return the current settings, without those that ``applied`` has set for a while.

    Keras has a dtype policy for each thread. A thread without one, such as a thread of joblib,
    counts as having that of the main thread.
    """
    note_main_thread()
    settings = {**_turns.natural(), "dtype_policy": _policy(keras.config.dtype_policy())}
    is_main = threading.current_thread() is threading.main_thread()
    has_own = is_main or settings["dtype_policy"] != _policy(settings["floatx"])
    return settings if has_own else {**settings, **_main_threads}


def note_main_thread() -> None:
    """Record the main thread's dtype policy, for threads that it starts.

    Called by methods that scikit-learn uses before it starts fits, since a thread cannot read the
    policy of another.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and not getattr(_held, "by_us", False):
        _main_threads["dtype_policy"] = _policy(keras.config.dtype_policy())


_main_threads: Settings = {}
_held = threading.local()


@contextlib.contextmanager
def applied(settings: Settings | None, *, training: bool = False) -> Iterator[None]:
    """Apply the settings of another process in this thread, for a while.

    If they are equal already, nothing happens. If another thread needs different ones, this waits
    for it.

    Parameters
    ----------
    settings : dict or None
        The result of ``current``; None for the settings of this process.
    training : bool
        Whether results must equal those of another process, which requires the same backend.

    Raises
    ------
    RuntimeError
        If this process cannot have these settings.
    """
    if training and settings and settings["backend"] != keras.backend.backend():
        raise RuntimeError(
            f"This estimator comes from a process with Keras' backend {settings['backend']!r}, "
            f"and here it is {keras.backend.backend()!r}, which gives other numbers. Start "
            f"workers with KERAS_BACKEND={settings['backend']} in their environment, or make a "
            "new estimator here from its get_params()."
        )
    if getattr(_held, "by_us", False):  # a score within a fit
        yield
        return
    with _turns.taken(settings):
        _held.by_us = True
        try:
            yield
        finally:
            _held.by_us = False


class _Turns:
    """Lets threads of a process fit at the same time, but never with different settings."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0
        self._now: Settings = {}
        self._before: Settings = {}

    def natural(self) -> Settings:
        """Return the settings without temporary changes."""
        with self._changed:
            return dict(self._before) if self._users else _actual()

    @contextlib.contextmanager
    def taken(self, settings: Settings | None) -> Iterator[None]:
        """Wait until these settings can be applied, in agreement with other fits.

        Only settings that were changed here are restored: a builder may change others.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._now == self._wanted(settings))
            if not self._users:
                self._now, self._before = self._wanted(settings), _actual()
                _set(_differing(self._now, self._before))
            self._users += 1
        before = {"dtype_policy": _policy(keras.config.dtype_policy())}
        own = {"dtype_policy": (settings or current())["dtype_policy"]}
        try:
            # The only setting that each thread has for itself.
            _set(_differing(own, before))
            yield
        finally:
            if own != before:
                _set(before)
            with self._changed:
                self._users -= 1
                if not self._users:
                    changed = _differing(self._now, self._before)
                    _set({name: self._before[name] for name in changed if name in self._before})
                    self._changed.notify_all()

    def _wanted(self, settings: Settings | None) -> Settings:
        return _of_process(settings or self.natural())


_turns = _Turns()


def _of_process(settings: Settings) -> Settings:
    return {n: v for n, v in settings.items() if n != "dtype_policy"}


def _differing(settings: Settings, others: Settings) -> Settings:
    return {n: v for n, v in settings.items() if n != "backend" and others.get(n) != v}


def _set(settings: Settings) -> None:
    switches = _switches()
    for name, value in settings.items():
        if name in switches:  # otherwise it belongs to another backend, or a newer Keras
            switches[name].set(value)


def _actual() -> Settings:
    return {
        "backend": keras.backend.backend(),
        **{name: switch.get() for name, switch in _switches().items()},
    }


def _switches() -> Mapping[str, _Switch]:
    config = keras.config
    switches = {
        "floatx": _Switch(config.floatx, config.set_floatx),
        "epsilon": _Switch(config.epsilon, config.set_epsilon),
        "image_data_format": _Switch(config.image_data_format, config.set_image_data_format),
        "dtype_policy": _Switch(
            lambda: _policy(config.dtype_policy()),
            lambda value: config.set_dtype_policy(keras.dtype_policies.deserialize(value)),
        ),
        "flash_attention": _Switch(flash_attention, set_flash_attention),
    }
    for name in ("max_epochs", "max_steps_per_epoch"):  # of Keras 3.12 and later
        if hasattr(config, name):
            switches[name] = _Switch(getattr(config, name), getattr(config, f"set_{name}"))
    if keras.backend.backend() == "tensorflow":
        switches |= _tensorflow_switches()
    elif keras.backend.backend() == "jax":
        switches |= _jax_switches()
    return switches


def _policy(policy: Any) -> Any:
    if isinstance(policy, str):
        policy = keras.dtype_policies.DTypePolicy(policy)
    return keras.dtype_policies.serialize(policy)


def _tensorflow_switches() -> dict[str, _Switch]:
    import tensorflow as tf

    experimental, optimizer = tf.config.experimental, tf.config.optimizer
    return {
        "run_functions_eagerly": _Switch(
            tf.config.functions_run_eagerly, tf.config.run_functions_eagerly
        ),
        "op_determinism": _Switch(op_determinism, set_op_determinism),
        "tensor_float_32": _Switch(
            experimental.tensor_float_32_execution_enabled,
            experimental.enable_tensor_float_32_execution,
        ),
        "jit": _Switch(optimizer.get_jit, optimizer.set_jit),
        # Options that were never set cannot be unset, only set.
        "optimizer_options": _Switch(
            lambda: dict(optimizer.get_experimental_options()),
            optimizer.set_experimental_options,
        ),
    }


def _jax_switches() -> dict[str, _Switch]:
    config = sys.modules["jax"].config

    def of(name: str) -> _Switch:
        return _Switch(lambda: getattr(config, name), lambda value: config.update(name, value))

    return {name: of(name) for name in _JAX if hasattr(config, name)}
