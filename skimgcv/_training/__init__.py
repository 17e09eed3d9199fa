"""What happens inside ``fit`` and nowhere else; evaluation never imports it.

The rows of one fit, its weights, oversampling and inner hold-out; the training itself, its
progress and its checkpoints.
"""
