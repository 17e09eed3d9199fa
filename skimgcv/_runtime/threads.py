"""The number of threads that this process may use, and work divided between them."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable

import joblib

from skimgcv._runtime.other_internals import dask_workers
from skimgcv._runtime.platform import allowed_cores


def thread_count() -> int:
    """Return this process's share of the cores, at least 1.

    It is what joblib counts (CPU affinity and the container's quota), limited by
    ``OMP_NUM_THREADS``: joblib sets that in its worker processes so that they do not compete for
    the cores, and users of shared machines set it, too. Ray sets it to a task's ``num_cpus`` and
    Dask to 1; a Dask worker without it divides its cores.

    Examples
    --------
    >>> thread_count() >= 1
    True
    """
    limits = [_cores()]
    if (allowed := allowed_cores()) is not None:
        limits.append(allowed)
    # OpenMP allows a list with an entry for each nesting level: the first is the outermost.
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit():
        limits.append(int(asked))
    else:
        limits += _dask_shares()
    return max(1, min(limits))


def _dask_shares() -> list[int]:
    """Return the cores for a task of each Dask worker in this process: usually none, or one."""
    dask = sys.modules.get("distributed.worker")
    if dask is None:
        return []
    # Batches are made in our own threads, in which Dask's get_worker() finds no worker.
    workers = [w for w in dask_workers() if w.status is dask.Status.running]
    return [w.state.nthreads // max(1, w.state.executing_count) for w in workers]


@functools.cache
def _cores() -> int:
    # This reads files of the container's quota, which is too slow to do for each batch.
    return int(joblib.cpu_count())


def share_out(n: int, work: Callable[[int], None], threads: int) -> None:
    """Call ``work`` with 0 to n - 1, from several threads, this one among them.

    An exception of ``work`` is raised unchanged: that of the first turn, if there are several.
    """
    turns = itertools.count()
    failures: dict[int, BaseException] = {}

    def take_turns() -> None:
        # next() of a count is atomic, so no lock is needed, and a slow turn delays no other.
        while (turn := next(turns)) < n and not failures:
            try:
                work(turn)
            except BaseException as err:
                failures[turn] = err

    # Threads of one call, not a pool: starting one takes 50 microseconds, and a pool
    # would have to survive forks and the interpreter's end.
    helpers = [threading.Thread(target=take_turns, daemon=True) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    take_turns()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[min(failures)]
