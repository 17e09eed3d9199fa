"""Compile once, fit many: equal models share the steps of one compiled model.

``run`` trains and predicts with such steps. The other modules prove that two models are equal.
``content`` proves that two fits are equal, also in different processes. A model that cannot be
proved equal is compiled for itself, with the same result.
"""
