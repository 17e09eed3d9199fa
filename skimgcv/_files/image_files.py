"""ImageFiles: an X of image files that are read when they are needed."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from skimgcv._data.digests import KeptDigests
from skimgcv._data.lazy_images import LazyImages, check_groups
from skimgcv._files.arguments import (
    absolute,
    check_channels,
    check_choice,
    check_dtype,
    check_positive,
    check_shape,
)
from skimgcv._files.decoding import CHANNELS, INTERPOLATIONS, Decoding
from skimgcv._files.disk_cache import decoded_on_disk
from skimgcv._files.gallery import gallery
from skimgcv._files.headers import UnreadableError
from skimgcv._files.kept_digests import DigestsOfFiles
from skimgcv._files.memory_cache import InMemory, check_cache, memory, owner
from skimgcv._files.readers import Reader
from skimgcv._files.reading import Store, check_file, in_threads, read_images, stamps_of
from skimgcv._runtime.callers import user_stacklevel
from skimgcv._runtime.chunks import slices
from skimgcv.exceptions import ImageReadError, UnreadableImagesWarning

_FILES_A_STEP = 256  # files between two updates of the bar
_MOST_NAMED = 5


class ImageFiles(LazyImages):
    """Image files as an array. They are read when needed, and kept once decoded.

    Indexing with an index array, a slice or a mask returns another ``ImageFiles`` and
    reads nothing, so every scikit-learn tool can split it. An integer returns an image,
    and ``np.asarray`` all images.

    Parameters
    ----------
    paths : iterable of str or path-like
        Made absolute. The content of a file decides its format, not its extension:
        JPEG, PNG, TIFF, BMP, WebP, GIF (its first frame), PPM.
    image_shape : (height, width) or (height, width, channels)
        The size of resized images. With ``reader``, (height, width) has one channel.
    color_mode : {"rgb", "grayscale", "rgba"}, default="rgb"
        Colours become grey by ITU-R 601's luma. Palettes and CMYK become RGB. An alpha
        channel is dropped; for "rgba" a missing one is opaque.
    interpolation : {"area", "bilinear", "bicubic", "lanczos", "nearest"}, default="area"
        As in OpenCV. "area" takes the mean of the pixels that fall into one, and is
        bilinear if it enlarges an image; the others use the nearest few pixels. Unless
        it is "nearest", a JPEG of at least twice the size is reduced to a half, a
        quarter or an eighth during decoding, which is faster.
    keep_aspect_ratio : bool, default=False
        Whether to crop the centre instead of changing the aspect ratio.
    dtype : {"uint8", "uint16"}, default="uint8"
        "uint16" keeps the values of files with 16 bits for each channel (PNG, TIFF),
        which are errors with "uint8". Values of 8 bits are then multiplied by 257. With
        ``reader``, any integer or float type.
    cache : "memory", int, path or None, default="memory"
        The place of decoded images. "memory": in this process, in up to a quarter of
        the free memory. An int: in up to that many bytes. All folds in a process share
        them. A path (a ``pathlib.Path``, or a str other than "memory"): in a
        memory-mapped file in that folder, which all processes and later runs share. It
        only grows; you can delete the folder. Path, size, time of change and the
        parameters above identify an image.
    on_error : {"raise", "skip"}, default="raise"
        How ``fit`` treats files that cannot be read. "skip" reads all files first and
        leaves out their rows, with a warning that counts them. A prediction cannot leave
        out a row, and always raises. So for cross-validation pass ``on_error="skip"`` to
        :func:`load_images` or :func:`load_image_table`, which leave such files out of X
        and y.
    max_pixels : int, default=100_000_000
        Files whose header states more pixels are not decoded. For formats that Pillow
        decodes, ``PIL.Image.MAX_IMAGE_PIXELS`` also applies.
    groups : array-like of shape (n,), optional
        The patient, smear or plant of each image. Groups stay with their rows in every
        fold, and ``validation_split`` keeps them whole. Pass ``X.groups`` to the splitter
        of the folds.
    reader : callable, optional
        ``reader(path)`` returns the array of a file, (height, width) or (height, width,
        channels), of any integer or float type. Use it for DICOM, NIfTI, ``.npy``, or TIFF
        of floats or many bands. Several threads may call it at once. It must return the
        same array for the same file, and must not change while X is used. Its values become
        ``dtype`` unchanged; values outside of ``dtype``, and values that are not finite, are
        errors. ``color_mode`` does not apply. In the cache, the reader's code and the
        versions of the packages that it calls also identify an image.

    Attributes
    ----------
    shape : (n, height, width, channels)
    dtype : dtype
    ndim : int
    paths : list of str
    rows : ndarray of int
    groups : ndarray of shape (n,), or None
    on_error : str

    Notes
    -----
    OpenCV decodes JPEG, PNG, BMP, WebP and TIFF of 16 bits. Pillow decodes GIF, PPM, other
    TIFF, animations and JPEGs in CMYK. White is the largest value, even if a file stores it
    as 0. EXIF orientation is applied. Signed values and values of 32 bits are errors.

    Examples
    --------
    >>> import cv2, tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from skimgcv import ImageFiles
    >>> folder = tempfile.TemporaryDirectory()
    >>> paths = [Path(folder.name, f"{grey}.png") for grey in (0, 100, 200)]
    >>> for path, grey in zip(paths, (0, 100, 200)):
    ...     _ = cv2.imwrite(str(path), np.full((8, 8), grey, np.uint8))
    >>> X = ImageFiles(paths, (4, 4), color_mode="grayscale")
    >>> X[[2, 0]].shape
    (2, 4, 4, 1)
    >>> np.asarray(X[1:]).max(axis=(1, 2, 3))
    array([100, 200], dtype=uint8)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        image_shape: tuple[int, ...],
        *,
        color_mode: str = "rgb",
        interpolation: str = "area",
        keep_aspect_ratio: bool = False,
        dtype: Any = "uint8",
        cache: str | os.PathLike[str] | int | None = "memory",
        on_error: str = "raise",
        max_pixels: int = 100_000_000,
        groups: Any = None,
        reader: Callable[[str], Any] | None = None,
    ) -> None:
        check_choice("color_mode", color_mode, CHANNELS)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        check_choice("on_error", on_error, ("raise", "skip"))
        height, width, *channels = check_shape(image_shape)
        check_channels(channels, color_mode, reader)
        check_positive("max_pixels", max_pixels)
        self._decoding = Decoding(
            height,
            width,
            color_mode,
            interpolation,
            bool(keep_aspect_ratio),
            check_dtype(dtype, reader),
            max_pixels,
            None if reader is None else Reader.of(reader),
            None if reader is None else (channels or [1])[0],
        )
        self._paths = absolute(paths)
        self._rows = np.arange(len(self._paths))
        self._cache = check_cache(cache)
        self._owner = owner()
        self._on_error = on_error
        self._groups = check_groups(groups, len(self._paths))

    # -- as an array --------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, height, width, channels)``."""
        return len(self._paths), *self._decoding.image_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return np.dtype(self._decoding.dtype)

    @property
    def paths(self) -> list[str]:
        """Absolute paths, one for each row."""
        return self._paths.tolist()

    @property
    def rows(self) -> np.ndarray:
        """Positions in the list from which this was made."""
        return self._rows.copy()

    @property
    def on_error(self) -> str:
        """How ``fit`` treats files that cannot be read."""
        return self._on_error

    def __sizeof__(self) -> int:
        # The part for a worker: Dask and Ray send a large object once, and not with each task.
        return object.__sizeof__(self) + sum(map(sys.getsizeof, self._paths))

    def __repr__(self) -> str:
        height, width, channels = self._decoding.image_shape
        return f"ImageFiles({len(self)} files as {height} x {width} x {channels} {self.dtype})"

    def _repr_html_(self) -> str:
        return gallery(self)

    def _select(self, rows: Any) -> ImageFiles:
        return self._with(
            _paths=self._paths[rows], _rows=self._rows[rows], _groups=self._groups_of(rows)
        )

    # -- reading ------------------------------------------------------------------------

    def _read(self) -> np.ndarray:
        images = np.empty(self.shape, self.dtype)
        failures = read_images(self._paths.tolist(), self._decoding, self._store(), images)
        if failures:
            first = min(failures)
            raise self._error(first, failures[first]) from failures[first]
        return images

    def _error(self, place: int, error: UnreadableError) -> ImageReadError:
        return ImageReadError(self._paths[place], int(self._rows[place]), str(error))

    def _store(self) -> Store | None:
        if self._cache is None:
            return None
        if isinstance(self._cache, str):
            return decoded_on_disk(self._cache, self._decoding)
        budget = None if self._cache < 0 else self._cache
        return InMemory(memory, self._decoding, self._owner, budget)

    def kept_digests(self) -> KeptDigests:
        """Return the store of digests for these files."""
        paths = self._paths.tolist()
        return DigestsOfFiles(self._decoding, paths, stamps_of(paths))

    def errors(self) -> list[ImageReadError]:
        """Read every file, and return the errors of those that cannot be read.

        Images are kept in the cache, and cached images are not read again.

        Returns
        -------
        list of ImageReadError
            In the order of the rows.
        """
        failures = read_images(self._paths.tolist(), self._decoding, self._store(), None)
        return [self._error(place, failures[place]) for place in sorted(failures)]

    def readable(self, *, progress: bool = False) -> np.ndarray:
        """Read every file, warn of those that cannot be read, and return the others.

        Images are kept in the cache, and cached images are not read again.

        Parameters
        ----------
        progress : bool, default=False
            Whether to show a bar, on standard error.

        Returns
        -------
        ndarray of int
            Rows of this X: ``X[X.readable()]`` has no unreadable file.

        Warns
        -----
        UnreadableImagesWarning
            If files cannot be read. The message has their number and the first of them.
        """
        bad: list[ImageReadError] = []
        with _bar(len(self), visible=progress) as bar:
            for rows in slices(len(self), _FILES_A_STEP):
                bad += self._select(rows).errors()
                bar.set_postfix(bad=len(bad), refresh=False)
                bar.update(rows.stop - rows.start)
        if bad:
            _warn_unreadable(bad, len(self))
        return np.flatnonzero(~np.isin(self._rows, [error.row for error in bad]))

    def as_checked(self) -> ImageFiles:
        """Return the same files without ``on_error="skip"``, so ``fit`` does not check them."""
        return self._with(_on_error="raise")

    def fingerprint(self) -> bytes:
        """Return a digest that only equal images have, without reading them.

        Path, size, time of change and decoding identify an image.

        Returns
        -------
        bytes
        """
        said = hashlib.blake2b(self._decoding.digest().encode(), digest_size=16)
        for path, stamp in zip(self._paths.tolist(), stamps_of(self._paths.tolist()), strict=True):
            said.update(repr((path, stamp)).encode("utf-8", "surrogatepass"))
        return said.digest()

    def verify(self, *, progress: bool = True) -> np.ndarray:
        """Decode every file again, in threads, and list those that cannot be read.

        Parameters
        ----------
        progress : bool, default=True
            Whether to show a bar, on standard error.

        Returns
        -------
        ndarray, structured
            A row for each unreadable file: "row" (in this X), "path" and "reason".
            ``pandas.DataFrame`` accepts it.
        """
        reasons: dict[int, str] = {}
        one_at_a_time = threading.Lock()  # tqdm's own is for drawing, not for counting

        def check(place: int) -> None:
            error = check_file(self._paths[place], self._decoding)
            with one_at_a_time:
                if error is not None:
                    reasons[place] = str(error)
                    bar.set_postfix(bad=len(reasons), refresh=False)
                bar.update()

        with _bar(len(self), visible=progress) as bar:
            in_threads(check, range(len(self)))
        bad = [(place, self._paths[place], reasons[place]) for place in sorted(reasons)]
        return np.array(bad, dtype=[("row", np.intp), ("path", object), ("reason", object)])


def _bar(n_files: int, *, visible: bool) -> Any:
    from tqdm.auto import tqdm  # not at import: in a notebook without ipywidgets it warns

    return tqdm(total=n_files, desc="reading", unit="file", disable=not visible)


def _warn_unreadable(bad: list[ImageReadError], n_files: int) -> None:
    listed = "; ".join(f"{error.path}: {error.reason}" for error in bad[:_MOST_NAMED])
    more = f"; and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
    warnings.warn(
        f"{len(bad)} of {n_files} files cannot be read and are left out: {listed}{more}.",
        UnreadableImagesWarning,
        stacklevel=user_stacklevel(),
    )
