"""Errors and warnings. Catch or silence them by their type.

::

    Exception
    └── SkimgcvError
        ├── ImageReadError, also an OSError
        ├── SavedFileError, also a ValueError
        └── UnsupportedVersionError, also a RuntimeError
    UserWarning
    └── SkimgcvWarning
        ├── AugmenterStepWarning
        ├── DoubleCorrectionWarning
        ├── ImageCacheWarning
        ├── LabelsNotFoundWarning
        ├── MetricTargetsWarning
        ├── NonFiniteLossWarning
        ├── OneHotLabelsWarning
        ├── PixelScaleWarning
        ├── SharedPathWarning
        ├── UnreadableImagesWarning
        ├── UnsupportedVersionWarning
        └── UnusedWeightsWarning

Every warning of this package is a ``SkimgcvWarning``. An invalid argument is a ``ValueError`` or
``TypeError``, as in scikit-learn. Errors of your own builder, augmenter, callback or loss keep
their type.
"""

from __future__ import annotations


class SkimgcvError(Exception):
    """Base class of all errors that only this package raises."""


class SkimgcvWarning(UserWarning):
    """Base class of all warnings of this package."""


class ImageReadError(SkimgcvError, OSError):
    """A file of an ``ImageFiles`` cannot be read as an image.

    Attributes
    ----------
    path : str
    row : int
        Position in the list from which the ``ImageFiles`` was made.
    reason : str
    """

    def __init__(self, path: str, row: int, reason: str) -> None:
        super().__init__(f"cannot read {path!r} (row {row}): {reason}")
        self.path = path
        self.row = row
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.path, self.row, self.reason)


class SavedFileError(SkimgcvError, ValueError):
    """A file is damaged, has another version, or asks for something that it may not have."""


class UnsupportedVersionError(SkimgcvError, RuntimeError):
    """A result depends on something that a package's version lacks. The message names it."""


class UnreadableImagesWarning(SkimgcvWarning):
    """A fit leaves out files that cannot be read, because of ``on_error="skip"``."""


class ImageCacheWarning(SkimgcvWarning):
    """The cache folder cannot keep decoded images, so they are decoded each time."""


class PixelScaleWarning(SkimgcvWarning):
    """Pixel values have an unexpected range.

    - Prediction gets another range than ``fit``, such as 0..1 after 0..255. The smallest and
      the largest value of X decide between 0..1, -1..1 (some value is below -0.5), 0..255 and
      0..65535. Other ranges, and features, do not warn.
    - The augmenter rescales images and the model rescales them again.
    - Neither rescales images of 0..255, and the model does not normalise them early.
    """


class SharedPathWarning(SkimgcvWarning):
    """Callbacks of several fits write to one path, so each fold overwrites the file."""


class UnusedWeightsWarning(SkimgcvWarning):
    """``model`` is a trained ``keras.Model``, and each fit starts with new weights.

    Two things show that a model is trained: the steps of its optimizer, and weights that differ
    from their constant initial values (biases, and scales, means and variances of normalisation).
    A model without these does not warn.

    ``models.pretrained`` gives this warning, too, if a frozen backbone has random weights.
    """


class AugmenterStepWarning(SkimgcvWarning):
    """A step of an augmenter may not have the intended effect in training or at prediction.

    For example, no seed reaches its random numbers, or it changes each training image in the
    same way but no image at prediction.
    """


class DoubleCorrectionWarning(SkimgcvWarning):
    """Class weights and oversampling both correct the same imbalance."""


class LabelsNotFoundWarning(SkimgcvWarning):
    """A parameter names labels, but the rows of a fit have none of them.

    A fold may lack the one class that ``class_weight``, ``class_augmenters`` or
    ``sampling_strategy`` names. If the labels have another type than those of ``y``, such as
    ``"1"`` and ``1``, no fold can have them, and the warning says so.
    """


class MetricTargetsWarning(SkimgcvWarning):
    """Your own metric gets class numbers, because ``loss="auto"`` chooses them."""


class NonFiniteLossWarning(SkimgcvWarning):
    """The loss or a prediction became NaN or infinite. The model is useless from then on."""


class OneHotLabelsWarning(SkimgcvWarning):
    """``y`` is one-hot. scikit-learn's scorers and stratified splitters do not accept it."""


class UnsupportedVersionWarning(SkimgcvWarning):
    """A package's version lacks something that saves time or memory.

    Results are the same, but take longer or more memory. The message names the version.
    """
