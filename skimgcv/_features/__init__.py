"""The frozen first part of a model: separated, run once for each image, and its results kept."""
