"""What every room may use: seeds, random streams, threads, workers, optional packages."""
