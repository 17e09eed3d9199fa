"""The phases of a fit. Each has some epochs, and starts from the weights of the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from skimgcv._batches.batches import Batches, TrainingBatches
from skimgcv._compiled.run import fit_model
from skimgcv._training.checkpoint import FitState
from skimgcv._training.error_notes import FitLocation, errors_noted
from skimgcv._training.frozen import trained_part
from skimgcv._training.history import History, joined, warn_not_finite
from skimgcv._training.progress import progress_bar
from skimgcv._training.torch_numbers import seeded_torch


@dataclass
class Phases:
    """The state that the phases of a fit share.

    Attributes
    ----------
    model : keras.Model
    batches_from : callable
        Returns the batches of all epochs from this number on.
    validation : Batches, optional
    callbacks : list of keras.callbacks.Callback
    options : dict
        The options of Keras' fit.
    seed : int
    feature_cache : "memory", int, path-like or None
        The estimator's.
    next_epoch : int
        Keras' number of the next epoch.
    next_drawn : int
        The number that keys its random numbers.
    history : dict of str to list of float
        Of the phases so far.
    batches : TrainingBatches
        Of the last phase.
    """

    model: keras.Model
    batches_from: Callable[[int], TrainingBatches]
    validation: Batches | None
    callbacks: list[keras.callbacks.Callback]
    options: dict[str, Any]
    seed: int
    feature_cache: Any
    next_epoch: int
    next_drawn: int
    history: History = field(default_factory=dict)
    batches: TrainingBatches = field(init=False)

    def run(
        self,
        epochs: int,
        rebuild: Callable[[], keras.Model] | None,
        checkpoint: FitState | None,
        *,
        name: str = "epoch",
    ) -> None:
        """Train for some epochs.

        Parameters
        ----------
        epochs : int
        rebuild : callable or None
            As for ``fit_model``.
        checkpoint : FitState, optional
            The state of this phase, which may have been interrupted.
        name : str
            What the progress bar calls an epoch.
        """
        start = self.next_epoch + (checkpoint.epochs if checkpoint else 0)
        end = start if checkpoint and checkpoint.stopped else self.next_epoch + epochs
        # If no epoch is left, use the last one, whose rows are an attribute.
        first_drawn = self.next_drawn + min(start, end - 1) - self.next_epoch
        self.batches = self.batches_from(first_drawn)
        # The checkpoint is last, since it saves whether a callback or a task stopped the fit.
        callbacks = [*self.callbacks, *([checkpoint] if checkpoint else [])]
        location = FitLocation(self.batches)
        part = trained_part(
            self.model, rebuild, self.batches, self.validation, callbacks, self.feature_cache
        )
        with (
            errors_noted(location),
            seeded_torch(self.seed, first_epoch=start, first_drawn=first_drawn) as dropout,
            progress_bar(self.options["verbose"], first_epoch=start, epochs=end, name=name) as bar,
        ):
            history = fit_model(
                self.model,
                part.rebuild,
                part.data,
                epochs=end,
                initial_epoch=start,
                validation=part.validation,
                head=part.head,
                # The location comes before the user's callbacks, whose errors it describes.
                callbacks=[location, *dropout, *callbacks, *bar.callbacks],
                verbose=bar.verbose,
                validation_freq=self.options["validation_freq"],
            )
        if checkpoint:
            history = checkpoint.whole(history)
        warn_not_finite(history, self.next_epoch)
        self.history = joined(self.history, history)
        self.next_epoch += len(history["loss"])
        self.next_drawn += len(history["loss"])
