"""The estimator that the command line trains."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from skimgcv import ImageAugmenter
from skimgcv._cli.options import EPOCHS_WITHOUT_GAIN
from skimgcv._cli.tasks import Task

_TRANSFORMS: dict[str, Any] = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.1,
}


def named_builder(name: str) -> Callable[..., Any]:
    """Return what ``MODULE:BUILDER`` names."""
    module, _, builder = name.partition(":")
    if not module or not builder:
        raise ValueError(f"--model needs MODULE:BUILDER; got {name!r}")
    # As with `python -m`: what lies in the current folder can be imported.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        build = getattr(importlib.import_module(module), builder)
    except Exception as error:  # whatever the module does while it is imported
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"--model {name} cannot be imported: {said}") from error
    if not callable(build):
        raise ValueError(f"--model {name} is a {type(build).__name__}, no function")
    return build


def make_estimator(asked: argparse.Namespace, task: Task, build: Callable[..., Any] | None) -> Any:
    """Return the estimator that the options describe.

    Parameters
    ----------
    asked : Namespace
    task : Task
    build : callable or None
        What ``--model`` names.
    """
    import keras

    stop = keras.callbacks.EarlyStopping(patience=EPOCHS_WITHOUT_GAIN, restore_best_weights=True)
    return task.estimator(
        asked,
        model=build or builder_of(asked),
        augmenter=_augmenter(asked),
        validation_split=asked.val_split,
        callbacks=stop if asked.val_split else None,
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        verbose=1,
        random_state=asked.seed,
        **_fine_tuning(asked),
    )


def _fine_tuning(asked: argparse.Namespace) -> dict[str, Any]:
    names = ("fine_tune_epochs", "fine_tune_layers", "fine_tune_learning_rate")
    return {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}


def builder_of(asked: argparse.Namespace) -> Callable[..., Any]:
    """Return the builder of ``--backbone``, or of the small network."""
    if asked.backbone is None:
        from skimgcv._cli.small_cnn import small_cnn

        return small_cnn
    from skimgcv.models import pretrained

    weights = None if asked.weights == "none" else asked.weights or "imagenet"
    # Random weights that are never trained would be of no use.
    return pretrained(asked.backbone, weights=weights, trainable=weights is None)


def _augmenter(asked: argparse.Namespace) -> ImageAugmenter:
    transforms = {} if asked.no_augment else _TRANSFORMS
    flips = not (asked.no_augment or asked.no_flip)
    white = np.iinfo(asked.dtype).max
    # A pretrained network has its own preprocessing of values of 0 to 255.
    wanted = 1 if asked.backbone is None else 255
    rescale = None if white == wanted else wanted / white
    return ImageAugmenter(rescale=rescale, horizontal_flip=flips, **transforms)


def about_network(asked: argparse.Namespace) -> str:
    """Say where the network comes from."""
    if asked.model is not None:
        return f"The network that {asked.model} builds."
    if asked.backbone is None:
        return (
            "The small network that is used where none is named: three blocks of convolution "
            "and pooling (fewer for tiny images), then a layer of 64 units. It starts from "
            "random weights and knows nothing but these images. With few images a pretrained "
            "network is often better: --backbone."
        )
    if asked.weights == "none":
        return f"{asked.backbone} with random weights, all of which are trained."
    source = "of ImageNet" if asked.weights in (None, "imagenet") else f"of {asked.weights}"
    first = (
        f"{asked.backbone} with the weights {source}, which stay as they are; only the last "
        "layer is trained."
    )
    if not asked.fine_tune_epochs:
        return first
    which = asked.fine_tune_layers or "all"
    which = f"the last {which} of them" if isinstance(which, int) else which
    return (
        f"{first} Then up to {asked.fine_tune_epochs} more epochs train frozen layers, too "
        f"({which})."
    )
