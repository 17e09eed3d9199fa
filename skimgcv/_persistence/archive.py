"""A file of JSON documents and arrays: written completely or not at all, and read without trust.

It is a ZIP archive without compression, so it has the same size in memory and on disk. Its
manifest lists each entry with its size and SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import secrets
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from skimgcv.exceptions import SavedFileError

FORMAT_VERSION = 1
"""The format that this version writes, and the newest that it reads."""

MANIFEST = "manifest.json"
_DAY_ONE = (1980, 1, 1, 0, 0, 0)
_NUMBERS = "biufcSUM"
_HEADER_BYTES = 10_000


def write_archive(
    path: str | os.PathLike[str],
    kind: str,
    documents: Mapping[str, Any],
    arrays: Sequence[np.ndarray],
    *,
    packages: Mapping[str, str],
) -> None:
    """Write a file; equal content gives equal bytes.

    A temporary file beside ``path`` is written, synced and renamed. After a crash, or if the disk
    is full, the old file is still there.

    Parameters
    ----------
    path : path-like
    kind : str
        The kind of content, which the reader checks.
    documents : mapping of str to JSON
        Documents by the names of their entries.
    arrays : sequence of ndarray
        Arrays of numbers or strings, never of objects.
    packages : mapping of str to str
        Versions of the packages that wrote it, for errors.
    """
    entries = {name: _json_bytes(document) for name, document in documents.items()}
    entries.update((_array_name(i), _array_bytes(array)) for i, array in enumerate(arrays))
    manifest = {
        "format": kind,
        "version": FORMAT_VERSION,
        "packages": dict(packages),
        "entries": [
            {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in entries.items()
        ],
    }

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: _json_bytes(manifest), **entries}.items():
                archive.writestr(zipfile.ZipInfo(name, _DAY_ONE), data)

    replace_file(path, write)


def replace_file(path: str | os.PathLike[str], write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` write a file that replaces ``path`` only after it is on the disk."""
    # A link stays a link: its target is replaced.
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    # The new name must reach the disk, too. Some file systems cannot do this.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_archive(
    path: str | os.PathLike[str], kind: str, documents: Sequence[str]
) -> tuple[list[Any], list[np.ndarray]]:
    """Read the documents of these names, and all arrays.

    Nothing is written, unpacked to disk or executed. It needs at most a few times the size of the
    file in memory.

    Raises
    ------
    SavedFileError
        If ``write_archive`` did not write the file, or if it is damaged. The message says where.
    OSError
        If it cannot be read at all.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = _entries(archive, os.fstat(file.fileno()).st_size)
                contents = _checked(archive, entries, kind, documents)
            read = [_from_json(name, contents.pop(name)) for name in documents]
            return read, [_from_array(name, data) for name, data in contents.items()]
        except SavedFileError as error:
            raise SavedFileError(f"{os.fspath(path)}: {error}") from error
        except MemoryError:
            raise
        # zipfile raises errors of many types for a damaged structure.
        except Exception as error:
            raise SavedFileError(
                f"{os.fspath(path)}: not a readable archive, damaged or of another kind ({error})"
            ) from error


def _entries(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) < len(infos):
        raise SavedFileError("two entries have one name")
    for name, info in entries.items():
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise SavedFileError(
                f"entry {name!r} is compressed or encrypted; files of ours are not"
            )
        if info.file_size != info.compress_size:
            raise SavedFileError(f"entry {name!r} claims more bytes than it has")
    if sum(info.file_size for info in infos) > file_bytes:
        raise SavedFileError("entries claim more bytes than the file has")
    return entries


def _checked(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    kind: str,
    documents: Sequence[str],
) -> dict[str, bytes]:
    """Read all entries, and compare each with the manifest."""
    if MANIFEST not in entries:
        raise SavedFileError(f"not a file of {kind}: it has no {MANIFEST}")
    listed = _listed(_from_json(MANIFEST, archive.read(entries.pop(MANIFEST))), kind)
    wanted = [*documents, *map(_array_name, range(len(listed) - len(documents)))]
    if list(listed) != wanted or set(entries) != set(wanted):
        strange = sorted({*listed, *entries} ^ set(wanted)) or sorted(entries)
        raise SavedFileError(f"the entries are not those of {kind}: {', '.join(strange[:3])!r}")
    contents = {}
    for name, (size, digest) in listed.items():
        # Checked before reading: the size is limited by that of the file.
        if entries[name].file_size != size:
            raise SavedFileError(f"entry {name!r} has {entries[name].file_size} bytes, not {size}")
        contents[name] = archive.read(entries[name])
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise SavedFileError(f"entry {name!r} is damaged: its SHA-256 is not the manifest's")
    return contents


def _listed(manifest: Any, kind: str) -> dict[str, tuple[int, str]]:
    if not isinstance(manifest, dict) or manifest.get("format") != kind:
        raise SavedFileError(f"not a file of {kind}")
    version = manifest.get("version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise SavedFileError(
            f"format version {version!r} was written by {manifest.get('packages')}; this version "
            f"reads {FORMAT_VERSION}. Load it where it was written, or upgrade"
        )
    entries = {e["name"]: (e["bytes"], e["sha256"]) for e in manifest["entries"]}
    if len(entries) < len(manifest["entries"]):
        raise SavedFileError("the manifest lists an entry twice")
    return entries


def _array_name(number: int) -> str:
    return f"arrays/{number:06d}.npy"


def _json_bytes(document: Any) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _from_json(name: str, data: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise SavedFileError(f"{name} has {constant}")

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, SavedFileError):
            raise
        raise SavedFileError(f"entry {name!r} is not JSON: {error}") from error


def _array_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return file.getvalue()


def _from_array(name: str, data: bytes) -> np.ndarray:
    """Read an array; the sizes in its header must match its bytes."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise SavedFileError(f"entry {name!r} is an array of unknown version {version}")
    shape, fortran, dtype = read_header(file, max_header_size=_HEADER_BYTES)
    if dtype.kind not in _NUMBERS or dtype.subdtype is not None:
        raise SavedFileError(f"entry {name!r} has dtype {dtype}, which is no plain number or text")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise SavedFileError(f"entry {name!r} claims shape {shape}, which is not its size")
    flat = np.frombuffer(data, dtype, offset=file.tell(), count=math.prod(shape))
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")
