"""The user's builder becomes a compiled model, and the model's outputs become probabilities.

``factory`` contains SciKeras, which routes parameters. ``targets`` prepares labels for the loss.
"""
