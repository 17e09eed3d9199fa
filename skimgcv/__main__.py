"""``skimgcv`` and ``python -m skimgcv``: cross-validate a folder, or a table, of images."""

import os
import sys


def run() -> None:
    """Run the command line, and leave with its exit code."""
    # TensorFlow reports its build on standard error, before it is asked anything.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Names of files may be bytes that are no text.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    from skimgcv._cli.command import main

    sys.exit(main())


if __name__ == "__main__":
    run()
