"""Leakage-free, fast image augmentation inside scikit-learn's cross-validation.

AugmentedKerasClassifier, AugmentedKerasRegressor
    A Keras model as a scikit-learn estimator. It augments its training rows, and no others.
ImageAugmenter
    Random transforms, with the parameters of Keras' ``ImageDataGenerator``.
load_images, load_image_table, ImageFiles, ImageArray
    Image files, HDF5, Zarr and memory maps as an X that scikit-learn can split.
clear_compiled_models, clear_decoded_images, clear_features
    Free the memory that this process keeps for later fits.
SKOPS_TYPES
    The types that skops must trust.
skimgcv.augment, skimgcv.models
    The protocol of augmenters; builders of pretrained networks.
skimgcv.model_selection, skimgcv.display, skimgcv.report
    Checks of splits and tests of differences; figures; a cross-validation as an HTML page.
skimgcv.cluster, skimgcv.exceptions
    Dask and Ray; all errors and warnings.

Images are arrays of shape (n, height, width, channels), uint8 0..255 or float, or files that
are read into such arrays.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

# Before the first import of cv2: if it is missing or broken, this says what to do.
from skimgcv._runtime import opencv as _opencv  # noqa: F401

# isort: split
from skimgcv._data.image_array import ImageArray
from skimgcv._files.folders import load_image_table, load_images
from skimgcv._files.image_files import ImageFiles
from skimgcv._files.memory_cache import clear_decoded_images
from skimgcv._persistence import skops_types as _skops_types
from skimgcv.augment import ImageAugmenter
from skimgcv.exceptions import ImageReadError

if TYPE_CHECKING:
    from skimgcv._classifier import AugmentedKerasClassifier
    from skimgcv._compiled.run import clear_compiled_models
    from skimgcv._features.cache import clear_features
    from skimgcv._regressor import AugmentedKerasRegressor

__all__ = [
    "SKOPS_TYPES",
    "AugmentedKerasClassifier",
    "AugmentedKerasRegressor",
    "ImageArray",
    "ImageAugmenter",
    "ImageFiles",
    "ImageReadError",
    "clear_compiled_models",
    "clear_decoded_images",
    "clear_features",
    "load_image_table",
    "load_images",
]
SKOPS_TYPES = _skops_types.SKOPS_TYPES
"""The types in fitted estimators, for ``skops.io.load(file, trusted=[*SKOPS_TYPES, ...])``.

One of these types lets Keras load a model with any function that the file contains. So load only
files whose maker you trust. A file of ``save`` contains no code. Add the types of your builder and
callbacks. skops cannot write Keras layers as augmenters; ``save`` can.
"""
__version__ = "0.1.0"


# TensorFlow takes seconds to import, and prints to the terminal. Lists of files, workers that read
# them, and the command line's --help do not need it.
_NEEDS_KERAS = {
    "AugmentedKerasClassifier": "skimgcv._classifier",
    "AugmentedKerasRegressor": "skimgcv._regressor",
    "clear_compiled_models": "skimgcv._compiled.run",
    "clear_features": "skimgcv._features.cache",
}


def __getattr__(name: str) -> object:
    if name not in _NEEDS_KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(_NEEDS_KERAS[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    modules = {
        name
        for name, value in globals().items()
        if isinstance(value, ModuleType) and not name.startswith("_")
    }
    return sorted({*__all__, *modules, "__version__"})
