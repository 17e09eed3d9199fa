"""Saving, loading, pickling and exporting a fitted estimator."""
