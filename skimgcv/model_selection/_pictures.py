"""One pass over all images: exact copies are found by bytes, others become thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from skimgcv._runtime.chunks import chunks

from ._fingerprints import SIDE, thumbnail


class Pictures(NamedTuple):
    """The data kept for the images: 2 kB for each."""

    first_copy: np.ndarray
    """(n,): the first row with the same pixels."""
    rows: np.ndarray
    """Rows that are neither copies nor blank."""
    thumbnails: np.ndarray
    """(len(rows), SIDE, SIDE) uint8."""


def read_pictures(X: Any, progress: Any) -> Pictures:
    n = int(X.shape[0])
    first_copy = np.empty(n, dtype=np.intp)
    seen: dict[bytes, int] = {}
    rows: list[int] = []
    # Filled up to the number of rows. The rest takes no memory.
    thumbnails = np.empty((n, SIDE, SIDE), dtype=np.uint8)
    with progress(total=n, desc="reading", unit="image") as bar:
        for start, images in read_chunks(X):
            for row, image in enumerate(images, start):
                digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
                first_copy[row] = seen.setdefault(digest, row)
                if first_copy[row] == row and (small := thumbnail(image)) is not None:
                    thumbnails[len(rows)] = small
                    rows.append(row)
            bar.update(len(images))
    return Pictures(first_copy, np.array(rows, dtype=np.intp), thumbnails[: len(rows)])


def read_chunks(X: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Read all images, a few megabytes at a time, with the row of the first."""
    image_bytes = int(np.prod(X.shape[1:])) * np.dtype(X.dtype).itemsize
    for rows in chunks(int(X.shape[0]), image_bytes):
        images = np.asarray(X[np.arange(rows.start, rows.stop)])
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            bad = rows.start + int(
                np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(1))[0]
            )
            raise ValueError(f"images must be finite; row {bad} has NaN or infinity")
        yield rows.start, images


def check_images(X: Any) -> Any:
    """Return X as an object with ``shape`` and ``dtype``, or raise an error."""
    X = X if hasattr(X, "shape") and hasattr(X, "dtype") else np.asarray(X)
    if len(X.shape) not in (3, 4):
        raise ValueError(
            "X must be images, (n, height, width) or (n, height, width, channels); got shape "
            f"{tuple(X.shape)}; reshape flat rows to images first"
        )
    if np.dtype(X.dtype).kind not in "biuf":
        raise ValueError(f"images must be numbers; X has dtype {X.dtype}")
    return X
