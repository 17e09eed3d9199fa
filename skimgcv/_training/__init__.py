"""Code that runs only inside ``fit``; evaluation never imports it.

The rows of one fit, their weights, oversampling and the hold-out set; training, its progress and
its checkpoints.
"""
