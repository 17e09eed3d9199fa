"""Compiled models whose steps equal models borrow."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from skimgcv._compiled.equality import Fingerprint
from skimgcv._compiled.step_groups import grouped
from skimgcv._compiled.values import UnprovableError
from skimgcv._runtime.step_internals import in_places_of, metric_names

_STEPS = ("train_function", "test_function", "predict_function")


@dataclass(frozen=True)
class Twin:
    """A model whose steps are compiled, and its state in the order of the walk."""

    model: keras.Model
    variables: list[keras.Variable]
    optimizers: list[keras.optimizers.Optimizer]
    _in_groups: dict[int, Callable[[Any], Any]] = field(default_factory=dict)

    def train_function(self, group: int) -> Callable[[Any], Any]:
        """Return the function that runs this number of training steps in each call."""
        if group == 1:
            return self.model.train_function
        if group not in self._in_groups:
            self._in_groups[group] = grouped(self.model, group)
        return self._in_groups[group]


class Twins:
    """Idle twins by key. The least recently used is dropped first.

    A twin in use is not here, so a second thread with an equal model makes another one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        # A lock that another thread held during a fork would stay locked in the child.
        self._lock = threading.Lock()
        self._idle: collections.OrderedDict[Hashable, list[Twin]] = collections.OrderedDict()
        self._refused: collections.OrderedDict[Hashable, str] = collections.OrderedDict()

    def take(self, of_model: Fingerprint, make: Callable[[], Twin] | None) -> Twin:
        """Return an equal twin, an idle or a new one."""
        with self._lock:
            if of_model.key in self._refused:
                raise UnprovableError(self._refused[of_model.key])
            if idle := self._idle.get(of_model.key):
                return idle.pop()
        if make is None:
            raise UnprovableError("no equal model is compiled in this process")
        return make()

    def give_back(self, key: Hashable, twin: Twin) -> bool:
        """Keep a twin for the next equal model; return whether another one was dropped."""
        with self._lock:
            dropped = False
            self._idle.setdefault(key, []).append(twin)
            self._idle.move_to_end(key)
            while sum(map(len, self._idle.values())) > self._limit:
                oldest, twins = next(iter(self._idle.items()))
                if twins:
                    twins.pop(0)
                    dropped = True
                if not twins:
                    del self._idle[oldest]
            return dropped

    def refuse(self, key: Hashable, reason: str) -> None:
        """From now on, compile models with this key for themselves."""
        with self._lock:
            self._refused[key] = reason
            while len(self._refused) > self._limit:
                self._refused.popitem(last=False)


@contextlib.contextmanager
def in_place_of(
    twin: Twin, model: keras.Model, of_model: Fingerprint, group: int = 1
) -> Iterator[None]:
    """Let a model use its twin's steps, with this number of training steps in each call."""
    own_steps = {name: vars(model)[name] for name in _STEPS}
    with _exchanged(of_model, twin):
        vars(model).update(_steps_of(twin, model, group))
        try:
            yield
        finally:
            vars(model).update(own_steps)


@contextlib.contextmanager
def lent_steps(part: keras.Model, model: keras.Model, *names: str) -> Iterator[None]:
    """Let a model use the steps of its part for a while."""
    if part is model:
        yield
        return
    own = {name: vars(model)[name] for name in _STEPS}
    for name in names:
        getattr(part, f"make_{name}")()
        vars(model)[name] = vars(part)[name]
    try:
        yield
    finally:
        vars(model).update(own)


def lending(
    part: keras.Model, model: keras.Model
) -> tuple[list[keras.callbacks.Callback], list[keras.callbacks.Callback]]:
    """Return the first and the last callbacks of a fit that trains a part of its model.

    The model has the part's steps while Keras trains and validates. Callbacks between them may
    train and evaluate the model itself, on images.
    """
    if part is model:
        return [], []
    lender = _Lender(part, model)
    return [_GivesBack(lender)], [_Lends(lender)]


class _Lender:
    def __init__(self, part: keras.Model, model: keras.Model) -> None:
        self._part, self._model = part, model
        self._own: dict[str, Any] = {}

    def lend(self, name: str) -> None:
        getattr(self._part, f"make_{name}")()
        self._own[name] = vars(self._model)[name]
        vars(self._model)[name] = vars(self._part)[name]

    def give_back(self, name: str) -> None:
        if name in self._own:
            vars(self._model)[name] = self._own.pop(name)


class _Lends(keras.callbacks.Callback):
    """Called last before Keras runs steps."""

    def __init__(self, lender: _Lender) -> None:
        super().__init__()
        self._lender = lender

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._lender.lend("train_function")

    def on_test_begin(self, logs: Any = None) -> None:
        self._lender.lend("test_function")


class _GivesBack(keras.callbacks.Callback):
    """Called first after Keras ran steps."""

    def __init__(self, lender: _Lender) -> None:
        super().__init__()
        self._lender = lender

    def on_test_begin(self, logs: Any = None) -> None:
        self._lender.give_back("train_function")

    def on_test_end(self, logs: Any = None) -> None:
        self._lender.give_back("test_function")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._lender.give_back("train_function")


def _steps_of(twin: Twin, model: keras.Model, group: int) -> dict[str, Any]:
    # Set without Keras' tracking, which would keep the twin as long as the model.
    steps = {name: vars(twin.model)[name] for name in _STEPS}
    steps["train_function"] = twin.train_function(group)
    theirs, own = metric_names(twin.model), metric_names(model)
    if theirs != own:
        # A metric without a name gets a new one in each model: auc, auc_1, ...
        renamed = dict(zip(theirs, own, strict=True))
        for name in ("train_function", "test_function"):
            steps[name] = _renaming(steps[name], renamed)
    return steps


def _renaming(step: Callable[[Any], Any], names: dict[str, str]) -> Callable[[Any], Any]:
    def call(iterator: Any) -> Any:
        return {names.get(name, name): value for name, value in step(iterator).items()}

    return call


@contextlib.contextmanager
def _exchanged(of_model: Fingerprint, twin: Twin) -> Iterator[None]:
    """Give the model the twin's variables for a while, with the model's values."""
    if keras.backend.backend() != "tensorflow":
        # On that backend a step gets the values of variables as arguments.
        yield
        return
    with in_places_of(of_model.variables, of_model.optimizers, twin.variables, twin.optimizers):
        yield
