"""Explanations that Keras does not give: why a model or a callback does not work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras

from skimgcv._batches.feed import Feed


@contextlib.contextmanager
def explained(model: keras.Model, feeds: Sequence[Feed], *methods: str) -> Iterator[None]:
    """Explain errors from a model's own methods, or from a callback.

    Parameters
    ----------
    model : keras.Model
    feeds : sequence of Feed
        The data of the methods.
    *methods : str
        The methods that are called.

    Raises
    ------
    TypeError
        If the class's own method failed before it read all data.
    RuntimeError
        If a callback compiled the model during the fit.
    """
    try:
        yield
    except Exception as error:
        if "'NoneType' object is not callable" in str(error) and model.train_function is None:
            raise RuntimeError(
                "A callback compiled the model again during the fit, so Keras lost its compiled "
                "steps. Set model.optimizer.learning_rate or a layer's own variables instead; to "
                "freeze or unfreeze layers between phases, fit twice with warm_start=True."
            ) from error
        own = [m for m in methods if getattr(type(model), m) is not getattr(keras.Model, m)]
        if not own or not any(feed.is_unread and feed.error is None for feed in feeds):
            raise
        kind = type(model).__name__
        raise TypeError(
            f"{kind}.{own[0]} is not Keras' own, and cannot take batches ({error}). Return "
            "keras.Model(model.inputs, model.outputs) from the builder: the same layers, with "
            f"Keras' methods. What {kind} does to images before, as the preprocessor of a "
            "KerasHub task does, is then for the augmenter: rescale or preprocessing_function."
        ) from error
