"""Warnings and errors that can be told apart, silenced or caught, by their type."""

from __future__ import annotations


class ImageReadError(OSError):
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


class UnreadableImagesWarning(UserWarning):
    """A fit leaves out files that give no image, as ``on_error="skip"`` asks."""


class ImageCacheWarning(UserWarning):
    """Decoded images cannot be kept in their folder, and will be decoded each time."""


class PixelScaleWarning(UserWarning):
    """Prediction gets values of another range than ``fit`` did, such as 0..1 after 0..255."""


class DoubleCorrectionWarning(UserWarning):
    """Class weights and oversampling both correct the same imbalance."""


class NonFiniteLossWarning(UserWarning):
    """The loss became NaN or infinite: what was trained from then on is worth nothing."""


class SavedFileError(ValueError):
    """A file cannot be loaded: damaged, of another version, or asking for what it may not."""
