"""Displays in scikit-learn's convention: numbers are computed first, and drawn by ``plot``."""

__all__: list[str] = []
