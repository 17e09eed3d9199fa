"""Memory maps: pages that were read are given back, so that a large file fills no memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from skimgcv._runtime.platform import release_pages

_RELEASE_BYTES = 8 << 20


class Pages:
    """The pages of an array's file, if it is a memory map; nothing otherwise.

    What was read stays in the system's cache of files, from where it comes back
    fast. But as long as it is mapped it counts as this process's memory.

    Parameters
    ----------
    array : object
        Any X.
    """

    def __init__(self, array: Any) -> None:
        self._map = _shared_map(array)
        self._bytes_read = 0

    def have_read(self, n_bytes: int) -> None:
        """Count what was read, and give the pages back every few megabytes."""
        if self._map is None:
            return
        self._bytes_read += n_bytes
        if self._bytes_read > _RELEASE_BYTES:
            self._bytes_read = 0
            release_pages(self._map)


def _shared_map(array: Any) -> mmap.mmap | None:
    mode = None
    while isinstance(array, np.ndarray):
        mode = array.mode if isinstance(array, np.memmap) else mode
        array = array.base
    # Changes to a copy-on-write map are nowhere but in its pages.
    return array if isinstance(array, mmap.mmap) and mode in ("r", "r+", "w+") else None
