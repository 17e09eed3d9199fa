"""TensorFlow's first import without the lines that it logs of the machine."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def without_first_log() -> Iterator[None]:
    """Hold standard error back, and show it only where what runs here fails.

    TensorFlow logs before it has read ``TF_CPP_MIN_LOG_LEVEL``, and from C++, where Python
    cannot stop it.
    """
    sys.stderr.flush()
    error = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(error, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(error, 2)
            os.close(error)
