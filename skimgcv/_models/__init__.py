"""Building, compiling and routing parameters; what a model's outputs mean."""
