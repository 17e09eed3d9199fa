"""Leakage-free, fast image augmentation inside scikit-learn's cross-validation.

Images are arrays of shape (n, height, width, channels), uint8 0..255 or float.
"""

from skimgcv._classifier import AugmentedKerasClassifier
from skimgcv._training import clear_compiled_models
from skimgcv.augment import ImageAugmenter

__all__ = ["AugmentedKerasClassifier", "ImageAugmenter", "clear_compiled_models"]
__version__ = "0.1.0.dev0"
