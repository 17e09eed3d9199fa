"""Arrays in a folder, such as decoded images: memory-mapped, shared, and safe from crashes.

Arrays of one kind have two files, which only grow. ``.pixels`` has a slot for each array.
``.index`` has a record for each slot, written after the pixels. A process that dies before leaves
a slot that the next one fills. A slot with a record never changes, so no process reads a
half-written image or another version.
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv._files.decoding import Decoding
from skimgcv._files.kept_digests import Stamp
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.paging import Pages
from skimgcv._runtime.platform import after_fork, locked, open_file, read_at, write_at
from skimgcv.exceptions import ImageCacheWarning

_RECORD = np.dtype(
    [
        ("path", "V16"),
        ("size", "<i8"),
        ("changed_ns", "<i8"),
        ("pixels_crc", "<u4"),
        ("record_crc", "<u4"),
    ]
)


class OnDisk:
    """The arrays of one kind in one folder, each with a name and a stamp.

    Parameters
    ----------
    base : str
        The path of the files without extension. Their folder is created if it is missing.
    shape, dtype
        The shape and the dtype of one array.
    otherwise : str
        The verb for arrays that cannot be kept, and must be made again: "decoded".

    Raises
    ------
    OSError
        If the folder can be neither written nor read.
    """

    def __init__(self, base: str, shape: tuple[int, ...], dtype: Any, *, otherwise: str) -> None:
        Path(base).parent.mkdir(parents=True, exist_ok=True)
        self._base = base
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._otherwise = otherwise
        self._image_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        self._lock = threading.Lock()
        self._may_store = True
        self._slots: dict[tuple[bytes, Stamp], int] = {}
        self._crc: list[int] = []
        self._checked: set[int] = set()
        self._broken: set[int] = set()
        self._n_records = 0
        self._map: np.ndarray | None = None
        try:
            self._index = self._open(".index", os.O_RDWR | os.O_CREAT)
            self._pixels = self._open(".pixels", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            self._index = self._open(".index", os.O_RDONLY)
            self._pixels = self._open(".pixels", os.O_RDONLY)
            self._stop_storing(error)

    def _open(self, suffix: str, flags: int) -> int:
        return open_file(self._base + suffix, flags)

    def close(self) -> None:
        """Close the files."""
        os.close(self._index)
        os.close(self._pixels)

    # -- reading ----------------------------------------------------------------------

    def fetch(self, paths: Sequence[str], stamps: Sequence[Stamp], out: np.ndarray) -> list[int]:
        """Copy cached images to their places in ``out``; return the other places."""
        keys = [(_name(path), stamp) for path, stamp in zip(paths, stamps, strict=True)]
        with self._lock:
            if any(key not in self._slots for key in keys):
                self._read_records()
            slots = np.array([self._slots.get(key, -1) for key in keys], dtype=np.intp)
            images = self._mapped(int(slots.max(initial=-1)) + 1)
        lost = slots >= len(images)  # the file was truncated: write it again
        self._broken.update(slots[lost].tolist())
        slots[lost] = -1
        places = np.flatnonzero(slots >= 0)
        out[places] = images[slots[places]]
        self._pages.have_read(len(places) * self._image_bytes)
        broken = [p for p in places if not self._is_whole(int(slots[p]), out[p])]
        return sorted([*np.flatnonzero(slots < 0).tolist(), *map(int, broken)])

    def lacks(self, path: str, stamp: Stamp) -> bool:
        """Whether an image is not cached."""
        key = _name(path), stamp
        with self._lock:
            if key not in self._slots:
                self._read_records()
            return self._slots.get(key, -1) in (-1, *self._broken)

    def _is_whole(self, slot: int, image: np.ndarray) -> bool:
        """Check an image against its record, once: a machine may crash while it is written."""
        if slot not in self._checked:
            if _crc(image) != self._crc[slot]:
                self._broken.add(slot)
                return False
            self._checked.add(slot)
        return True

    def _read_records(self) -> None:
        n = os.fstat(self._index).st_size // _RECORD.itemsize
        if n <= self._n_records:
            return
        start = self._n_records * _RECORD.itemsize
        data = read_at(self._index, (n - self._n_records) * _RECORD.itemsize, start)
        records = np.frombuffer(data[: len(data) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
        for slot, record in enumerate(records, self._n_records):
            self._crc.append(int(record["pixels_crc"]))
            if _record_crc(record) == int(record["record_crc"]):
                stamp = int(record["size"]), int(record["changed_ns"])
                # The later of two records: it was written because the first was damaged.
                self._slots[record["path"].tobytes(), stamp] = slot
        self._n_records += len(records)

    def _mapped(self, n: int) -> np.ndarray:
        """Return a map of at least n images, if the file has them."""
        if self._map is None or len(self._map) < n:
            n_stored = os.fstat(self._pixels).st_size // self._image_bytes
            if self._map is None or n_stored > len(self._map):
                self._map = self._new_map(n_stored)
                self._pages = Pages(self._map)
        return self._map

    def _new_map(self, n: int) -> np.ndarray:
        if n == 0:
            return np.empty((0, *self._shape), self._dtype)
        # Uses the open file: by now its name may belong to another file, or to none.
        with os.fdopen(os.dup(self._pixels), "rb") as file:
            return np.memmap(file, self._dtype, "r", shape=(n, *self._shape))

    # -- writing ----------------------------------------------------------------------

    def store(self, paths: Sequence[str], stamps: Sequence[Stamp], pixels: np.ndarray) -> None:
        """Add images. If this fails, warn once and stop storing."""
        if not self._may_store:
            return
        try:
            with self._lock, locked(f"{self._base}.lock", self._index):
                self._append(paths, stamps, pixels)
        except OSError as error:
            self._stop_storing(error)

    def _append(self, paths: Sequence[str], stamps: Sequence[Stamp], pixels: np.ndarray) -> None:
        self._read_records()
        records = np.zeros(len(paths), _RECORD)
        new: dict[tuple[bytes, Stamp], int] = {}  # a row may be in a batch twice
        for i, (path, stamp, image) in enumerate(zip(paths, stamps, pixels, strict=True)):
            key, crc = (_name(path), stamp), _crc(image)
            slot = self._slots.get(key)
            if slot is not None and self._crc[slot] == crc and slot not in self._broken:
                continue  # another process was faster
            records[i] = (key[0], *stamp, crc, 0)
            records[i]["record_crc"] = _record_crc(records[i])
            new[key] = i
        if new:
            rows, first = list(new.values()), self._n_records
            write_at(self._pixels, pixels[rows].tobytes(), first * self._image_bytes)
            write_at(self._index, records[rows].tobytes(), first * _RECORD.itemsize)
            self._read_records()
            self._checked.update(range(first, first + len(rows)))

    def _stop_storing(self, error: OSError) -> None:
        self._may_store = False
        warnings.warn(
            f"Cannot write to {self._base}.*: {error.strerror or error}. Images that are not "
            f"there yet will be {self._otherwise} each time.",
            ImageCacheWarning,
            stacklevel=user_stacklevel(),
        )


def _name(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=16).digest()


def _crc(image: np.ndarray) -> int:
    # As bytes, since some types, such as bfloat16, have no buffer.
    return zlib.crc32(np.ascontiguousarray(image).reshape(-1).view(np.uint8).data)


def _record_crc(record: np.void) -> int:
    return zlib.crc32(record.tobytes()[: -_RECORD["record_crc"].itemsize])


_opened: dict[str, OnDisk] = {}
_lock = threading.Lock()


def decoded_on_disk(folder: str, decoding: Decoding) -> OnDisk:
    """Return this process's view of the images of one decoding in a folder."""
    base = str(Path(folder, decoding.digest()))
    return on_disk(base, decoding.image_shape, decoding.dtype, otherwise="decoded")


def on_disk(base: str, shape: tuple[int, ...], dtype: Any, *, otherwise: str) -> OnDisk:
    """Return this process's view of some files, one for all threads."""
    with _lock:
        if base not in _opened:
            _opened[base] = OnDisk(base, shape, dtype, otherwise=otherwise)
        return _opened[base]


def _forget() -> None:
    """After a fork: parent and child would share open files and their locks."""
    global _lock
    _lock = threading.Lock()
    for opened in _opened.values():
        opened.close()
    _opened.clear()


after_fork(_forget)
