"""Leakage-free, fast image augmentation inside scikit-learn's cross-validation.

Images are arrays of shape (n, height, width, channels), uint8 0..255 or float.
"""
