"""Image augmentation.

An augmenter has random steps, which run only in training, and deterministic steps, which also run
at prediction. Everything that can augment is adapted to one protocol.
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
