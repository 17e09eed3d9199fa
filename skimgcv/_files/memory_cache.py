"""Decoded images in memory: shared by all folds of a process, up to a budget."""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv._files.kept_digests import Stamp, clear_kept_digests
from skimgcv._runtime.memory import free_bytes
from skimgcv._runtime.platform import after_fork

SHARE_OF_FREE = 0.25
"""Share of the free memory, if no number of bytes is given."""


class Owner:
    """All ``ImageFiles`` that were made from one list: its parts and its copies."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return owner, (self.token,)


_owners: weakref.WeakValueDictionary[str, Owner] = weakref.WeakValueDictionary()


def owner(token: str | None = None) -> Owner:
    """Return the owner of that name in this process, or a new one."""
    token = uuid.uuid4().hex if token is None else token
    return _owners.setdefault(token, Owner(token))


@dataclass
class _Entry:
    stamp: Stamp
    pixels: np.ndarray
    token: str


class Memory:
    """Images by decoding and path, each with the stamp of the file it came from.

    Images of a living list are never dropped: each epoch reads all rows, so a dropped image would
    be the next one to be read. Images of deleted lists are dropped first, and only when memory is
    needed, since joblib's workers get a new copy of the list with each fold.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop all images."""
        # A lock that another thread held during a fork would stay locked in the child.
        self._lock = threading.Lock()
        self._shelves: dict[Hashable, dict[str, _Entry]] = {}
        self._held: dict[str, int] = {}

    @property
    def n_bytes(self) -> int:
        """The bytes of all images."""
        return sum(self._held.values())

    def fetch(
        self,
        decoding: Hashable,
        paths: Sequence[str],
        stamps: Sequence[Stamp],
        out: np.ndarray,
        token: str,
    ) -> list[int]:
        """Copy the images that are here to their places in ``out``; return the other places."""
        shelf = self._shelves.get(decoding, {})
        missing = []
        for place, (path, stamp) in enumerate(zip(paths, stamps, strict=True)):
            entry = shelf.get(path)
            if entry is None or entry.stamp != stamp:
                missing.append(place)
                continue
            out[place] = entry.pixels
            if entry.token != token:
                with self._lock:
                    self._count(entry, -1)
                    entry.token = token
                    self._count(entry, 1)
        return missing

    def lacks(self, decoding: Hashable, path: str, stamp: Stamp) -> bool:
        """Whether an image is not here."""
        entry = self._shelves.get(decoding, {}).get(path)
        return entry is None or entry.stamp != stamp

    def store(
        self,
        decoding: Hashable,
        paths: Sequence[str],
        stamps: Sequence[Stamp],
        pixels: np.ndarray,
        token: str,
        budget: int | None,
    ) -> None:
        """Keep copies of images, as many as the budget allows."""
        with self._lock:
            room = self._room(budget)
            if room < pixels.nbytes and self._drop_orphans():
                room = self._room(budget)
            shelf = self._shelves.setdefault(decoding, {})
            for path, stamp, image in zip(paths, stamps, pixels, strict=True):
                old = shelf.pop(path, None)
                if old is not None:
                    self._count(old, -1)
                    room += old.pixels.nbytes
                if room < image.nbytes:
                    continue
                room -= image.nbytes
                shelf[path] = _Entry(stamp, image.copy(), token)
                self._count(shelf[path], 1)

    def _room(self, budget: int | None) -> int:
        held = self.n_bytes
        if budget is None:
            budget = int(SHARE_OF_FREE * (free_bytes() + held))
        return budget - held

    def _count(self, entry: _Entry, sign: int) -> None:
        self._held[entry.token] = self._held.get(entry.token, 0) + sign * entry.pixels.nbytes

    def _drop_orphans(self) -> bool:
        orphans = {token for token in self._held if token not in _owners}
        if not orphans:
            return False
        for decoding, shelf in self._shelves.items():
            kept = {path: entry for path, entry in shelf.items() if entry.token not in orphans}
            self._shelves[decoding] = kept
        for token in orphans:
            del self._held[token]
        return True


@dataclass(frozen=True)
class InMemory:
    """The images of one kind that one owner uses.

    Attributes
    ----------
    memory : Memory
    decoding : hashable
        Their kind.
    owner : Owner
    budget : int or None
        Bytes for all images in memory; None for a share of the free memory.
    """

    memory: Memory
    decoding: Hashable
    owner: Owner
    budget: int | None

    def fetch(self, paths: Sequence[str], stamps: Sequence[Stamp], out: np.ndarray) -> list[int]:
        """Copy the images that are here to their places in ``out``; return the other places."""
        return self.memory.fetch(self.decoding, paths, stamps, out, self.owner.token)

    def store(self, paths: Sequence[str], stamps: Sequence[Stamp], pixels: np.ndarray) -> None:
        """Keep copies of images, as many as the budget allows."""
        self.memory.store(self.decoding, paths, stamps, pixels, self.owner.token, self.budget)

    def lacks(self, path: str, stamp: Stamp) -> bool:
        """Whether an image is not here."""
        return self.memory.lacks(self.decoding, path, stamp)


def check_cache(cache: Any, name: str = "cache") -> str | int | None:
    """Return a folder, a number of bytes (-1: a share of the free memory), or None."""
    if cache is None:
        return None
    if isinstance(cache, str) and cache == "memory":
        return -1
    if isinstance(cache, (str, os.PathLike)):
        return str(Path(os.path.abspath(os.fsdecode(cache))))
    if isinstance(cache, (int, np.integer)) and not isinstance(cache, bool) and cache >= 0:
        return int(cache)
    raise ValueError(
        f'{name} must be "memory", a number of bytes, the path of a folder, or None; '
        f"it is {cache!r}"
    )


memory = Memory()
after_fork(memory.clear)


def clear_decoded_images() -> None:
    """Free all decoded images that this process keeps in memory.

    skimgcv drops them when other images need the memory. Call this function to free the
    memory now.

    Examples
    --------
    >>> from skimgcv import clear_decoded_images
    >>> clear_decoded_images()
    """
    memory.clear()
    clear_kept_digests()
