"""Where features are kept: in this process's memory, or in a folder that processes share.

Whoever is to make some says so before, so that nobody else makes them meanwhile. What memory
there is, and who is faster, decides on what is made again, and on no number.
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
"""Files change, and their images have their stamp; features go by what they are made of."""

_memory = Memory()
after_fork(_memory.clear)


def clear_features() -> None:
    """Forget all features that this process keeps in memory, and the compiled frozen layers.

    They make room for others by themselves; call this to have the memory at once. Fitted
    estimators and folders of features are not touched.

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
        A folder, or how many bytes the features of all trunks may take in memory; -1 for a
        share of what is free.
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
        """Copy the features that are here to their places; return the other places."""
        return self._store.fetch(keys, [_STAMP] * len(keys), out)

    def store(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Keep copies of features, as many as there is room for."""
        self._store.store(keys, [_STAMP] * len(keys), features)

    def lacks(self, key: str) -> bool:
        return self._store.lacks(key, _STAMP)

    def claim(self, key: str) -> bool:
        """Say that one's features are made now; False where they are here, or being made."""
        if not self._claims.take(key):
            return False
        if self.lacks(key):
            return True
        self._claims.give_up([key])
        return False

    def give_up(self, keys: Iterable[str]) -> None:
        """Let others make what was claimed."""
        self._claims.give_up(keys)

    def wait(self, key: str) -> None:
        """Wait until nobody makes these any more."""
        self._claims.wait(key)


class _Claims:
    """Which features are being made, by any thread or, with a file, by any process."""

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
        """After a fork: the parent's claims are not the child's."""
        self._keys.clear()
        self._changed = threading.Condition()


def _place(key: str) -> int:
    return int(key[:14], 16)


_opened: weakref.WeakValueDictionary[str, _Claims] = weakref.WeakValueDictionary()
_of_folders: set[_Claims] = set()  # once closed, a file would lose the locks of all threads
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
