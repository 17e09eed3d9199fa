"""Functions that differ between Linux, macOS and Windows."""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any


def _module(name: str) -> Any:
    """Return one of Python's own modules, or None if the system does not have it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_fcntl = _module("fcntl")  # Windows has none


_inherited: list[object] = []


def after_fork(clear: Callable[[], None], held: Callable[[], object] = tuple) -> None:
    """Call ``clear`` in each forked child of this process; Windows does not fork.

    What ``held`` returns stays alive there. TensorFlow's functions crash a child that drops them.
    """

    def in_child() -> None:
        _inherited.append(held())
        clear()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=in_child)


def allowed_cores() -> int | None:
    """Return the number of cores that this process may use, if the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def open_file(path: str, flags: int) -> int:
    """Open a file by its bytes; children do not inherit it."""
    # Windows would end lines with two bytes.
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)


def read_at(file: int, size: int, offset: int) -> bytes:
    """Read from a position of an open file. No other thread may use the file meanwhile."""
    if hasattr(os, "pread"):
        return os.pread(file, size, offset)
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, size)


def write_at(file: int, data: bytes, offset: int) -> None:
    """Write ``data`` to a position of an open file. No other thread may use it meanwhile.

    A full disk is an OSError; written through a map, it would kill the process.
    """
    view = memoryview(data)
    while view:
        written = _write_some(file, view, offset)
        view, offset = view[written:], offset + written


def _write_some(file: int, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file, data, offset)
    os.lseek(file, offset, os.SEEK_SET)
    return os.write(file, data)


@contextlib.contextmanager
def locked(path: str, file: int) -> Iterator[None]:
    """Lock out other processes. The system releases the lock of a dead process.

    Parameters
    ----------
    path : str
        The path of a lock file, for systems on which open files cannot be locked.
    file : int
        The open file to lock on other systems. filelock could do both, but a forked child that
        drops its copy of such a lock may end its parent's.

    Raises
    ------
    OSError
        If the file system has no locks, or does not let this user lock.
    """
    if _fcntl is None:
        import filelock

        with filelock.FileLock(path):
            yield
        return
    _fcntl.flock(file, _fcntl.LOCK_EX)
    try:
        yield
    finally:
        _fcntl.flock(file, _fcntl.LOCK_UN)


def claim(file: int, place: int, *, wait: bool = False) -> bool:
    """Lock a byte of an open file against other processes, whether or not it has that byte.

    The system releases the lock if its process dies, or closes the file. On a system without such
    locks, every process gets one.

    Returns
    -------
    bool
        Whether this process has the lock now. With ``wait`` it waits for it.
    """
    if _fcntl is None:
        return True
    how = _fcntl.LOCK_EX if wait else _fcntl.LOCK_EX | _fcntl.LOCK_NB
    try:
        _fcntl.lockf(file, how, 1, place)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def give_up_claim(file: int, place: int) -> None:
    """Let other processes lock a byte again."""
    if _fcntl is not None:
        with contextlib.suppress(OSError):
            _fcntl.lockf(file, _fcntl.LOCK_UN, 1, place)


def release_pages(pages: Any) -> None:
    """Release the pages of a map. Reading loads them again.

    Windows has no call for it, and releases pages itself if memory is short.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
