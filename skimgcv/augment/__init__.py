"""Image augmentation: parameters in, one transform an image out.

An augmenter has a random half, which runs in training alone, and a deterministic half, which runs
in training and at prediction. Everything that can augment is adapted to one protocol.
"""

from ._adapters import as_augmenter
from ._augmenter import ImageAugmenter
from ._protocol import (
    Augmenter,
    ExportableAugmenter,
    MixingAugmenter,
    SavableAugmenter,
    SteppedAugmenter,
)

__all__ = [
    "Augmenter",
    "ExportableAugmenter",
    "ImageAugmenter",
    "MixingAugmenter",
    "SavableAugmenter",
    "SteppedAugmenter",
    "as_augmenter",
]
