"""A model's first part, where it is frozen: cut off, run once an image, and its results kept."""
