"""``python -m skimgcv``: cross-validate a folder of class folders."""

import sys

from skimgcv._command import main

if __name__ == "__main__":
    sys.exit(main())
