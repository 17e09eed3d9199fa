"""How many threads this process may use."""

from __future__ import annotations

import functools
import os

import joblib


def thread_count() -> int:
    """Return this process's share of the cores, at least 1.

    It is what joblib counts (CPU affinity and the container's quota), limited by
    ``OMP_NUM_THREADS``: joblib sets that in its worker processes so that they do
    not fight over the cores, and so do many people on shared machines.

    Examples
    --------
    >>> thread_count() >= 1
    True
    """
    limits = [_cores()]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    # OpenMP allows a list, one entry a nesting level: the first is the outermost.
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit():
        limits.append(int(asked))
    return max(1, min(limits))


@functools.cache
def _cores() -> int:
    # Reads files of the container's quota: 100 times slower than a batch can afford.
    return int(joblib.cpu_count())
