"""A batch in blocks that fit the processor's cache, divided between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2

from .._runtime import threads
from .._runtime.chunks import slices

BLOCK_BYTES = 1 << 18
"""Bytes of images in a block: with their float copies they fit the cache of a core."""

SMALLEST_SHARE_BYTES = 1 << 20
"""Bytes of images for which a second thread is worth its cost."""


def for_blocks(n: int, image_bytes: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` with slices that cover ``range(n)``, from several threads if it pays.

    Below a width of about 64 pixels, most of the work is Python's, and threads would wait for each
    other. Such batches are usually below the limit for a second thread.

    An exception of ``work`` is raised unchanged: that of the first block, if there are several.
    """
    rows = max(1, BLOCK_BYTES // max(1, image_bytes))
    blocks = list(slices(n, rows))
    n_threads = min(
        threads.thread_count(), len(blocks), 1 + n * image_bytes // SMALLEST_SHARE_BYTES
    )
    with _serial_opencv:
        if n_threads > 1:
            threads.share_out(len(blocks), lambda turn: work(blocks[turn]), n_threads)
        else:
            for block in blocks:
                work(block)


class _SerialOpenCV:
    """Switches off OpenCV's own threads, and restores them.

    They would compete for the cores with our threads, and with joblib's other workers. Their
    number is a setting of the whole process: the first user records it, and the last one restores
    it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._inside += 1

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                cv2.setNumThreads(self._before)


_serial_opencv = _SerialOpenCV()
