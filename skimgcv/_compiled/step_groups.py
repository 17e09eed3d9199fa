"""Several training steps in one call, if nothing needs single steps.

Keras returns to Python after each step. For a small network that takes as long as the step
itself. A call that runs several gives the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

GROUP = 8
"""Number of steps in a call. More save little, and delay an interruption."""

# Limits for a batch and a model with short steps.
_MOST_VALUES, _MOST_PARAMETERS = 2**19, 2**21
_OF_TRAINING = ("fit", "train_step", "make_train_function")
_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


def group_size(
    model: keras.Model, callbacks: Sequence[keras.callbacks.Callback], images: Any, verbose: Any
) -> int:
    """Return the number of steps in a call: 1 if something needs each step.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    callbacks : sequence of keras.callbacks.Callback
    images : ndarray
        A batch.
    verbose : int
        Keras' option; its progress bar shows batches.
    """
    optimizer = model.optimizer
    if (
        keras.backend.backend() != "tensorflow"
        or verbose
        or model.steps_per_execution != 1  # an object of the user's own
        or model.run_eagerly
        or any(getattr(type(model), n) is not getattr(keras.Model, n) for n in _OF_TRAINING)
        # Their counts do not show which step failed.
        or isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        or getattr(optimizer, "gradient_accumulation_steps", None)
        or images.size > _MOST_VALUES
        or model.count_params() > _MOST_PARAMETERS
        or any(map(looks_at_batches, callbacks))
    ):
        return 1
    return GROUP


def looks_at_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does something in each batch."""
    if getattr(callback, "takes_groups", False):
        return False
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return bool(callback.save_freq != "epoch")
    return any(
        name in vars(callback) or getattr(type(callback), name) is not getattr(_NOTHING, name)
        for name in _HOOKS
    )


_NOTHING = keras.callbacks.Callback


def grouped(model: keras.Model, size: int) -> Callable[[Any], Any]:
    """Return a training function of a model that runs several steps in each call.

    If a step fails, ``failed_step`` returns its number.

    Parameters
    ----------
    model : keras.Model
        Its ``train_function`` does not change.
    size : int
    """
    import tensorflow as tf

    started = tf.Variable(0)
    single, step = model.train_function, model.train_step

    def counted(data: Any) -> Any:
        # Operations of a step run in parallel: without this the count may be too late or too
        # early.
        with tf.control_dependencies([started.assign_add(1)]):
            return step(data)

    vars(model)["train_step"] = counted
    model.make_train_function(force=True)
    del vars(model)["train_step"]
    several, model.train_function = model.train_function, single

    def call(iterator: Any) -> Any:
        started.assign(0)
        # Read while the function is traced; the model's other functions have one step.
        model.steps_per_execution = size
        try:
            return several(iterator)
        except Exception as error:
            vars(error)[_FAILED] = max(0, int(started) - 1)
            raise
        finally:
            model.steps_per_execution = 1

    return call


_FAILED = "skimgcv_failed_step"


def failed_step(error: BaseException) -> int:
    """Return the step of a call at which an error occurred."""
    return int(vars(error).get(_FAILED, 0))


@contextlib.contextmanager
def batches_in_groups(model: keras.Model, size: int) -> Iterator[list[keras.callbacks.Callback]]:
    """Let only the model's next ``fit`` read its batches in groups.

    Yields
    ------
    list of keras.callbacks.Callback
        Must be called first. After it, callbacks may predict and evaluate.
    """
    if size == 1:
        yield []
        return
    model.steps_per_execution = size
    try:
        yield [_Ungroup()]
    finally:
        model.steps_per_execution = 1


class _Ungroup(keras.callbacks.Callback):
    """Keras has read the size by now."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.steps_per_execution = 1
