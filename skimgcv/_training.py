"""Compile once, fit many: equal models share one compiled model.

Keras compiles a training step for each model anew, though the models of a
cross-validation are all alike. So a model borrows the compiled steps of its twin,
an equal model that nobody else sees: while it is fitted or predicts, its variables
are the twin's, which the steps were compiled for; before, its values are put in,
and afterwards they are taken out. The model itself is what Keras fits and what
callbacks see, so all that they may do to it works as ever.

Models that cannot be shown to be equal are fitted the ordinary way; the logger
``skimgcv`` says why, at level DEBUG.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import random
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from skimgcv._equality import Fingerprint, UnprovableError, fingerprint

_log = logging.getLogger("skimgcv")
_STEPS = ("train_function", "test_function", "predict_function")


def fit_model(
    model: keras.Model,
    rebuild: Callable[[], keras.Model],
    data: keras.utils.PyDataset,
    *,
    epochs: int,
    initial_epoch: int = 0,
    validation: keras.utils.PyDataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: Any = 0,
    **options: Any,
) -> dict[str, list[float]]:
    """Fit a compiled model, bitwise as ``model.fit`` would.

    Parameters
    ----------
    model : keras.Model
        Compiled. It ends up with all of the state that training changes.
    rebuild : callable
        Gives another model like this one. It is called when no equal model was
        compiled yet, and what it gives is never handed out.
    data, validation : keras.utils.PyDataset
        Batches ``(images, targets)`` or ``(images, targets, weights)``. They are
        released when the fit ends, and taken in their own order.
    epochs, initial_epoch, callbacks, verbose, **options
        As for ``keras.Model.fit``.

    Returns
    -------
    dict of list of float
        The history: a value an epoch for each metric.

    Raises
    ------
    Exception
        Whatever the data, a callback or the model raise, as itself.
    """
    feeds = [_Feed(data)] + ([] if validation is None else [_Feed(validation)])
    with _released(feeds), _borrowed(model, rebuild, data):
        history = model.fit(
            feeds[0],
            validation_data=feeds[1] if validation is not None else None,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=list(callbacks),
            shuffle=False,
            verbose=verbose,
            **options,
        )
    return {name: list(values) for name, values in history.history.items()}


def predict_model(
    model: keras.Model,
    data: keras.utils.PyDataset,
    *,
    batch_size: int,
    verbose: Any = 0,
    **options: Any,
) -> np.ndarray:
    """Predict with a fitted model.

    Each batch is filled up to ``batch_size`` images, so that a step is compiled for
    one shape only, and what the model says of an image does not depend on how
    many others there are.

    Parameters
    ----------
    model : keras.Model
    data : keras.utils.PyDataset
        Batches ``(images,)`` of ``batch_size`` images each, the last perhaps of fewer.
    batch_size : int
    verbose, **options
        As for ``keras.Model.predict``.

    Returns
    -------
    ndarray of shape (n_images, n_outputs)
    """
    feed = _Feed(data, batch_size)
    with _released([feed]), _borrowed(model, None, data):
        filled = model.predict(feed, verbose=verbose, **options)
    return filled[: feed.n_rows]


def clear_compiled_models() -> None:
    """Forget the compiled models that equal models share.

    They are a few per process, and make room for each other; this gives their
    memory back at once. Fitted estimators are not touched.

    Examples
    --------
    >>> from skimgcv import clear_compiled_models
    >>> clear_compiled_models()
    """
    _twins.clear()


@dataclass(frozen=True)
class _Twin:
    """A model whose steps are compiled, and its state in the order of the walk."""

    model: keras.Model
    variables: list[keras.Variable]
    optimizers: list[keras.optimizers.Optimizer]


class _Twins:
    """Idle twins by key, the least recently used dropped first.

    A twin is taken out while it is in use: a second thread with an equal model
    makes another one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        # A lock that another thread held during a fork would stay locked in the child.
        self._lock = threading.Lock()
        self._idle: collections.OrderedDict[Hashable, list[_Twin]] = collections.OrderedDict()
        self._refused: collections.OrderedDict[Hashable, str] = collections.OrderedDict()

    def take(self, mine: Fingerprint, make: Callable[[], _Twin] | None) -> _Twin:
        """Return an equal twin, made if need be."""
        with self._lock:
            if mine.key in self._refused:
                raise UnprovableError(self._refused[mine.key])
            if idle := self._idle.get(mine.key):
                return idle.pop()
        if make is None:
            raise UnprovableError("no equal model is compiled in this process")
        return make()

    def give_back(self, key: Hashable, twin: _Twin) -> None:
        """Keep a twin for the next equal model."""
        with self._lock:
            self._idle.setdefault(key, []).append(twin)
            self._idle.move_to_end(key)
            while sum(map(len, self._idle.values())) > self._limit:
                oldest, twins = next(iter(self._idle.items()))
                if twins:
                    twins.pop(0)
                if not twins:
                    del self._idle[oldest]

    def refuse(self, key: Hashable, reason: str) -> None:
        """Fit models with this key the ordinary way from now on."""
        with self._lock:
            self._refused[key] = reason
            while len(self._refused) > self._limit:
                self._refused.popitem(last=False)


_twins = _Twins(limit=4)
os.register_at_fork(after_in_child=_twins.clear)


@contextlib.contextmanager
def _borrowed(
    model: keras.Model,
    rebuild: Callable[[], keras.Model] | None,
    data: keras.utils.PyDataset,
) -> Iterator[None]:
    """Let a model run on its twin's compiled steps, if it can be shown to have a twin."""
    try:
        _build(model, data)
        mine = fingerprint(model)
        make = None if rebuild is None else lambda: _make_twin(mine, rebuild, data)
        twin = _twins.take(mine, make)
    except UnprovableError as reason:
        _log.debug("Compiling %s for itself: %s.", model.name, reason)
        yield
        return
    before = _global_seeds()
    with _in_place_of(twin, model, mine):
        yield
    if _global_seeds() != before:
        # The steps hold on to Keras' seed generator of this moment.
        _twins.refuse(mine.key, "it draws from Keras' global seed generator")
    else:
        _twins.give_back(mine.key, twin)


def _build(model: keras.Model, data: keras.utils.PyDataset) -> None:
    """Make all variables that the first training step would make."""
    if _is_built(model):
        return
    if keras.backend.backend() == "torch" or model.run_eagerly:
        raise UnprovableError("it is not compiled")
    batch = data[0]
    if keras.backend.backend() == "tensorflow":
        batch = tuple(keras.KerasTensor((None, *a.shape[1:]), dtype=str(a.dtype)) for a in batch)
    try:
        model._symbolic_build(data_batch=batch)
    except Exception as error:
        raise UnprovableError(f"it could not be built before its first step ({error})") from error


def _is_built(model: keras.Model) -> bool:
    parts = (model._compile_loss, model._compile_metrics, model.optimizer)
    return all(p is None or p.built for p in parts) and all(
        layer.built for layer in model._flatten_layers()
    )


def _make_twin(
    mine: Fingerprint,
    rebuild: Callable[[], keras.Model],
    data: keras.utils.PyDataset,
) -> _Twin:
    state = random.getstate()
    try:
        model = rebuild()
        _build(model, data)
        theirs = fingerprint(model)
        _check_twins(mine, theirs, model)
    except UnprovableError as reason:
        _twins.refuse(mine.key, str(reason))
        raise
    finally:
        # Layers draw their seeds here; the user's numbers stay as they were.
        random.setstate(state)
    model.make_train_function()
    model.make_test_function()
    model.make_predict_function()
    return _Twin(model, theirs.variables, theirs.optimizers)


def _check_twins(mine: Fingerprint, theirs: Fingerprint, model: keras.Model) -> None:
    if theirs.key != mine.key:
        raise UnprovableError("built again, it is another model")
    if {id(v) for v in mine.variables} & {id(v) for v in theirs.variables}:
        raise UnprovableError("built again, it shares variables")
    if len(getattr(model, "outputs", None) or [None]) > 1:
        raise UnprovableError("it has several outputs")


@contextlib.contextmanager
def _in_place_of(twin: _Twin, model: keras.Model, mine: Fingerprint) -> Iterator[None]:
    own_steps = {name: vars(model)[name] for name in _STEPS}
    with _exchanged(mine, twin):
        vars(model).update(_steps_of(twin.model, model))
        try:
            yield
        finally:
            vars(model).update(own_steps)


def _steps_of(twin: keras.Model, model: keras.Model) -> dict[str, Any]:
    # Set past Keras' tracking, which would keep the twin for as long as the model.
    steps = {name: vars(twin)[name] for name in _STEPS}
    theirs, own = _metric_names(twin), _metric_names(model)
    if theirs != own:
        # A metric without a name gets a new one in each model: auc, auc_1, ...
        renamed = dict(zip(theirs, own, strict=True))
        for name in ("train_function", "test_function"):
            steps[name] = _renaming(steps[name], renamed)
    return steps


def _metric_names(model: keras.Model) -> list[str]:
    return [m.name for m in model.metrics if m is not model._compile_metrics] + [
        m.name for m in (model._compile_metrics.metrics if model._compile_metrics else ())
    ]


def _renaming(step: Callable[[Any], Any], names: dict[str, str]) -> Callable[[Any], Any]:
    def call(iterator: Any) -> Any:
        return {names.get(name, name): value for name, value in step(iterator).items()}

    return call


@contextlib.contextmanager
def _exchanged(mine: Fingerprint, twin: _Twin) -> Iterator[None]:
    """Let the model's variables be the twin's for a while, with the model's values."""
    if keras.backend.backend() != "tensorflow":
        # There a step gets its variables' values as arguments.
        yield
        return
    own = [v._value for v in mine.variables]
    places = [v._value for v in twin.variables]
    _copy(own, places)
    indices = [vars(o).get("_trainable_variables_indices") for o in mine.optimizers]
    try:
        for variable, place in zip(mine.variables, places, strict=True):
            variable._value = place
        for optimizer, other in zip(mine.optimizers, twin.optimizers, strict=True):
            optimizer.__dict__["_trainable_variables_indices"] = vars(other)[
                "_trainable_variables_indices"
            ]
        yield
    finally:
        _copy(places, own)
        for variable, value in zip(mine.variables, own, strict=True):
            variable._value = value
        for optimizer, index in zip(mine.optimizers, indices, strict=True):
            optimizer.__dict__["_trainable_variables_indices"] = index


def _copy(sources: Iterable[Any], targets: Iterable[Any]) -> None:
    """Assign TensorFlow variables to others, one by one but without Keras' checks."""
    from tensorflow import raw_ops

    for source, target in zip(sources, targets, strict=True):
        value = raw_ops.ReadVariableOp(resource=source.handle, dtype=source.dtype)
        raw_ops.AssignVariableOp(resource=target.handle, value=value)


def _global_seeds() -> tuple[Any, ...]:
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is None:
        return ()
    return (id(generator), keras.ops.convert_to_numpy(generator.state).tobytes())


class _Feed(keras.utils.PyDataset):
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
def _released(feeds: Sequence[_Feed]) -> Iterator[None]:
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
