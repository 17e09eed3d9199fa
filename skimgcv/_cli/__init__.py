"""The command line and its report."""
