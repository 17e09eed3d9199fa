"""Many files to pixels: each is decoded once, in threads, and kept if there is memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from skimgcv._files.decoding import Decoding
from skimgcv._files.headers import UnreadableError
from skimgcv._files.kept_digests import Stamp
from skimgcv._runtime import threads

_BLOCK = 64  # files that are decoded before any is kept


class Store(Protocol):
    """A store of decoded images."""

    def fetch(self, paths: Sequence[str], stamps: Sequence[Stamp], out: np.ndarray) -> list[int]:
        """Copy the images that are here to their places in ``out``; return the other places."""
        ...

    def store(self, paths: Sequence[str], stamps: Sequence[Stamp], pixels: np.ndarray) -> None:
        """Keep copies of images."""
        ...


def read_images(
    paths: Sequence[str], decoding: Decoding, store: Store | None, out: np.ndarray | None
) -> dict[int, UnreadableError]:
    """Read files.

    Parameters
    ----------
    paths : sequence of str
    decoding : Decoding
    store : Store or None
    out : ndarray of shape (n, height, width, channels) or None
        Receives the images; None if only the failures are needed.

    Returns
    -------
    dict of int to UnreadableError
        By position in ``paths``.
    """
    failures: dict[int, UnreadableError] = {}
    shape = (_BLOCK, *decoding.image_shape)
    spare = np.empty(shape, decoding.dtype) if out is None else None
    for start in range(0, len(paths), _BLOCK):
        block = paths[start : start + _BLOCK]
        room = spare[: len(block)] if spare is not None else out[start : start + len(block)]  # type: ignore[index]
        for place, error in _read_block(block, decoding, store, room).items():
            failures[start + place] = error
    return failures


def _read_block(
    paths: Sequence[str], decoding: Decoding, store: Store | None, out: np.ndarray
) -> dict[int, UnreadableError]:
    failures: dict[int, UnreadableError] = {}
    stamps: dict[int, Stamp] = {}
    for place, path in enumerate(paths):
        try:
            stamps[place] = _stamp(path)
        except UnreadableError as error:
            failures[place] = error
    to_decode = list(stamps)
    if store is not None and to_decode:
        to_decode = _fetch(paths, stamps, store, out)

    def decode(place: int) -> None:
        try:
            out[place] = _decoded(paths[place], decoding)
        except UnreadableError as error:
            failures[place] = error

    in_threads(decode, to_decode)
    decoded = [place for place in to_decode if place not in failures]
    if store is not None and decoded:
        store.store([paths[p] for p in decoded], [stamps[p] for p in decoded], out[decoded])
    return failures


def _fetch(
    paths: Sequence[str], stamps: dict[int, Stamp], store: Store, out: np.ndarray
) -> list[int]:
    places = list(stamps)
    if len(places) == len(paths):
        return store.fetch(paths, list(stamps.values()), out)
    part = out[places]
    missing = store.fetch([paths[p] for p in places], list(stamps.values()), part)
    out[places] = part
    return [places[p] for p in missing]


def check_file(path: str, decoding: Decoding) -> UnreadableError | None:
    """Decode a file, only for its error."""
    try:
        _stamp(path)
        _decoded(path, decoding)
    except UnreadableError as error:
        return error
    return None


def _decoded(path: str, decoding: Decoding) -> np.ndarray:
    return decoding.decode(read_file(path)) if decoding.reader is None else decoding.read(path)


def in_threads(work: Callable[[int], None], places: Sequence[int]) -> None:
    """Call ``work`` with each position, in as many threads as this process may use."""
    n_threads = min(threads.thread_count(), len(places))
    if n_threads > 1:
        threads.share_out(len(places), lambda turn: work(places[turn]), n_threads)
    else:
        for place in places:
            work(place)


def stamps_of(paths: Sequence[str]) -> list[Stamp | None]:
    """Return the size and the time of change of each file; None for a missing file."""
    stamps: list[Stamp | None] = []
    for path in paths:
        try:
            stamps.append(_stamp(path))
        except UnreadableError:
            stamps.append(None)
    return stamps


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise _no_file(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("it is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("it is not a regular file")
    return status.st_size, status.st_mtime_ns


def read_file(path: str) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    UnreadableError
        If the file has no bytes.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
    except OSError as error:
        raise _no_file(path, error) from error
    if not data:
        raise UnreadableError("it is empty")
    return data


def _no_file(path: str, error: Exception) -> UnreadableError:
    if isinstance(error, FileNotFoundError):
        if Path(path).is_symlink():
            return UnreadableError("it is a link to a file that does not exist")
        return UnreadableError("there is no such file")
    if isinstance(error, PermissionError):
        return UnreadableError("this user may not read it")
    said = error.strerror if isinstance(error, OSError) else None
    return UnreadableError(f"it cannot be opened: {said or error}")
