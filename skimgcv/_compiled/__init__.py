"""Compile once, fit many: equal models share one compiled model."""
