"""Memory maps: pages are released after reading, so that a large file does not fill memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from skimgcv._runtime.platform import release_pages

_RELEASE_BYTES = 8 << 20


class Pages:
    """The pages of an array's file, if it is a memory map; nothing otherwise.

    Pages stay in the system's file cache, and are fast to read again. But while they are mapped,
    they count as memory of this process.

    Parameters
    ----------
    array : object
        Any X.
    """

    def __init__(self, array: Any) -> None:
        self._map = _shared_map(array)
        self._bytes_read = 0

    def have_read(self, n_bytes: int) -> None:
        """Count the bytes read, and release the pages every few megabytes."""
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
    # Changes to a copy-on-write map exist only in its pages.
    return array if isinstance(array, mmap.mmap) and mode in ("r", "r+", "w+") else None
