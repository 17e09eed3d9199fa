"""``python -m skimgcv``: cross-validate a folder of class folders."""

import os
import sys

from skimgcv._cli.command import main

if __name__ == "__main__":
    # TensorFlow reports its build on standard error, before it is asked anything.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Names of files may be bytes that are no text.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
