"""Compile once, fit many: equal models share the steps of one compiled model.

``run`` trains and predicts on such steps; the rest proves that two models are equal, and, in
``content``, that two fits are, of which one may be in another process. What cannot be proven
equal is fitted the ordinary way, with the same result.
"""
