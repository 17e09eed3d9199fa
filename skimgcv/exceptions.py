"""Warnings and errors that can be told apart, silenced or caught, by their type."""


class PixelScaleWarning(UserWarning):
    """Prediction gets values of another range than ``fit`` did, such as 0..1 after 0..255."""


class DoubleCorrectionWarning(UserWarning):
    """Class weights and oversampling both correct the same imbalance."""


class NonFiniteLossWarning(UserWarning):
    """The loss became NaN or infinite: what was trained from then on is worth nothing."""


class SavedFileError(ValueError):
    """A file cannot be loaded: damaged, of another version, or asking for what it may not."""
