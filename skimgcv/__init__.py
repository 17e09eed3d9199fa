"""Leakage-free, fast image augmentation inside scikit-learn's cross-validation.

Images are arrays of shape (n, height, width, channels), uint8 0..255 or float, or files
that are read as such.
"""

from skimgcv._classifier import AugmentedKerasClassifier
from skimgcv._decoded import clear_decoded_images
from skimgcv._files import ImageFiles
from skimgcv._folders import load_image_table, load_images
from skimgcv._training import clear_compiled_models
from skimgcv.augment import ImageAugmenter
from skimgcv.exceptions import ImageReadError

__all__ = [
    "AugmentedKerasClassifier",
    "ImageAugmenter",
    "ImageFiles",
    "ImageReadError",
    "clear_compiled_models",
    "clear_decoded_images",
    "load_image_table",
    "load_images",
]
__version__ = "0.1.0.dev0"
