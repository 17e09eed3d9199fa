"""A batch in blocks that fit the processor's cache, shared out between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2

from .._runtime import threads
from .._runtime.chunks import slices

BLOCK_BYTES = 1 << 18
"""Of a block's images: with their float copies they fit a core's own cache."""

SMALLEST_SHARE_BYTES = 1 << 20
"""Of images that are worth waking another thread for."""


def for_blocks(n: int, image_bytes: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` with slices that cover ``range(n)``, from several threads if it pays.

    Below about 64 pixels' width Python's share of the work is the larger one, and
    threads would only wait for each other: such batches rarely come to the bytes
    that a second thread asks for.

    An exception of ``work`` surfaces as itself, the earliest block's first.
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
    """OpenCV's own threads switched off, and back to what they were.

    They would fight over the cores with ours, and with joblib's other workers. Their
    number belongs to the whole process: the first one in remembers it, the last one
    out restores it.
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
