"""Compile once, fit many: equal models share the steps of one compiled model.

``run`` trains and predicts on such steps; the rest proves that two models are equal. What cannot
be proven equal is fitted the ordinary way, with the same result.
"""
