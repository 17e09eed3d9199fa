"""scikit-learn's callbacks: a fit is a task, and its epochs are the tasks within it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from skimgcv._runtime.other_internals import begin_task, listens_to_callbacks

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9, or after this experimental interface moved

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replaces scikit-learn's class: no callbacks, and no method to set them."""

    def with_callbacks(method: Any) -> Any:
        """Return a method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "FitTask", "fit_task"]


@contextlib.contextmanager
def fit_task(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Iterator[FitTask | None]:
    """Set up an estimator's callbacks for a fit, and tear them down at its end or error.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
    X, y, sample_weight
        As its ``fit`` got them: callbacks score on them.

    Yields
    ------
    FitTask or None
        None if the estimator has no callbacks.
    """
    if not listens_to_callbacks(estimator):
        yield None
        return
    try:
        yield FitTask(estimator, X, y, sample_weight)
    finally:
        _tear_down(estimator)


# A decorator of fit itself would add a frame between fit and its caller, whose line warnings show.
@with_callbacks
def _tear_down(estimator: Any) -> None:
    """Tear down callbacks, as scikit-learn does after a decorated method."""


class FitTask(keras.callbacks.Callback):
    """Calls an estimator's scikit-learn callbacks for a fit and its epochs."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        super().__init__()
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._fit_arguments = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._history: dict[str, list[float]] = {}
        self._epoch: Any = None
        # Set by the fit: returns the estimator's attributes after epochs with this history.
        self.fitted_after: Callable[[dict[str, list[float]]], dict[str, Any]]
        epochs = getattr(estimator, "fit__epochs", estimator.epochs) + estimator.fine_tune_epochs
        self._fit = begin_task(estimator, max_subtasks=int(epochs))
        self._fit.call_on_fit_task_begin(**self._fit_arguments)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin the epoch's task."""
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._fit_arguments)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End the epoch's task, and the training if a callback says so."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(value)
        # A callback that asks for the estimator gets the model in training, to score it. A copy
        # would have to be compiled again in each epoch.
        stop = self._epoch.call_on_fit_task_end(
            **self._fit_arguments,
            reconstruction_attributes=lambda: self.fitted_after(self._history),
        )
        if stop:
            self.model.stop_training = True

    def end(self) -> None:
        """End the fit's task, after the estimator is fitted."""
        self._fit.call_on_fit_task_end(**self._fit_arguments, reconstruction_attributes={})
