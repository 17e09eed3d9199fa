"""Epochs as batches for a Keras model: rows, their order, and their transforms.

A row is read when its batch is needed, and one batch is prepared ahead. This subpackage also
decides which augmenters an estimator uses, and checks that they standardise in the same way.
"""
