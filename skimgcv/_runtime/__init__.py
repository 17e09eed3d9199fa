"""What every room may use and that knows nothing of images or models.

Seeds and random streams, which are frozen; threads, worker processes, memory maps, and packages
that may be missing.
"""
