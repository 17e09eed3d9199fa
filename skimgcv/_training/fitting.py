"""One ``fit``: augmenters learn from the training rows, and a model is trained on them."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

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
from skimgcv._models.factory import ModelFactory
from skimgcv._models.fine_tuning import FineTuning
from skimgcv._models.targets import Targets, encode_weights
from skimgcv._models.weights import warn_weights_unused
from skimgcv._persistence.encoding import find_missing
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.seeding import seeded
from skimgcv._training.callback_paths import refuse_backups, warn_shared_paths
from skimgcv._training.checkpoint import FitState
from skimgcv._training.fit_key import fine_tuning_key, fit_key
from skimgcv._training.going_on import Changes, record_of, restored_on_error
from skimgcv._training.history import joined
from skimgcv._training.input_scale import warn_input_scale
from skimgcv._training.phases import Phases
from skimgcv._training.sampling import resolve_sampling, sample_rows
from skimgcv._training.tasks import FitTask
from skimgcv._training.training_data import TrainingData
from skimgcv.augment._protocol import Augmenter, mixing
from skimgcv.exceptions import SkimgcvWarning


@dataclass(frozen=True)
class FitCall:
    """The arguments of one call that trains an estimator.

    Attributes
    ----------
    seed : int
    resume : bool
        Continue with the estimator's model and statistics.
    one_epoch : bool
        ``partial_fit``: one more epoch, appended to the history.
    checkpoint_dir : path-like, optional
        The folder for the state after each epoch, from which a fit resumes.
    """

    seed: int
    resume: bool
    one_epoch: bool = False
    checkpoint_dir: Any = None


def run_fit(
    estimator: Any, data: TrainingData, call: FitCall, task: FitTask | None = None
) -> dict[str, Any]:
    """Train a model and return the fitted attributes. The estimator is not changed.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
    data : TrainingData
    call : FitCall
    task : FitTask, optional
        Gets a call for each epoch.
    """
    with restored_on_error(estimator.model_) if call.resume else contextlib.nullcontext():
        return _run_fit(estimator, data, call, task)


def _run_fit(
    estimator: Any, data: TrainingData, call: FitCall, task: FitTask | None
) -> dict[str, Any]:
    changes = Changes(estimator) if call.resume else None
    augmenter = _augmenter(estimator, data, changes)
    factory = ModelFactory(
        estimator,
        _meta(data),
        one_hot=mixing(augmenter) is not None,
        weighs_labels=data.weighs_labels,
    )
    model, targets = _model(estimator, factory, augmenter, data, call, changes)
    if changes is None:
        warn_input_scale(model, data.train, augmenter)
    tuning = _fine_tuning(estimator, model, call)
    callbacks = factory.callbacks_of("fit")
    refuse_backups(callbacks)
    warn_shared_paths(callbacks, estimator)
    if tuning is not None:
        _warn_of_schedules(callbacks, estimator.epochs)
    options = _options(estimator, factory, call)
    key = _key(estimator, data, model, callbacks, options, call)
    phases = _phases(estimator, data, model, augmenter, targets, callbacks, options, call, task)
    compiled_here = changes.compiled_here if changes else factory.compiles
    fitted = {
        **_fitted_attributes(estimator, data, model, augmenter, targets, call),
        "_trained_with": record_of(estimator, compiled_here=compiled_here),
    }
    if task:
        task.fitted_after = lambda history: {
            **fitted,
            "history_": {name: list(values) for name, values in history.items()},
            # There is a history as soon as the first phase has ended.
            "fine_tune_start_": len(phases.history["loss"]) if phases.history else None,
            "sample_indices_": phases.batches.drawn_rows,
        }
    rebuild = None if find_missing(estimator.model) else lambda: _build(factory, call.seed)[0]
    phases.run(options["epochs"], rebuild, _state(key, callbacks, call))
    start = len(phases.history["loss"])
    if tuning:
        state = _state(key and fine_tuning_key(key, estimator), callbacks, call)
        _fine_tune(estimator.fine_tune_epochs, phases, tuning, rebuild, state)
    going_on = call.one_epoch and call.resume
    return {
        **fitted,
        "history_": joined(estimator.history_ if going_on else {}, phases.history),
        "fine_tune_start_": start if tuning else _fine_tune_start(estimator, going_on),
        "callbacks_": callbacks,
        "sample_indices_": phases.batches.drawn_rows,
        "_epochs_run": phases.next_drawn,
    }


def _phases(
    estimator: Any,
    data: TrainingData,
    model: keras.Model,
    augmenter: Augmenter,
    targets: Targets,
    callbacks: list[keras.callbacks.Callback],
    options: dict[str, Any],
    call: FitCall,
    task: FitTask | None,
) -> Phases:
    train = data.train
    plan = _plan(estimator, data, augmenter, call.seed)

    def batches_from(epoch: int) -> TrainingBatches:
        return TrainingBatches(
            train.images,
            plan,
            augmenter,
            first_epoch=epoch,
            batch_size=options["batch_size"],
            targets=targets.encode(train.y),
            weights=encode_weights(targets, train.weights),
        )

    first = options["initial_epoch"]
    return Phases(
        model,
        batches_from,
        _validation_batches(estimator, data, augmenter, targets, options, call),
        [*callbacks, *([task] if task else [])],
        options,
        call.seed,
        estimator.feature_cache,
        next_epoch=first,
        next_drawn=estimator._epochs_run if call.resume else first,
    )


def _fine_tuning(estimator: Any, model: keras.Model, call: FitCall) -> FineTuning | None:
    if not estimator.fine_tune_epochs or call.one_epoch:
        return None
    if call.resume:
        raise ValueError(
            "fine_tune_epochs needs a new model, and warm_start continues with the last one; "
            "set fine_tune_epochs=0 or warm_start=False."
        )
    tuning = FineTuning(estimator.fine_tune_layers, estimator.fine_tune_learning_rate)
    tuning.check(model)
    return tuning


def _warn_of_schedules(callbacks: Sequence[keras.callbacks.Callback], epochs: int) -> None:
    for callback in callbacks:
        schedule = getattr(callback, "schedule", None)
        if not isinstance(callback, keras.callbacks.LearningRateScheduler) or schedule is None:
            continue
        try:
            inspect.signature(schedule).bind(0, 0.1)  # so it may obey the current rate
        except ValueError:  # it has no signature
            continue
        except TypeError:
            warnings.warn(
                "LearningRateScheduler sets the learning rate of each epoch, also of the "
                f"fine-tuning ones, which go on from epoch {epochs} (counted from 0): "
                "fine_tune_learning_rate has no effect. Let the schedule take the current rate, "
                "too, or depend on the epoch in this way.",
                SkimgcvWarning,
                stacklevel=user_stacklevel(),
            )


def _fine_tune(
    epochs: int,
    phases: Phases,
    tuning: FineTuning,
    rebuild: Callable[[], keras.Model] | None,
    checkpoint: FitState | None,
) -> None:
    """Run the second phase."""

    def rebuild_tuned() -> keras.Model:
        model = cast(Callable[[], keras.Model], rebuild)()
        tuning.begin(model)
        return model

    tuning.begin(phases.model)
    for callback in phases.callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.append = True  # it would start a new file
        if isinstance(callback, keras.callbacks.EarlyStopping):
            callback.best = None  # some versions of Keras keep the history of an earlier training
    phases.run(epochs, rebuild and rebuild_tuned, checkpoint, name="fine-tuning epoch")


def _fine_tune_start(estimator: Any, going_on: bool) -> int | None:
    # Pickles of earlier versions do not have it.
    return getattr(estimator, "fine_tune_start_", None) if going_on else None


def _state(
    key: str | None, callbacks: list[keras.callbacks.Callback], call: FitCall
) -> FitState | None:
    return None if key is None else FitState.of(call.checkpoint_dir, key, callbacks)


def _key(
    estimator: Any,
    data: TrainingData,
    model: keras.Model,
    callbacks: list[keras.callbacks.Callback],
    options: dict[str, Any],
    call: FitCall,
) -> str | None:
    """Return the name of this fit's checkpoint, if there is a ``checkpoint_dir``."""
    if call.checkpoint_dir is None:
        return None
    if call.resume:
        raise ValueError(
            "checkpoint_dir needs a new model, and warm_start continues with the last one; "
            "use one of them."
        )
    return fit_key(estimator, data, model, callbacks, options)


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
    data: TrainingData,
    call: FitCall,
    changes: Changes | None,
) -> tuple[keras.Model, Targets]:
    if changes is None:
        model, targets = _build(factory, call.seed)
        if isinstance(estimator.model, keras.Model):
            warn_weights_unused(estimator.model, model)
    else:
        model, targets = estimator.model_, estimator._targets
        # loss="auto" chooses another loss if targets are mixed.
        mixes_now = mixing(augmenter) and not mixing(estimator.augmenter_)
        weighs_now = data.weighs_labels and not getattr(targets, "by_label", False)
        if changes.compiled_here and (changes.of_compile or mixes_now or weighs_now):
            targets = factory.compile_again(model, new_optimizer=changes.of_optimizer)
        elif weighs_now:
            raise changes.error("class_weight", "the builder compiled the model without it")
    if mixing(augmenter):
        views = estimator.augmentation_views
        check_mixable(estimator.class_augmenters, views, sparse_targets=targets.sparse)
    return model, targets


def _fitted_attributes(
    estimator: Any,
    data: TrainingData,
    model: keras.Model,
    augmenter: Augmenter,
    targets: Targets,
    call: FitCall,
) -> dict[str, Any]:
    """Return the fitted attributes that training does not change."""
    images = data.train.images
    return {
        **data.features,
        "image_shape_": images.shape[1:],
        **data.fitted,
        "model_": model,
        "augmenter_": augmenter,
        "validation_indices_": data.held_rows,
        "_targets": targets,
        "_scale": estimator._scale if call.resume else data.scale,
        "_seed": call.seed,
    }


def _options(estimator: Any, factory: ModelFactory, call: FitCall) -> dict[str, Any]:
    """Return the options of Keras' fit. Parameters with the prefix ``fit__`` override others."""
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
    """Return the ``meta`` of a builder, with SciKeras' names."""
    images = data.train.images
    return {
        **data.features,
        **data.target_meta,
        "X_shape_": (data.n_rows, *images.shape[1:]),
        "X_dtype_": np.dtype(np.float32),
        "image_shape_": images.shape[1:],
    }


def _plan(estimator: Any, data: TrainingData, augmenter: Augmenter, seed: int) -> EpochPlan:
    train = data.train
    given = estimator.class_augmenters
    counts = resolve_sampling(estimator.sampling_strategy, train.y[train.rows], data.classes)
    return EpochPlan(
        images=train.images,
        rows=train.rows,
        y=train.y,
        augmenter=augmenter,
        class_augmenters=class_augmenters(given, augmenter, train, data.classes) if given else {},
        sample=None if counts is None else partial(sample_rows, counts),
        shuffle=estimator.shuffle,
        seed=seed,
        views=estimator.augmentation_views,
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
        weights=encode_weights(targets, held.weights),
    )
