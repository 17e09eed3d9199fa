"""The command line, ``python -m skimgcv``: its options, its report, and the model by default."""
