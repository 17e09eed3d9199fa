"""Which augmenters an estimator uses: adapted, fitted, and held against one another."""

from __future__ import annotations

from typing import Any

import numpy as np

from skimgcv._data.rows import LabelledRows, RowSubset
from skimgcv.augment._adapters import as_augmenter
from skimgcv.augment._plain import Plain
from skimgcv.augment._protocol import Augmenter, mixing


def fitted_augmenter(augmenter: Any, train: LabelledRows, name: str) -> Augmenter:
    """Adapt the user's object and learn its statistics, from the rows that train alone."""
    if augmenter is None:
        return Plain()
    train.images.check_are_images()
    adapted = as_augmenter(augmenter, name)
    adapted.fit(RowSubset(train.images, train.rows))
    return adapted


def changed_augmenter(new: Any, fitted: Augmenter, train: LabelledRows) -> Augmenter | None:
    """Adapt an augmenter that takes the place of a fitted one, with its statistics.

    Returns
    -------
    Augmenter or None
        None where it would standardise otherwise than the model was trained for.
    """
    if new is not None:
        train.images.check_are_images()
    adapted = as_augmenter(new, "augmenter")
    if type(adapted) is type(fitted):
        learned = {n: v for n, v in vars(fitted).items() if n.endswith("_")}
        vars(adapted).update(learned)
    some = train.images[train.rows[:8]]
    try:
        alike = np.array_equal(adapted.standardize(some), fitted.standardize(some))
    # Scikit-learn's NotFittedError is one; so is what somebody's own `fit` would have set.
    except AttributeError:
        return None
    return adapted if alike else None


def random_half(own: Any, augmenter: Augmenter, train: LabelledRows, name: str) -> Augmenter:
    """Adapt an augmenter that only transforms; the estimator's own says what is done after.

    Raises
    ------
    ValueError
        Where it would standardise, and not as the estimator's does: prediction
        could not know which to use.
    """
    adapted = fitted_augmenter(own, train, name)
    if mixing(adapted):
        raise ValueError(f"{name} mixes images; only the estimator's own augmenter can do that.")
    check_standardizes_alike(adapted, augmenter, train.images[train.rows[:8]], name)
    return adapted


def check_standardizes_alike(
    random_half: Augmenter, augmenter: Augmenter, some: np.ndarray, name: str
) -> None:
    """Refuse a second augmenter whose deterministic half is neither the first's nor none.

    Raises
    ------
    ValueError
        Where some images come out otherwise.
    """
    try:
        standardized = random_half.standardize(some)
    # Scikit-learn's NotFittedError is one; so is what somebody's own `fit` would have set.
    except AttributeError:
        standardized = np.empty(0)
    unchanged = some.astype(np.float32)
    alike = (unchanged, augmenter.standardize(some))
    if not any(np.array_equal(standardized, values) for values in alike):
        raise ValueError(
            f"{name} standardises images in another way than the estimator's augmenter. The model "
            "would get other values than in training: set rescale, preprocessing_function and "
            "the like on `augmenter` alone, or alike on both."
        )
