"""Image augmentation: parameters in, one transform an image out."""

from ._adapters import as_augmenter
from ._augmenter import ImageAugmenter
from ._protocol import Augmenter

__all__ = ["Augmenter", "ImageAugmenter", "as_augmenter"]
