"""The user's builder becomes a compiled model, and the model's outputs become probabilities.

``factory`` holds SciKeras, which routes parameters; ``targets`` has labels as the loss wants them.
"""
