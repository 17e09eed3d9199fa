"""The augmenters of an estimator: adapted, fitted, and compared with each other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from skimgcv._data.labels import warn_unless_found
from skimgcv._data.rows import LabelledRows, RowSubset
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.random_streams import stream
from skimgcv.augment._adapters import as_augmenter
from skimgcv.augment._augmenter import ImageAugmenter
from skimgcv.augment._checks import check_halves, is_on
from skimgcv.augment._plain import Plain
from skimgcv.augment._protocol import Augmenter, SteppedAugmenter, mixing
from skimgcv.augment._seeded import SeededAugmenter
from skimgcv.exceptions import AugmenterStepWarning


def fitted_augmenter(augmenter: Any, train: LabelledRows, name: str) -> Augmenter:
    """Adapt the user's object, and learn its statistics from the training rows only."""
    if augmenter is None:
        return Plain()
    train.images.check_are_images()
    adapted = as_augmenter(augmenter, name)
    rows = RowSubset(train.images, train.rows)
    adapted.fit(rows)
    if isinstance(adapted, ImageAugmenter):
        check_halves(adapted, rows, name)
    return adapted


def is_random(augmenter: Augmenter, image_shape: tuple[int, ...]) -> bool:
    """Whether training may transform images. False only if it certainly does not."""
    if isinstance(augmenter, Plain):
        return False
    if isinstance(augmenter, SeededAugmenter):
        # Before a trial of the steps, neither list has any.
        return bool(augmenter.random_steps) or not augmenter.fixed_steps
    # A subclass may do more than its parameters say.
    return type(augmenter) is not ImageAugmenter or is_on(augmenter, image_shape)


def changed_augmenter(new: Any, fitted: Augmenter, train: LabelledRows) -> Augmenter | None:
    """Adapt an augmenter that replaces a fitted one, with its statistics.

    Returns
    -------
    Augmenter or None
        None if it would standardise in another way than in the model's training.
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
    # NotFittedError is an AttributeError, too, as is the lack of what the user's own `fit` sets.
    except AttributeError:
        return None
    return adapted if alike else None


def random_half(own: Any, augmenter: Augmenter, train: LabelledRows, name: str) -> Augmenter:
    """Adapt an augmenter that only transforms; the estimator's own one standardises.

    Raises
    ------
    ValueError
        If it standardises in another way than the estimator's augmenter.
    """
    adapted = fitted_augmenter(own, train, name)
    if mixing(adapted):
        raise ValueError(f"{name} mixes images; only the estimator's own augmenter can do that.")
    some = train.images[train.rows[:8]]
    adapted = beside_another(adapted, some, name)
    check_standardizes_alike(adapted, augmenter, some, name)
    _warn_order(adapted, some, name)
    return adapted


def beside_another(augmenter: Augmenter, some: np.ndarray, name: str) -> Augmenter:
    """Return the random steps of an augmenter, if another one standardises.

    Warns
    -----
    AugmenterStepWarning
        If it changes all images of a class in the same way.
    """
    if not isinstance(augmenter, SteppedAugmenter):
        return augmenter
    own = augmenter.beside_another(some)
    moved = [step for step in own.random_steps if step not in augmenter.random_steps]
    if moved and name.startswith("class_augmenters"):
        warnings.warn(
            f"{name} changes every training image of its class in the same way "
            f"({', '.join(moved)}), but no image at prediction, where the class is unknown. The "
            "model can learn this difference instead of the images. Use a random step, or change "
            "all classes.",
            AugmenterStepWarning,
            stacklevel=user_stacklevel(),
        )
    return own


def _warn_order(augmenter: Augmenter, some: np.ndarray, name: str) -> None:
    """Warn if steps cannot be divided into random steps and later deterministic steps.

    The estimator's own augmenter runs all of its steps in their order, and needs no such warning.
    Only the random steps of other augmenters are used.
    """
    if not isinstance(augmenter, SteppedAugmenter):
        return
    if not (augmenter.fixed_steps and augmenter.random_steps):
        return
    table = augmenter.draw(stream(0, "try"), len(some), some.shape[1:])
    halves = augmenter.standardize(augmenter.apply(some, table))
    if not np.allclose(halves, augmenter.prepare(some, table), rtol=1e-3, atol=1e-3):
        warnings.warn(
            f"{name} has deterministic steps ({', '.join(augmenter.fixed_steps)}) before random "
            f"steps ({', '.join(augmenter.random_steps)}), and their order matters. Only its "
            "random steps are used, and they get the images of X: write them for such images.",
            AugmenterStepWarning,
            stacklevel=user_stacklevel(),
        )


def class_augmenters(
    given: Mapping[Any, Any], augmenter: Augmenter, train: LabelledRows, classes: np.ndarray
) -> dict[int, Augmenter]:
    """Adapt the augmenters of single classes, with class numbers as keys.

    A fold may lack a class, as with class_weight. A warning says if it lacks all of them.
    """
    codes = {label: code for code, label in enumerate(classes.tolist())}
    warn_unless_found("class_augmenters", given, codes)
    return {
        codes[label]: random_half(own, augmenter, train, f"class_augmenters[{label!r}]")
        for label, own in given.items()
        if label in codes
    }


def check_mixable(class_augmenters: Any, views: int | None, *, sparse_targets: bool) -> None:
    """Refuse to mix images if other parameters or the loss do not allow mixtures.

    Raises
    ------
    ValueError
        If there are class_augmenters or augmentation_views, or if the loss takes class numbers.
    """
    if views is not None:
        raise ValueError(
            f"augmentation_views={views} repeats versions of an image, and MixUp and CutMix mix "
            "it with another one in each epoch; use one of the two."
        )
    if class_augmenters:
        raise ValueError(
            "MixUp and CutMix mix images of all classes, so class_augmenters cannot apply to "
            "them; use one of the two."
        )
    if sparse_targets:
        raise ValueError(
            "MixUp and CutMix mix labels, which a sparse loss cannot take; use loss='auto', "
            "'categorical_crossentropy', or another loss over one-hot rows."
        )


def check_standardizes_alike(
    random_half: Augmenter, augmenter: Augmenter, some: np.ndarray, name: str
) -> None:
    """Refuse a second augmenter with deterministic steps that differ from those of the first.

    Raises
    ------
    ValueError
        If results on some images differ.
    """
    try:
        standardized = random_half.standardize(some)
    # NotFittedError is an AttributeError, too, as is the lack of what the user's own `fit` sets.
    except AttributeError:
        standardized = np.empty(0)
    unchanged = some.astype(np.float32)
    alike = (unchanged, augmenter.standardize(some))
    if not any(np.array_equal(standardized, values) for values in alike):
        raise ValueError(
            f"{name} standardises images in another way than the estimator's augmenter. The model "
            "would get other values than in training: set rescale, preprocessing_function and the "
            "like only on `augmenter`, or equally on both."
        )
