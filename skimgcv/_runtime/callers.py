"""The line that a warning shows: the user's, not one of this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"


def user_stacklevel() -> int:
    """Return the ``stacklevel`` with which a warning names the first line outside skimgcv.

    Call it in the function that warns.

    Examples
    --------
    >>> user_stacklevel() >= 1
    True
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level
