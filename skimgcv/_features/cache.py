"""The cache of features, in this process's memory, or in a folder that processes share.

A process claims features before it makes them, so that no other one makes them, too. Free memory
and speed decide which features are made again, but change no value.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from skimgcv._features.trunk import Trunk, clear_trunks
from skimgcv._files.disk_cache import OnDisk, on_disk
from skimgcv._files.memory_cache import InMemory, Memory, owner
from skimgcv._runtime.platform import after_fork, claim, give_up_claim, open_file

_STAMP = (0, 0)
"""Images of files have a stamp, since files change. The key of features covers all of their
content."""

_memory = Memory()
after_fork(_memory.clear)


def clear_features() -> None:
    """Free all features that this process keeps in memory, and the compiled frozen layers.

    skimgcv drops them when others need the memory. Call this function to free it now. Fitted
    estimators and folders of features do not change.

    Examples
    --------
    >>> from skimgcv import clear_features
    >>> clear_features()
    """
    _memory.clear()
    clear_trunks()


class FeatureCache:
    """The features of one trunk, known by keys of 16 bytes as text.

    Parameters
    ----------
    where : str or int
        A folder, or the number of bytes in memory for the features of all trunks; -1 for a share
        of the free memory.
    trunk : Trunk
    """

    def __init__(self, where: str | int, trunk: Trunk) -> None:
        self._store: OnDisk | InMemory
        if isinstance(where, str):
            base = str(Path(where, f"{trunk.lasting_key().hex()}.features"))
            self._store = on_disk(base, trunk.shape, trunk.dtype, otherwise="run")
            self._claims = _claims(base, f"{base}.claims")
        else:
            kind = trunk.key.hex()
            budget = None if where < 0 else where
            self._store = InMemory(_memory, kind, owner(kind), budget)
            self._claims = _claims(kind)

    def fetch(self, keys: Sequence[str], out: np.ndarray) -> list[int]:
        """Copy cached features to their places; return the other places."""
        return self._store.fetch(keys, [_STAMP] * len(keys), out)

    def store(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Keep copies of features, as many as there is room for."""
        self._store.store(keys, [_STAMP] * len(keys), features)

    def lacks(self, key: str) -> bool:
        return self._store.lacks(key, _STAMP)

    def claim(self, key: str) -> bool:
        """Claim features; return False if they exist or are being made."""
        if not self._claims.take(key):
            return False
        if self.lacks(key):
            return True
        self._claims.give_up([key])
        return False

    def give_up(self, keys: Iterable[str]) -> None:
        """Release claims, so that others may make the features."""
        self._claims.give_up(keys)

    def wait(self, key: str) -> None:
        """Wait until these are no longer being made."""
        self._claims.wait(key)


class _Claims:
    """Claims: the features that any thread makes or, with a file, any process."""

    def __init__(self, path: str) -> None:
        self._keys: set[str] = set()
        self._changed = threading.Condition()
        self._file = open_file(path, os.O_RDWR | os.O_CREAT) if path else None

    def take(self, key: str) -> bool:
        with self._changed:
            if key in self._keys or not (self._file is None or claim(self._file, _place(key))):
                return False
            self._keys.add(key)
            return True

    def give_up(self, keys: Iterable[str]) -> None:
        with self._changed:
            for key in keys:
                self._keys.discard(key)
                if self._file is not None:
                    give_up_claim(self._file, _place(key))
            self._changed.notify_all()

    def wait(self, key: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: key not in self._keys)
        if self._file is not None:
            claim(self._file, _place(key), wait=True)
            give_up_claim(self._file, _place(key))

    def forget(self) -> None:
        """After a fork: the child does not have its parent's claims."""
        self._keys.clear()
        self._changed = threading.Condition()


def _place(key: str) -> int:
    return int(key[:14], 16)


_opened: weakref.WeakValueDictionary[str, _Claims] = weakref.WeakValueDictionary()
_of_folders: set[_Claims] = set()  # closing the file would release the locks of all threads
_lock = threading.Lock()


def _claims(kind: str, path: str = "") -> _Claims:
    with _lock:
        claims = _opened.get(kind) or _Claims(path)
        _opened[kind] = claims
        if path:
            _of_folders.add(claims)
        return claims


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    for claims in list(_opened.values()):
        claims.forget()


after_fork(_forget)
