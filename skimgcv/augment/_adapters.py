"""Everything that can augment, adapted to the one protocol."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from ._augmenter import ImageAugmenter
from ._protocol import Augmenter

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


def as_augmenter(augmenter: Any) -> Augmenter:
    """Return a fresh, unfitted augmenter of the protocol; never the user's own object."""
    if augmenter is None:
        return ImageAugmenter()
    if isinstance(augmenter, ImageAugmenter):
        return clone(augmenter)
    if _is_keras_generator(type(augmenter)):
        return from_keras_generator(augmenter)
    raise TypeError(
        "`augmenter` needs None, an ImageAugmenter or a Keras ImageDataGenerator, "
        f"got {type(augmenter).__name__}"
    )


def from_keras_generator(generator: Any) -> ImageAugmenter:
    """Read the parameters of a Keras ImageDataGenerator into an ImageAugmenter."""
    parameters = {name: getattr(generator, name) for name in _KERAS_PARAMETERS}
    return ImageAugmenter(**parameters, validation_split=generator._validation_split)


def _is_keras_generator(kind: type) -> bool:
    # By name, so that Keras is not imported to find out that it was not used.
    package = kind.__module__.partition(".")[0]
    return kind.__name__ == "ImageDataGenerator" and "keras" in package
