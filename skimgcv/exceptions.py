"""Errors and warnings that can be told apart, silenced or caught, by their type.

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

Every warning of this package is a ``SkimgcvWarning``. An argument that cannot be used is a
``ValueError`` or ``TypeError``, as in scikit-learn; an error of the user's own builder,
augmenter, callback or loss is raised as it is.
"""

from __future__ import annotations


class SkimgcvError(Exception):
    """What all errors that only this package raises have in common."""


class SkimgcvWarning(UserWarning):
    """What all warnings of this package have in common."""


class ImageReadError(SkimgcvError, OSError):
    """A file of an ``ImageFiles`` that gives no image.

    Attributes
    ----------
    path : str
    row : int
        Its place in the list that the ``ImageFiles`` was made from.
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
    """A file cannot be loaded: damaged, of another version, or asking for what it may not."""


class UnsupportedVersionError(SkimgcvError, RuntimeError):
    """A package's version lacks what a result depends on. The message names the version."""


class UnreadableImagesWarning(SkimgcvWarning):
    """A fit leaves out files that give no image, as ``on_error="skip"`` asks."""


class ImageCacheWarning(SkimgcvWarning):
    """Decoded images cannot be kept in their folder, and will be decoded each time."""


class PixelScaleWarning(SkimgcvWarning):
    """Pixel values have another range than they should have.

    - Prediction gets another range than ``fit`` did, such as 0..1 after 0..255. Ranges are
      told apart by the smallest and the largest value of X: 0..1, -1..1 (some value is below
      -0.5), 0..255 and 0..65535. Any other range, and features, do not warn.
    - The augmenter rescales images and the model rescales them again.
    - Neither of them rescales images of 0..255, and no normalisation comes early in the model.
    """


class SharedPathWarning(SkimgcvWarning):
    """Callbacks of several fits write to one path: each fold overwrites the last one's file."""


class UnusedWeightsWarning(SkimgcvWarning):
    """A trained ``keras.Model`` is passed as ``model``, and each fit begins with fresh weights.

    That it is trained is told by the steps of its optimizer, and by weights that are
    initialised to constants and are so no longer: biases, the scales, means and variances of
    normalisation. Of a model that has none of these nothing can be told.
    """


class AugmenterStepWarning(SkimgcvWarning):
    """A step of an augmenter that may not do in training, or at prediction, what it is meant to.

    It is random by numbers that no seed reaches, say, or changes each training image in
    the same way, and no image at prediction.
    """


class DoubleCorrectionWarning(SkimgcvWarning):
    """Class weights and oversampling both correct the same imbalance."""


class LabelsNotFoundWarning(SkimgcvWarning):
    """A parameter names labels, and the rows of a fit have none of them.

    A fold may lack the one class that ``class_weight``, ``class_augmenters`` or
    ``sampling_strategy`` names. Where the labels are of another type than those of ``y``,
    ``"1"`` and ``1``, they could never be found, which the warning says.
    """


class MetricTargetsWarning(SkimgcvWarning):
    """A metric of the user's own gets class numbers, as ``loss="auto"`` chooses them."""


class NonFiniteLossWarning(SkimgcvWarning):
    """The loss became NaN or infinite: what was trained from then on is worth nothing."""


class OneHotLabelsWarning(SkimgcvWarning):
    """``y`` is one-hot, which scikit-learn's scorers and stratified splitters do not take."""


class UnsupportedVersionWarning(SkimgcvWarning):
    """A package's version lacks what something is built on, which is done another way.

    Results are the same; it takes longer, or more memory. The message names the version.
    """
