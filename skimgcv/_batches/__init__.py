"""Epochs as batches that a Keras model eats."""
