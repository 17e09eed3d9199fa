"""A fit of a model whose first part is frozen: the rest is trained on features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from skimgcv._batches.batches import Batches, TrainingBatches
from skimgcv._compiled.equality import fingerprint
from skimgcv._compiled.run import make_variables
from skimgcv._compiled.step_groups import looks_at_batches
from skimgcv._compiled.values import UnprovableError
from skimgcv._features.cut import cut_of
from skimgcv._features.parts import cut_and_fed, run_whole
from skimgcv._models.copies import copy_by_config

Rebuild = Callable[[], keras.Model]


class Trained(NamedTuple):
    """The model that is trained, and its data."""

    head: keras.Model | None
    rebuild: Rebuild | None
    data: keras.utils.PyDataset
    validation: keras.utils.PyDataset | None


def trained_part(
    model: keras.Model,
    rebuild: Rebuild | None,
    batches: TrainingBatches,
    validation: Batches | None,
    callbacks: Sequence[keras.callbacks.Callback],
    feature_cache: Any,
) -> Trained:
    """Return a model's head and its features, if training these equals training the model.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    rebuild : callable or None
        Builds another model like this one.
    batches, validation : Batches
    callbacks : sequence of keras.callbacks.Callback
        Callbacks of Keras and of this package see the whole model, which trains with the steps of
        its head. Other callbacks may change it between epochs, but must not look at single
        batches.
    feature_cache : "memory", int, path-like or None
    """
    whole = Trained(None, rebuild, batches, validation)
    own = [c for c in callbacks if _is_users(c)]
    looking = [f"{type(c).__name__} looks at single batches" for c in own if looks_at_batches(c)]
    data = (batches,) if validation is None else (batches, validation)
    unless = looking[0] if looking else None
    parts = cut_and_fed(model, feature_cache, *data, watched=bool(own), unless=unless)
    if parts is None:
        return whole
    cut, fed = parts
    features = np.zeros((1, *cut.feature_shape), cut.feature_dtype)
    batch = (features, *batches.labels(np.arange(1)))
    try:
        make_variables(cut.head, batch)
    except UnprovableError as reason:
        run_whole(model, str(reason))
        return whole
    return Trained(
        cut.head,
        None if rebuild is None else lambda: _copy(cut.head, batch) or _head_of(rebuild()),
        fed[0],
        fed[1] if validation is not None else None,
    )


def _copy(head: keras.Model, batch: tuple[np.ndarray, ...]) -> keras.Model | None:
    """Copy a head by its layers' configs, faster than the user's function builds the whole model.

    Returns
    -------
    keras.Model or None
        None if the copy is not proved equal.
    """
    try:
        copy = copy_by_config(head)
        make_variables(copy, batch)
        return copy if fingerprint(copy).key == fingerprint(head).key else None
    except Exception:  # any error of a layer that cannot be made of its config
        return None


def _head_of(model: keras.Model) -> keras.Model:
    cut = cut_of(model)
    if cut is None:
        raise UnprovableError("built again, it has no frozen part")
    return cut.head


def _is_users(callback: keras.callbacks.Callback) -> bool:
    kind = type(callback)
    by_functions = isinstance(callback, keras.callbacks.LambdaCallback)
    return by_functions or kind.__module__.partition(".")[0] not in ("keras", "skimgcv")
