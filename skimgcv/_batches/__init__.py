"""Epochs as batches that a Keras model eats: which rows, in which order, transformed how.

No row is read before a batch is asked for, and one batch is prepared ahead. Also here: which
augmenters an estimator uses, and that they standardise alike.
"""
