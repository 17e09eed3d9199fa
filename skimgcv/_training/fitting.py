"""One ``fit``: augmenters learn from the rows that train, and a model is trained on them."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from skimgcv._batches.augmenters import (
    changed_augmenter,
    check_mixable,
    class_augmenters,
    fitted_augmenter,
    random_half,
)
from skimgcv._batches.batches import Batches, TrainingBatches
from skimgcv._batches.epochs import Epoch, EpochPlan, transformed
from skimgcv._compiled.run import fit_model
from skimgcv._models.factory import ModelFactory
from skimgcv._models.targets import Targets
from skimgcv._models.weights import warn_weights_unused
from skimgcv._persistence.encoding import find_missing
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.seeding import seeded
from skimgcv._training.callback_paths import warn_shared_paths
from skimgcv._training.checkpoint import FitState
from skimgcv._training.error_notes import FitLocation, errors_noted
from skimgcv._training.fit_key import fit_key
from skimgcv._training.going_on import Changes, record_of, restored_on_error
from skimgcv._training.progress import progress_bar
from skimgcv._training.sampling import resolve_sampling, sample_rows
from skimgcv._training.tasks import FitTask
from skimgcv._training.torch_numbers import seeded_torch
from skimgcv._training.training_data import TrainingData
from skimgcv.augment._protocol import Augmenter, mixing
from skimgcv.exceptions import NonFiniteLossWarning


@dataclass(frozen=True)
class FitCall:
    """How an estimator is asked to train.

    Attributes
    ----------
    seed : int
    resume : bool
        Go on from the estimator's model and statistics.
    one_epoch : bool
        ``partial_fit``: one more epoch, appended to the history.
    checkpoint_dir : path-like, optional
        Where the state after each epoch is kept, and gone on from.
    """

    seed: int
    resume: bool
    one_epoch: bool = False
    checkpoint_dir: Any = None


def run_fit(
    estimator: Any, data: TrainingData, call: FitCall, task: FitTask | None = None
) -> dict[str, Any]:
    """Train a model and return the fitted attributes; the estimator is only read.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
    data : TrainingData
    call : FitCall
    task : FitTask, optional
        Told of each epoch.
    """
    with restored_on_error(estimator.model_) if call.resume else contextlib.nullcontext():
        return _run_fit(estimator, data, call, task)


def _run_fit(
    estimator: Any, data: TrainingData, call: FitCall, task: FitTask | None
) -> dict[str, Any]:
    changes = Changes(estimator) if call.resume else None
    augmenter = _augmenter(estimator, data, changes)
    factory = ModelFactory(estimator, _meta(data), one_hot=mixing(augmenter) is not None)
    model, targets = _model(estimator, factory, augmenter, call, changes)
    callbacks = factory.callbacks_of("fit")
    warn_shared_paths(callbacks, estimator)
    options = _options(estimator, factory, call)
    checkpoint = _checkpoint(estimator, data, model, callbacks, options, call)
    epochs = _epochs(estimator, options, checkpoint, call)
    batches = _training_batches(estimator, data, augmenter, targets, options, epochs, call)
    validation = _validation_batches(estimator, data, augmenter, targets, options, call)
    fitted = _fitted_attributes(estimator, data, model, augmenter, targets, call)
    compiled_here = changes.compiled_here if changes else factory.compiles
    fitted["_trained_with"] = record_of(estimator, compiled_here=compiled_here)
    if task:
        task.fitted_after = lambda history: {
            **fitted,
            "history_": {name: list(values) for name, values in history.items()},
            "sample_indices_": batches.drawn_rows,
        }
    history = _train(
        model,
        None if find_missing(estimator.model) else lambda: _build(factory, call.seed)[0],
        batches,
        validation,
        # The checkpoint last: it keeps whether a callback or a task stopped the fit.
        [*callbacks, *filter(None, (task, checkpoint))],
        options,
        epochs,
        call,
    )
    if checkpoint:
        history = checkpoint.whole(history)
    _warn_not_finite(history, options["initial_epoch"])
    return {
        **fitted,
        "history_": _whole_history(estimator, history, call),
        "callbacks_": callbacks,
        "sample_indices_": batches.drawn_rows,
        "_epochs_run": epochs.drawn_before + len(history["loss"]),
    }


def _augmenter(estimator: Any, data: TrainingData, changes: Changes | None) -> Augmenter:
    if changes is None:
        return fitted_augmenter(estimator.augmenter, data.train, "augmenter")
    changes.check()
    fitted: Augmenter = estimator.augmenter_
    if "augmenter" not in changes.names:
        return fitted
    new = changed_augmenter(estimator.augmenter, fitted, data.train)
    if new is None:
        raise changes.error("augmenter", "the model was trained on images standardised by it")
    return new


def _model(
    estimator: Any,
    factory: ModelFactory,
    augmenter: Augmenter,
    call: FitCall,
    changes: Changes | None,
) -> tuple[keras.Model, Targets]:
    if changes is None:
        model, targets = _build(factory, call.seed)
        if isinstance(estimator.model, keras.Model):
            warn_weights_unused(estimator.model, model)
    else:
        model, targets = estimator.model_, estimator._targets
        # loss="auto" is another one where targets are mixed.
        mixes_now = mixing(augmenter) and not mixing(estimator.augmenter_)
        if changes.compiled_here and (changes.of_compile or mixes_now):
            targets = factory.compile_again(model, new_optimizer=changes.of_optimizer)
    if mixing(augmenter):
        check_mixable(estimator.class_augmenters, sparse_targets=targets.sparse)
    return model, targets


@dataclass(frozen=True)
class _Epochs:
    """Which epochs a fit runs.

    Attributes
    ----------
    start, end : int
        Keras' numbers: from ``start`` up to, but without, ``end``.
    drawn_before : int
        How many epochs were drawn before this fit began.
    first_drawn : int
        The number by which the first one is drawn.
    """

    start: int
    end: int
    drawn_before: int
    first_drawn: int


def _epochs(
    estimator: Any, options: dict[str, Any], checkpoint: FitState | None, call: FitCall
) -> _Epochs:
    first = options["initial_epoch"]
    start = first + (checkpoint.epochs if checkpoint else 0)
    end = start if checkpoint and checkpoint.stopped else first + options["epochs"]
    drawn_before = estimator._epochs_run if call.resume else first
    # Where no epoch is left, the last one tells which rows it had.
    first_drawn = drawn_before if call.resume else min(start, end - 1)
    return _Epochs(start, end, drawn_before, first_drawn)


def _training_batches(
    estimator: Any,
    data: TrainingData,
    augmenter: Augmenter,
    targets: Targets,
    options: dict[str, Any],
    epochs: _Epochs,
    call: FitCall,
) -> TrainingBatches:
    train = data.train
    return TrainingBatches(
        train.images,
        _plan(estimator, data, augmenter, call.seed),
        augmenter,
        first_epoch=epochs.first_drawn,
        batch_size=options["batch_size"],
        targets=targets.encode(train.y),
        weights=train.weights,
    )


def _fitted_attributes(
    estimator: Any,
    data: TrainingData,
    model: keras.Model,
    augmenter: Augmenter,
    targets: Targets,
    call: FitCall,
) -> dict[str, Any]:
    """Return what training does not change."""
    images = data.train.images
    return {
        **data.features,
        "image_shape_": images.shape[1:],
        "classes_": data.classes,
        "model_": model,
        "augmenter_": augmenter,
        "class_weight_": data.class_weight,
        "validation_indices_": data.held_rows,
        "_targets": targets,
        "_scale": estimator._scale if call.resume else data.scale,
        "_seed": call.seed,
    }


def _train(
    model: keras.Model,
    rebuild: Callable[[], keras.Model] | None,
    batches: TrainingBatches,
    validation: Batches | None,
    callbacks: list[keras.callbacks.Callback],
    options: dict[str, Any],
    epochs: _Epochs,
    call: FitCall,
) -> dict[str, list[float]]:
    location = FitLocation(batches)
    with (
        errors_noted(location),
        seeded_torch(
            call.seed, first_epoch=epochs.start, first_drawn=epochs.first_drawn
        ) as dropout,
        progress_bar(options["verbose"], first_epoch=epochs.start, epochs=epochs.end) as bar,
    ):
        return fit_model(
            model,
            rebuild,
            batches,
            epochs=epochs.end,
            initial_epoch=epochs.start,
            validation=validation,
            # The location before the user's own callbacks, so that it knows where they are.
            callbacks=[location, *dropout, *callbacks, *bar.callbacks],
            verbose=bar.verbose,
            validation_freq=options["validation_freq"],
        )


def _whole_history(
    estimator: Any, history: dict[str, list[float]], call: FitCall
) -> dict[str, list[float]]:
    if not (call.one_epoch and call.resume):
        return history
    before = estimator.history_
    # Metrics may have come, and gone, with this call.
    return {
        name: [
            *before.get(name, [math.nan] * len(before["loss"])),
            *history.get(name, [math.nan] * len(history["loss"])),
        ]
        for name in [*before, *(name for name in history if name not in before)]
    }


def _checkpoint(
    estimator: Any,
    data: TrainingData,
    model: keras.Model,
    callbacks: list[keras.callbacks.Callback],
    options: dict[str, Any],
    call: FitCall,
) -> FitState | None:
    if call.checkpoint_dir is None:
        return None
    if call.resume:
        raise ValueError(
            "checkpoint_dir is for fits that begin anew, and warm_start goes on from the last "
            "one; use one of them."
        )
    key = fit_key(estimator, data, model, callbacks, options)
    return FitState.of(call.checkpoint_dir, key, callbacks)


def _warn_not_finite(history: dict[str, list[float]], first_epoch: int) -> None:
    for name in ("loss", "val_loss"):
        finite = np.isfinite(history.get(name, []))
        if not finite.all():
            warnings.warn(
                f"{name} was {history[name][int(np.argmin(finite))]} in epoch "
                f"{first_epoch + int(np.argmin(finite))}: the model is worth nothing from there "
                "on. Lower the learning rate or rescale the images; "
                "callbacks=keras.callbacks.TerminateOnNaN() stops at the first such batch.",
                NonFiniteLossWarning,
                stacklevel=user_stacklevel(),
            )
            return


def _options(estimator: Any, factory: ModelFactory, call: FitCall) -> dict[str, Any]:
    """Return what Keras' fit is told; parameters routed by ``fit__`` come before others."""
    options = {
        "epochs": estimator.epochs,
        "verbose": estimator.verbose,
        "initial_epoch": 0,
        "validation_freq": 1,
        **factory.options_of("fit"),
    }
    if call.one_epoch:
        seen = len(estimator.history_["loss"]) if call.resume else 0
        options.update(epochs=1, initial_epoch=seen)
    return options


def _build(factory: ModelFactory, seed: int) -> tuple[keras.Model, Targets]:
    with seeded(seed):
        try:
            return factory.build()
        except Exception as error:
            error.add_note("while building the model")
            raise


def _meta(data: TrainingData) -> dict[str, Any]:
    """Return what a builder gets as ``meta``, in SciKeras' names."""
    images = data.train.images
    n_classes = len(data.classes)
    return {
        **data.features,
        "classes_": data.classes,
        "n_classes_": n_classes,
        "target_type_": "binary" if n_classes == 2 else "multiclass",
        "n_outputs_": 1,
        "n_outputs_expected_": 1,
        "X_shape_": (data.n_rows, *images.shape[1:]),
        "X_dtype_": np.dtype(np.float32),
        "y_dtype_": data.classes.dtype,
        "y_ndim_": 1,
        "image_shape_": images.shape[1:],
    }


def _plan(estimator: Any, data: TrainingData, augmenter: Augmenter, seed: int) -> EpochPlan:
    train = data.train
    counts = resolve_sampling(estimator.sampling_strategy, train.y[train.rows], data.classes)
    return EpochPlan(
        images=train.images,
        rows=train.rows,
        y=train.y,
        augmenter=augmenter,
        class_augmenters=class_augmenters(
            estimator.class_augmenters or {}, augmenter, train, data.classes
        ),
        sample=None if counts is None else partial(sample_rows, counts),
        shuffle=estimator.shuffle,
        seed=seed,
    )


def _validation_batches(
    estimator: Any,
    data: TrainingData,
    augmenter: Augmenter,
    targets: Targets,
    options: dict[str, Any],
    call: FitCall,
) -> Batches | None:
    held = data.validation
    if held is None:
        return None
    epoch = Epoch(held.rows)
    if estimator.validation_augmenter is not None:
        own = random_half(
            estimator.validation_augmenter, augmenter, data.train, "validation_augmenter"
        )
        epoch = transformed(held.images, held.rows, own, call.seed)
    return Batches(
        held.images,
        epoch,
        augmenter,
        batch_size=options["batch_size"],
        targets=targets.encode(held.y),
        weights=held.weights,
    )
