"""The key of a fit: equal for the same fit in any process, and different for other fits."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from skimgcv._compiled.canonical import encoded
from skimgcv._compiled.content import content_digest
from skimgcv._compiled.equality import global_switches
from skimgcv._compiled.values import UnprovableError
from skimgcv._data.rows import LabelledRows
from skimgcv._persistence.saving import package_versions
from skimgcv._runtime.keras_internals import decays
from skimgcv._training.training_data import TrainingData
from skimgcv.augment import as_augmenter

# These do not change the trained weights.
_IDLE = {"verbose", "tta_rounds", "tta_augmenter", "warm_start"}
_FINE_TUNING = {"fine_tune_epochs", "fine_tune_layers", "fine_tune_learning_rate"}
# The model, the rows, their weights or the options of Keras' fit contain these.
_SEEN = {"model", "optimizer", "loss", "metrics", "class_weight", "validation_split"}
_SEEN |= {"image_shape", "random_state", "epochs", "batch_size", "callbacks"}


def fit_key(
    estimator: Any,
    data: TrainingData,
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    options: Mapping[str, Any],
) -> str:
    """Return a name for a fit. Another fit has the same name only if it is the same fit.

    Parameters
    ----------
    estimator : AugmentedKerasClassifier
    data : TrainingData
    model : keras.Model
        The compiled model with its initial weights, as the builder made it.
    callbacks : sequence of keras.callbacks.Callback
        The callbacks of this fit.
    options : mapping
        The options of Keras' fit.

    Raises
    ------
    ValueError
        If something cannot be compared with that of another fit. The message names it.
    """
    seed = estimator.random_state
    if not isinstance(seed, (int, np.integer)):
        raise ValueError(
            "checkpoint_dir needs random_state to be an int, so that a resumed fit is the same "
            f"one; it is {seed!r}."
        )
    said = hashlib.blake2b(digest_size=16)
    with _explained():
        switches = global_switches()
        parts = _parts(estimator, model, callbacks, options)
        said.update(content_digest(parts).encode())
    said.update(encoded((switches, *sorted(package_versions().items()))))
    classes = np.empty(0) if data.classes is None else data.classes
    said.update(content_digest((int(seed), classes)).encode())
    for rows in (data.train, data.validation):
        said.update(b"rows" if rows is not None else b"none")
        if rows is not None:
            _add_rows(said, rows)
    return said.hexdigest()


def fine_tuning_key(key: str, estimator: Any) -> str:
    """Return the key of the second phase of a fit, given that of the first.

    The first phase does not depend on the second. So it can be resumed with another second phase.

    Raises
    ------
    ValueError
        As ``fit_key``.
    """
    with _explained():
        parts = {name: getattr(estimator, name) for name in sorted(_FINE_TUNING)}
        return hashlib.blake2b(
            f"{key} {content_digest(parts)}".encode(), digest_size=16
        ).hexdigest()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UnprovableError as reason:
        raise ValueError(
            "checkpoint_dir cannot prove that this is the interrupted fit: "
            f"{reason}. Make it of numbers, texts, arrays and functions that only compute; "
            "or fit without checkpoint_dir."
        ) from reason


def _parts(
    estimator: Any,
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect everything that decides the weights, except rows and versions, by name."""
    augmenters = ("augmenter", "validation_augmenter")
    described = {
        "model": model,
        "decaying": [decays(model.optimizer, variable) for variable in model.variables],
        "callbacks": list(callbacks),
        **{name: as_augmenter(getattr(estimator, name), name) for name in augmenters},
        "class_augmenters": [
            (label, as_augmenter(own, f"class_augmenters[{label!r}]"))
            for label, own in _by_label(estimator.class_augmenters or {})
        ],
        "sampling_strategy": _in_order(estimator.sampling_strategy),
        # The place of the feature cache changes no bit. Using one may change bits.
        "feature_cache": estimator.feature_cache is not None,
        "options": [item for item in sorted(options.items()) if item[0] not in _IDLE],
        "estimator": type(estimator),
    }
    others = {*type(estimator)._get_param_names()} - {*described, *_IDLE, *_SEEN, *_FINE_TUNING}
    return described | {name: getattr(estimator, name) for name in sorted(others)}


def _in_order(strategy: Any) -> Any:
    return _by_label(strategy) if isinstance(strategy, Mapping) else strategy


def _by_label(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(mapping.items(), key=lambda item: repr(item[0]))


def _add_rows(said: Any, labelled: LabelledRows) -> None:
    rows = labelled.rows
    weights = labelled.weights
    for array in (rows, labelled.y[rows], None if weights is None else weights[rows]):
        said.update(b"none" if array is None else repr((array.dtype, array.shape)).encode())
        if array is not None:
            said.update(np.ascontiguousarray(array).data)
    for content in labelled.images.content(rows):
        said.update(content)
