"""Compile once, fit many: equal models share one compiled model.

Keras compiles a training step for each model again, although the models of a cross-validation are
equal. So a model borrows the compiled steps of its twin, an equal model that nothing else uses.
While the model is fitted or predicts, it has the twin's variables, for which the steps were
compiled. Its values are copied in before, and out afterwards. Keras fits the model itself, and
callbacks see the model itself.

A model that cannot be proved equal is compiled for itself; the logger ``skimgcv`` tells the reason
at level DEBUG.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from skimgcv._batches.feed import Feed, released
from skimgcv._compiled.canary import models_share_steps
from skimgcv._compiled.equality import Fingerprint, fingerprint
from skimgcv._compiled.explanations import explained
from skimgcv._compiled.step_groups import batches_in_groups, group_size
from skimgcv._compiled.twins import Twin, Twins, in_place_of, lending, lent_steps
from skimgcv._compiled.values import UnprovableError
from skimgcv._models.outputs import has_graph
from skimgcv._runtime.keras_internals import global_seed_generator
from skimgcv._runtime.platform import after_fork
from skimgcv._runtime.seeding import seeded
from skimgcv._runtime.step_internals import (
    build_beside_graph,
    build_by_tracing,
    built_once,
    drop_kernels,
    is_built,
    reduce_nothing,
    trace_for_any_rows,
)

_log = logging.getLogger("skimgcv")
_twins = Twins(limit=4)
after_fork(_twins.clear, lambda: dict(vars(_twins)))


def fit_model(
    model: keras.Model,
    rebuild: Callable[[], keras.Model] | None,
    data: keras.utils.PyDataset,
    *,
    epochs: int,
    initial_epoch: int = 0,
    validation: keras.utils.PyDataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: Any = 0,
    head: keras.Model | None = None,
    **options: Any,
) -> dict[str, list[float]]:
    """Fit a compiled model, with the bits of ``model.fit`` (in Keras 3.16, except a rounding).

    Parameters
    ----------
    model : keras.Model
        Compiled. Training changes its state.
    rebuild : callable or None
        Builds another model like this one. It is called if no equal model was compiled yet, and
        its model is only used here. Without it, only a model that was compiled before is shared.
    data, validation : keras.utils.PyDataset
        Batches ``(images, targets)`` or ``(images, targets, weights)``. They are read in their own
        order, and released when the fit ends.
    epochs, initial_epoch, callbacks, verbose, **options
        As for ``keras.Model.fit``.
    head : keras.Model, optional
        The part of the model that trains on the batches, built and compiled in the same way.
        ``rebuild`` builds another one like it.

    Returns
    -------
    dict of list of float
        The history: a value of each metric for each epoch.

    Raises
    ------
    Exception
        Any error of the data, a callback or the model, unchanged.
    """
    feeds = [Feed(data)] + ([] if validation is None else [Feed(validation)])
    trained = model if head is None else head
    after, before = lending(trained, model)
    with (
        released(feeds),
        _borrowed(trained, rebuild, feeds[0], callbacks, verbose) as group,
        lent_steps(trained, model),  # drops what callbacks compile, with the twin's variables
        built_once(model),
        explained(model, feeds, "fit", "evaluate"),
        batches_in_groups(model, group) as first,
    ):
        trace_for_any_rows(trained)
        history = model.fit(
            feeds[0].for_keras(),
            validation_data=feeds[1].for_keras() if validation is not None else None,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=[*first, *after, *callbacks, *before],
            shuffle=False,
            verbose=verbose,
            **options,
        )
    _kernels.count(trained)
    return {name: list(values) for name, values in history.history.items()}


def predict_model(
    model: keras.Model,
    data: keras.utils.PyDataset,
    *,
    batch_size: int,
    verbose: Any = 0,
    head: keras.Model | None = None,
    **options: Any,
) -> np.ndarray:
    """Predict with a fitted model.

    Each batch is filled to ``batch_size`` images. So a step is compiled for one shape only, and
    the prediction of an image does not depend on the number of others.

    Parameters
    ----------
    model : keras.Model
    data : keras.utils.PyDataset
        Batches ``(images,)`` of ``batch_size`` images each; the last may have fewer.
    batch_size : int
    verbose, **options
        As for ``keras.Model.predict``.
    head : keras.Model, optional
        The part of the model that predicts from the batches.

    Returns
    -------
    ndarray of shape (n_images, n_outputs)
    """
    feed = Feed(data, batch_size)
    part = model if head is None else head
    with (
        released([feed]),
        _borrowed(part, None, feed),
        lent_steps(part, model, "predict_function"),
        explained(model, [feed], "predict"),
    ):
        filled = model.predict(feed.for_keras(), verbose=verbose, **options)
    return filled[: feed.n_rows]


_locks: weakref.WeakKeyDictionary[keras.Model, Any] = weakref.WeakKeyDictionary()
# Another thread could hold a lock during a fork.
after_fork(_locks.clear)


def lock_of(model: keras.Model) -> Any:
    """Return the lock of a fitted model: threads that predict with it take turns.

    While it predicts, it has the variables of its twin.
    """
    return _locks.setdefault(model, threading.RLock())


def clear_compiled_models() -> None:
    """Free the compiled models that equal models share.

    A process keeps only a few of them. Call this function to free their memory now. Fitted
    estimators do not change.

    Examples
    --------
    >>> from skimgcv import clear_compiled_models
    >>> clear_compiled_models()
    """
    _twins.clear()


@contextlib.contextmanager
def _borrowed(
    model: keras.Model,
    rebuild: Callable[[], keras.Model] | None,
    feed: Feed,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: Any = 0,
) -> Iterator[int]:
    """Let a model use its twin's compiled steps, if an equal model is proved.

    Yields
    ------
    int
        Number of training steps in each call.
    """
    if not models_share_steps():
        yield 1
        return
    try:
        make_variables(model, feed.first())
        of_model = fingerprint(model)
        make = None if rebuild is None else lambda: _make_twin(of_model, rebuild, feed.first())
        twin = _twins.take(of_model, make)
    except UnprovableError as reason:
        _log.debug("Compiling %s for itself: %s.", model.name, reason)
        yield 1
        return
    before = _global_seeds()
    group = group_size(model, callbacks, feed.first()[0], verbose)
    with in_place_of(twin, model, of_model, group):
        yield group
    if _global_seeds() != before:
        # The steps keep a reference to Keras' current seed generator.
        _twins.refuse(of_model.key, "it draws from Keras' global seed generator")
    elif _twins.give_back(of_model.key, twin):
        # A twin was dropped. Its graphs have reference cycles, and its kernels are in TensorFlow's
        # cache.
        gc.collect()
        _kernels.drop()


def make_variables(model: keras.Model, batch: tuple[np.ndarray, ...]) -> None:
    """Create all variables that the first training step would create.

    Raises
    ------
    UnprovableError
        If they cannot be created before the step.
    """
    if is_built(model):
        return
    backend = keras.backend.backend()
    if backend == "tensorflow" and model.run_eagerly:
        raise UnprovableError("it is not compiled")
    rows = None if backend == "tensorflow" else len(batch[0])
    symbols = tuple(
        keras.KerasTensor((rows, *part.shape[1:]), dtype=part.dtype.name) for part in batch
    )
    try:
        if has_graph(model) and len(symbols) > 1:
            build_beside_graph(model, *symbols)
        else:
            build_by_tracing(model, symbols)
    except Exception as error:
        raise UnprovableError(f"it could not be built before its first step ({error})") from error
    # Built here: on these backends Keras would start an epoch to read its first batch.
    if backend == "torch" or model.run_eagerly:
        raise UnprovableError("it is not compiled")


def _make_twin(
    of_model: Fingerprint,
    rebuild: Callable[[], keras.Model],
    batch: tuple[np.ndarray, ...],
) -> Twin:
    try:
        # Layers draw their seeds here; the user's numbers stay as they are.
        with seeded(0):
            model = rebuild()
            make_variables(model, batch)
        of_twin = fingerprint(model)
        _check_twins(of_model, of_twin, model)
    except UnprovableError as reason:
        _twins.refuse(of_model.key, str(reason))
        raise
    reduce_nothing(of_twin.optimizers)
    model.make_train_function()
    model.make_test_function()
    model.make_predict_function()
    trace_for_any_rows(model)
    return Twin(model, of_twin.variables, of_twin.optimizers)


def _check_twins(of_model: Fingerprint, of_twin: Fingerprint, model: keras.Model) -> None:
    if of_twin.key != of_model.key:
        raise UnprovableError("built again, it is another model")
    if {id(v) for v in of_model.variables} & {id(v) for v in of_twin.variables}:
        raise UnprovableError("built again, it shares variables")
    if len(getattr(model, "outputs", None) or [None]) > 1:
        raise UnprovableError("it has several outputs")


class _Kernels:
    """Drops TensorFlow's cached kernels now and then.

    TensorFlow caches them by the names of variables, which are new in each model, and never drops
    them. They are made again when needed. This takes a while for a large model, so it is not done
    in every fit.
    """

    def __init__(self, *, variables: int, fits: int) -> None:
        self._least = (variables, fits)
        self._n_variables = self._n_fits = 0

    def count(self, model: keras.Model) -> None:
        """Count a model that was made for one fit."""
        # Most optimizers have two variables for each variable of the model.
        self._n_variables += 3 * len(model.variables)
        self._n_fits += 1
        if self._n_variables >= self._least[0] and self._n_fits >= self._least[1]:
            self.drop()

    def drop(self) -> None:
        """Drop the kernels of all models."""
        if keras.backend.backend() != "tensorflow":
            return
        self._n_variables = self._n_fits = 0
        drop_kernels()


_kernels = _Kernels(variables=400, fits=10)


def _global_seeds() -> tuple[Any, ...]:
    generator = global_seed_generator()
    if generator is None:
        return ()
    return (id(generator), keras.ops.convert_to_numpy(generator.state).tobytes())
