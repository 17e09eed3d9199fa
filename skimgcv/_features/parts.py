"""The part of a model that each epoch runs: the head on features, or all of it on images."""

from __future__ import annotations

import logging
from typing import Any

import keras
import numpy as np

from skimgcv._batches.batches import Batches
from skimgcv._compiled.values import UnprovableError
from skimgcv._features.batches import FeatureBatches
from skimgcv._features.cut import Cut, cut_of
from skimgcv._features.trunk import Trunk
from skimgcv._files.memory_cache import check_cache

_log = logging.getLogger("skimgcv")


def cut_and_fed(
    model: keras.Model,
    feature_cache: Any,
    *batches: Batches,
    watched: bool = False,
    unless: str | None = None,
) -> tuple[Cut, list[FeatureBatches]] | None:
    """Cut a model after its frozen first part, and make batches of features.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    feature_cache : "memory", int, path-like or None
        The estimator's parameter.
    *batches : Batches
    watched : bool
        Whether the frozen part's weights may change between epochs.
    unless : str, optional
        A reason against it that does not depend on the model.

    Returns
    -------
    (Cut, list of FeatureBatches) or None
        None if the whole model runs on images. If a part of it is frozen, the logger ``skimgcv``
        tells the reason at level DEBUG.
    """
    where = check_cache(feature_cache, "feature_cache")
    if where is None:
        return None
    try:
        cut = cut_of(model)
        if cut is None:
            return None
        if unless is not None:
            raise UnprovableError(unless)
        trunk = Trunk(cut, lambda: _some_of(batches[0]))
        fed = [FeatureBatches(b, trunk, where, watched=watched) for b in batches]
    except UnprovableError as reason:
        run_whole(model, str(reason))
        return None
    return cut, fed


def run_whole(model: keras.Model, reason: str) -> None:
    """Log why the whole model runs on images."""
    _log.debug("Running all of %s on images: %s.", model.name, reason)


def _some_of(batches: Batches) -> np.ndarray:
    with batches.noted(0):
        return batches.prepare(np.arange(min(2, len(batches.epoch.rows))))
