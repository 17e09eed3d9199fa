"""Everything that can augment, adapted to the one protocol."""

from __future__ import annotations

import copy
import functools
from typing import Any

from sklearn.base import BaseEstimator, clone

from .._runtime.other_internals import validation_split_of
from ._augmenter import ImageAugmenter
from ._plain import Plain
from ._protocol import Augmenter, SavableAugmenter
from ._seeded import CallableAugmenter

_KERAS_PARAMETERS = (
    "featurewise_center",
    "samplewise_center",
    "featurewise_std_normalization",
    "samplewise_std_normalization",
    "zca_whitening",
    "zca_epsilon",
    "rotation_range",
    "width_shift_range",
    "height_shift_range",
    "brightness_range",
    "shear_range",
    "zoom_range",
    "channel_shift_range",
    "fill_mode",
    "cval",
    "horizontal_flip",
    "vertical_flip",
    "rescale",
    "preprocessing_function",
    "data_format",
    "interpolation_order",
    "dtype",
)


def as_augmenter(augmenter: Any, name: str = "an augmenter") -> Augmenter:
    """Return an augmenter for anything that can augment.

    Parameters
    ----------
    augmenter : object
        - None: no random steps; images become float32.
        - An :class:`~skimgcv.ImageAugmenter`, or another object of the protocol.
        - A Keras ``ImageDataGenerator``: it becomes an ``ImageAugmenter`` with the same
          parameters. A subclass keeps its own methods.
        - A Keras image layer, a ``Sequential`` of them or a ``keras.layers.Pipeline``.
        - An Albumentations transform.
        - A callable ``f(image, rng) -> image``.
    name : str
        Name of the parameter, for errors.

    Returns
    -------
    Augmenter
        Not fitted, and never the same object as ``augmenter``, which does not change.

    Raises
    ------
    TypeError
        If it is none of these.

    Notes
    -----
    Layers, Albumentations transforms, subclasses of ``ImageDataGenerator`` and callables have
    steps. A step that changes an image in the same way with every seed is deterministic, and
    also runs at prediction. ``fit`` finds these steps: it runs each with up to 16 seeds on the
    first three images, and all except callables also on one image of noise. A step is random if
    any result differs, if it changes none of these images, if its ``p`` is below 1, or if it
    chooses among several, such as ``OneOf``. The members of a ``Sequential``, ``Compose`` or
    ``Pipeline`` that always runs are separate steps. After ``fit``, ``fixed_steps`` and
    ``random_steps`` name them.

    Examples
    --------
    >>> import numpy as np
    >>> def flip(image, rng):
    ...     return image[:, ::-1] if rng.random() < 0.5 else image
    >>> augmenter = as_augmenter(flip)
    >>> table = augmenter.draw(np.random.default_rng(0), 2, (4, 4, 3))
    >>> augmenter.prepare(np.zeros((2, 4, 4, 3), np.uint8), table).dtype
    dtype('float32')
    """
    if augmenter is None:
        return Plain()
    if not isinstance(augmenter, type):
        for adapt in (_protocol_object, _keras_object, _albumentations_object, _callable):
            adapted = adapt(augmenter)
            if adapted is not None:
                return adapted
    kind = "the class " if isinstance(augmenter, type) else "an object of type "
    own_name = augmenter.__name__ if isinstance(augmenter, type) else type(augmenter).__name__
    raise TypeError(
        f"{name} needs to be one of: an ImageAugmenter; a Keras ImageDataGenerator; a Keras "
        "image layer, or a Sequential or Pipeline of them; an Albumentations transform; a "
        f"callable f(image, rng) -> image; or None. Got {kind}{own_name}"
    )


def from_keras_generator(generator: Any) -> ImageAugmenter:
    """Read the parameters of a Keras ImageDataGenerator into an ImageAugmenter."""
    parameters = {name: getattr(generator, name) for name in _KERAS_PARAMETERS}
    return ImageAugmenter(**parameters, validation_split=validation_split_of(generator))


@functools.cache
def own_augmenters() -> dict[str, type[SavableAugmenter]]:
    """Return this package's augmenters by their names in files, which must not change."""
    from ._albumentations import AlbumentationsAugmenter
    from ._keras import GeneratorAugmenter, LayerAugmenter

    return {
        "AlbumentationsAugmenter": AlbumentationsAugmenter,
        "CallableAugmenter": CallableAugmenter,
        "GeneratorAugmenter": GeneratorAugmenter,
        "ImageAugmenter": ImageAugmenter,
        "LayerAugmenter": LayerAugmenter,
        "Plain": Plain,
    }


def _protocol_object(augmenter: Any) -> Augmenter | None:
    if not isinstance(augmenter, Augmenter):
        return None
    return clone(augmenter) if isinstance(augmenter, BaseEstimator) else copy.deepcopy(augmenter)


def _keras_object(augmenter: Any) -> Augmenter | None:
    if _is_keras_generator(type(augmenter)):
        return from_keras_generator(augmenter)
    if any(map(_is_keras_generator, type(augmenter).__mro__)):
        from ._keras import GeneratorAugmenter

        return GeneratorAugmenter(augmenter)
    if any(
        kind.__name__ == "Layer" and _root(kind) == "keras" for kind in type(augmenter).__mro__
    ):
        from ._keras import LayerAugmenter

        return LayerAugmenter(augmenter)
    return None


def _albumentations_object(augmenter: Any) -> Augmenter | None:
    if "albumentations" not in map(_root, type(augmenter).__mro__):
        return None
    from ._albumentations import AlbumentationsAugmenter

    return AlbumentationsAugmenter(augmenter)


def _callable(augmenter: Any) -> Augmenter | None:
    return CallableAugmenter(augmenter) if callable(augmenter) else None


# By name, so that unused packages are not imported.
def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _is_keras_generator(kind: type) -> bool:
    return kind.__name__ == "ImageDataGenerator" and "keras" in _root(kind)
