"""Warnings that can be told apart, and silenced, by their type."""


class PixelScaleWarning(UserWarning):
    """Prediction gets values of another range than ``fit`` did, such as 0..1 after 0..255."""


class DoubleCorrectionWarning(UserWarning):
    """Class weights and oversampling both correct the same imbalance."""
