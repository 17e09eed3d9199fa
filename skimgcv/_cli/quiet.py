"""TensorFlow's first import without the lines that it logs of the machine."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import joblib


def import_keras(n_jobs: int = 1) -> None:
    """Import Keras here, and in the processes that joblib is going to use."""
    _import_keras()
    n_workers = joblib.effective_n_jobs(n_jobs)
    if n_workers > 1:
        # An import takes seconds: no worker is done with it before each has one.
        joblib.Parallel(n_jobs)(joblib.delayed(_import_keras)() for _ in range(n_workers))


def _import_keras() -> None:
    with without_first_log():
        import keras  # noqa: F401


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
