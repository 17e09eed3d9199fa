"""Digests of decoded images by their files, for the next fit in this process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skimgcv._files.decoding import Decoding

Stamp = tuple[int, int]
"""Size and time of change (ns) of a file. If they differ, the pixels may differ."""
_MOST_FILES = 1 << 20
_shelves: dict[Decoding, dict[str, tuple[Stamp, np.ndarray]]] = {}


class DigestsOfFiles:
    """Digests of files under one decoding, by path, size and time of change.

    Parameters
    ----------
    decoding : Decoding
    paths : sequence of str
        One a row.
    stamps : sequence of Stamp or None
        Taken before the files are read: a file that changes meanwhile gets another stamp later.
    """

    def __init__(
        self, decoding: Decoding, paths: Sequence[str], stamps: Sequence[Stamp | None]
    ) -> None:
        self._shelf = _shelves.setdefault(decoding, {})
        self._paths = paths
        self._stamps = stamps

    def fetch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return digests of some rows, and a mask of those that are here."""
        found, is_here = np.zeros((len(rows), 2), np.uint64), np.zeros(len(rows), bool)
        for place, row in enumerate(rows.tolist()):
            stamp, digest = self._shelf.get(self._paths[row], (None, 0))
            if stamp is not None and stamp == self._stamps[row]:
                found[place], is_here[place] = digest, True
        return found, is_here

    def keep(self, rows: np.ndarray, found: np.ndarray) -> None:
        """Take the digests of some rows."""
        for row, digest in zip(rows.tolist(), found, strict=True):
            stamp = self._stamps[row]
            if stamp is not None:
                self._shelf[self._paths[row]] = stamp, digest.copy()
        if sum(map(len, list(_shelves.values()))) > _MOST_FILES:
            clear_kept_digests()


def clear_kept_digests() -> None:
    """Drop all of them."""
    for shelf in list(_shelves.values()):
        shelf.clear()
