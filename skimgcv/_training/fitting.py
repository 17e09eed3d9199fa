"""One ``fit``: augmenters learn from the rows that train, and a model is trained on them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np

from skimgcv._batches.augmenters import fitted_augmenter, random_half, transformed
from skimgcv._batches.batches import Batches, TrainingBatches
from skimgcv._batches.epochs import Epoch, EpochPlan
from skimgcv._compiled.run import fit_model
from skimgcv._models.factory import ModelFactory
from skimgcv._models.targets import Targets
from skimgcv._persistence.encoding import find_missing
from skimgcv._runtime.random_streams import stream
from skimgcv._runtime.seeding import seeded
from skimgcv._training.checkpoint import FitState
from skimgcv._training.progress import shown
from skimgcv._training.sampling import resolve_sampling, sample_rows
from skimgcv._training.tasks import FitTask
from skimgcv._training.training_data import TrainingData
from skimgcv.augment._protocol import Augmenter
from skimgcv.exceptions import NonFiniteLossWarning


def run_fit(
    estimator: Any,
    data: TrainingData,
    *,
    seed: int,
    resume: bool,
    one_epoch: bool,
    checkpoint_dir: Any = None,
    task: FitTask | None = None,
) -> dict[str, Any]:
    """Train a model and return the fitted attributes; the estimator is only read.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
    data : TrainingData
    seed : int
    resume : bool
        Go on from the estimator's model and statistics.
    one_epoch : bool
        ``partial_fit``: one more epoch, appended to the history.
    checkpoint_dir : path-like, optional
        Where the state after each epoch is kept, and gone on from.
    task : FitTask, optional
        Told of each epoch.
    """
    train = data.train
    augmenter = (
        estimator.augmenter_
        if resume
        else fitted_augmenter(estimator.augmenter, train, "augmenter")
    )
    mixes = bool(getattr(augmenter, "mixes", False))
    factory = ModelFactory(estimator, _meta(data), one_hot=mixes)
    if resume:
        model, targets = estimator.model_, estimator._targets
    else:
        model, targets = _build(factory, seed)
    if mixes:
        _check_mixable(targets, estimator.class_augmenters)
    seen = len(estimator.history_["loss"]) if resume else 0
    options = _options(estimator, factory, one_epoch_after=seen if one_epoch else None)
    callbacks = factory.callbacks_of("fit")
    state = _state(estimator, data, callbacks, checkpoint_dir, resume=resume)
    start = options["initial_epoch"] + (state.epochs if state else 0)
    end = options["initial_epoch"] + options["epochs"]
    if state and state.stopped:
        end = start
    epochs_before = estimator._epochs_run if resume else options["initial_epoch"]
    batches = TrainingBatches(
        train.images,
        _plan(estimator, data, augmenter, seed),
        augmenter,
        # Where no epoch is left, the last one tells which rows it had.
        first_epoch=epochs_before if resume else min(start, end - 1),
        batch_size=options["batch_size"],
        targets=targets.encode(train.y),
        weights=train.weights,
    )
    validation = _validation_batches(estimator, data, augmenter, targets, options, seed)
    fitted = {
        **data.features,
        "image_shape_": train.images.shape[1:],
        "classes_": data.classes,
        "model_": model,
        "augmenter_": augmenter,
        "class_weight_": data.class_weight,
        "validation_indices_": data.held_rows,
        "_targets": targets,
        "_scale": estimator._scale if resume else data.scale,
        "_seed": seed,
    }
    if task:
        task.fitted_after = lambda history: {
            **fitted,
            "history_": {name: list(values) for name, values in history.items()},
            "sample_indices_": batches.drawn_rows,
        }
    place = _Place(batches)
    with (
        _unharmed(model) if resume else contextlib.nullcontext(),
        _told(place),
        shown(options["verbose"], first_epoch=start, epochs=end) as (verbose, bars),
    ):
        history = fit_model(
            model,
            None if find_missing(estimator.model) else lambda: _build(factory, seed)[0],
            batches,
            epochs=end,
            initial_epoch=start,
            validation=validation,
            # The state last but the bar: it keeps whether a callback or a task stopped the fit.
            callbacks=[place, *callbacks, *filter(None, (task, state)), *bars],
            verbose=verbose,
            validation_freq=options["validation_freq"],
        )
    if state:
        history = state.whole(history)
    _warn_not_finite(history, options["initial_epoch"])
    epochs_run = epochs_before + len(history["loss"])
    if one_epoch and resume:
        history = {k: [*estimator.history_.get(k, []), *v] for k, v in history.items()}
    return {
        **fitted,
        "history_": history,
        "callbacks_": callbacks,
        "sample_indices_": batches.drawn_rows,
        "_epochs_run": epochs_run,
    }


class _Place(keras.callbacks.Callback):
    """Knows what is being done, before the user's own callbacks are called."""

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self._batches = batches
        self._doing, self._batch = "training", -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._doing, self._batch = "training", -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch = batch

    def on_test_begin(self, logs: Any = None) -> None:
        self._doing, self._batch = "validating", -1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._doing, self._batch = "training", -1

    def __str__(self) -> str:
        where = f"while {self._doing}, in epoch {self._batches.number}"
        if self._batch < 0:
            return where
        return f"{where}, batch {self._batch}, rows {self._batches.rows_of(self._batch)} of X"


@contextlib.contextmanager
def _told(place: _Place) -> Iterator[None]:
    """Let an error of the user's own callback, loss or layer say when it came."""
    try:
        yield
    except Exception as error:
        if not getattr(error, "__notes__", None):
            error.add_note(str(place))
        raise


def _state(
    estimator: Any,
    data: TrainingData,
    callbacks: list[keras.callbacks.Callback],
    checkpoint_dir: Any,
    *,
    resume: bool,
) -> FitState | None:
    if checkpoint_dir is None:
        return None
    if resume:
        raise ValueError(
            "checkpoint_dir is for fits that begin anew, and warm_start goes on from the last "
            "one; use one of them."
        )
    return FitState.of(checkpoint_dir, estimator, data, callbacks)


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
                stacklevel=5,
            )
            return


@contextlib.contextmanager
def _unharmed(model: keras.Model) -> Iterator[None]:
    """Give a model all of its values back where going on with it fails."""
    variables = [*model.variables, *model.optimizer.variables]
    # Copied: convert_to_numpy may show the memory that training writes to.
    values = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    try:
        yield
    except BaseException:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        raise


def _options(
    estimator: Any, factory: ModelFactory, *, one_epoch_after: int | None
) -> dict[str, Any]:
    """Return what Keras' fit is told; parameters routed by ``fit__`` come before others."""
    options = {
        "epochs": estimator.epochs,
        "batch_size": estimator.batch_size,
        "verbose": estimator.verbose,
        "initial_epoch": 0,
        "validation_freq": 1,
        **factory.options_of("fit"),
    }
    if one_epoch_after is not None:
        options.update(epochs=1, initial_epoch=one_epoch_after)
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
        "X_shape_": images.shape,
        "X_dtype_": np.dtype(np.float32),
        "y_dtype_": data.classes.dtype,
        "y_ndim_": 1,
        "image_shape_": images.shape[1:],
    }


def _plan(estimator: Any, data: TrainingData, augmenter: Augmenter, seed: int) -> EpochPlan:
    train = data.train
    counts = resolve_sampling(estimator.sampling_strategy, train.y[train.rows], data.classes)
    return EpochPlan(
        rows=train.rows,
        y=train.y,
        image_shape=train.images.shape[1:],
        augmenter=augmenter,
        class_augmenters=_class_augmenters(estimator, data, augmenter),
        sample=None if counts is None else partial(sample_rows, counts),
        shuffle=estimator.shuffle,
        seed=seed,
    )


def _class_augmenters(
    estimator: Any, data: TrainingData, augmenter: Augmenter
) -> Mapping[int, Augmenter]:
    given = estimator.class_augmenters or {}
    codes = {label: code for code, label in enumerate(data.classes.tolist())}
    if given and not any(label in codes for label in given):
        raise ValueError(
            f"class_augmenters has labels {list(given)}, none of which is in y: {list(codes)}."
        )
    # A fold may lack a class, as with class_weight.
    return {
        codes[label]: random_half(own, augmenter, data.train, f"class_augmenters[{label!r}]")
        for label, own in given.items()
        if label in codes
    }


def _validation_batches(
    estimator: Any,
    data: TrainingData,
    augmenter: Augmenter,
    targets: Targets,
    options: dict[str, Any],
    seed: int,
) -> Batches | None:
    held = data.validation
    if held is None:
        return None
    epoch = Epoch(held.rows)
    if estimator.validation_augmenter is not None:
        own = random_half(
            estimator.validation_augmenter, augmenter, data.train, "validation_augmenter"
        )
        epoch = transformed(held.images, held.rows, own, stream(seed, "validation"))
    return Batches(
        held.images,
        epoch,
        augmenter,
        batch_size=options["batch_size"],
        targets=targets.encode(held.y),
        weights=held.weights,
    )


def _check_mixable(targets: Targets, class_augmenters: Any) -> None:
    if class_augmenters:
        raise ValueError(
            "MixUp and CutMix mix images of all classes, so class_augmenters cannot be told "
            "apart from them; use one or the other."
        )
    if targets.sparse:
        raise ValueError(
            "MixUp and CutMix mix labels, which a sparse loss cannot take; use loss='auto', "
            "'categorical_crossentropy', or another loss over one-hot rows."
        )
