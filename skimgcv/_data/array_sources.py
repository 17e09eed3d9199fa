"""Arrays in files: another process opens them by name, and gets no content."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from skimgcv._data.digests import DigestTable

_HDF5_DRIVERS = ("sec2", "stdio", "windows")


@dataclass(frozen=True)
class MemoryMap:
    """A part of a file that is mapped."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    def open(self) -> np.ndarray:
        """Map it read-only."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class HDF5Dataset:
    """A data set in an HDF5 file."""

    path: str
    name: str

    def open(self) -> Any:
        """Open it read-only, once in a process."""
        import h5py

        # A new file may have replaced the open one.
        key = (self.path, *_stamp(self.path))
        file = _open_files.get(key)
        if not file:
            file = _open_files[key] = h5py.File(self.path, "r")
        return file[self.name]


# A data set does not keep its file open: h5py closes it with its last File.
_open_files: dict[tuple[Any, ...], Any] = {}


_MOST_SOURCES = 8
_digests: dict[tuple[Any, ...], DigestTable] = {}


def kept_digests(source: Any) -> DigestTable | None:
    """Return this process's digests of a source, if it is a read-only file."""
    if isinstance(source, np.ndarray) and source.flags.writeable:
        return None
    try:
        place = without_handle(source)
        if not isinstance(place, (MemoryMap, HDF5Dataset)):
            return None
        key = (place, *_stamp(place.path))
    except (TypeError, OSError):  # no other process could open it
        return None
    if key not in _digests:
        for oldest in list(_digests)[: len(_digests) + 1 - _MOST_SOURCES]:
            _digests.pop(oldest, None)
    return _digests.setdefault(key, DigestTable(int(source.shape[0])))


def _stamp(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def without_handle(source: Any) -> Any:
    """Return the replacement of a source in a pickle.

    Raises
    ------
    TypeError
        If another process could not open it.
    """
    if isinstance(source, np.ndarray):
        return _mapped(source) or np.asarray(source)
    h5py = sys.modules.get("h5py")
    if h5py is not None and isinstance(source, h5py.Dataset):
        return _in_hdf5(source)
    return source


def reopened(source: Any) -> Any:
    """Return the original of a replacement."""
    return source.open() if isinstance(source, (MemoryMap, HDF5Dataset)) else source


def _mapped(array: np.ndarray) -> MemoryMap | None:
    """Return the place of an array in a file, or None if the array itself must be sent."""
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c":
        return None
    if not array.flags.c_contiguous:
        return None
    begin = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return MemoryMap(str(root.filename), array.dtype, array.shape, root.offset + begin)


def _in_hdf5(source: Any) -> HDF5Dataset:
    if not source:
        raise TypeError("The HDF5 file of this ImageArray is closed; keep it open.")
    if source.file.driver not in _HDF5_DRIVERS:
        raise TypeError(
            f"Another process cannot open an HDF5 file of the driver {source.file.driver!r}; "
            "use n_jobs=1, or a file on the disk."
        )
    if source.file.mode != "r":
        raise TypeError(
            "Another process cannot read an HDF5 file that is open for writing; open it with "
            'h5py.File(path, "r").'
        )
    return HDF5Dataset(source.file.filename, source.name)
