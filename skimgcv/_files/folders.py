"""Lists of files with their labels: from a folder of class folders, or from a data frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv._data.lazy_images import check_groups
from skimgcv._files.image_files import ImageFiles
from skimgcv._runtime.random_streams import stream

EXTENSIONS = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


def load_images(
    folder: str | os.PathLike[str],
    image_shape: tuple[int, ...] = (256, 256),
    *,
    classes: Sequence[str] | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    follow_links: bool = False,
    return_names: bool = False,
    shuffle: int | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    """List the images of a folder that has a sub-folder for each class.

    Parameters
    ----------
    folder : str or path-like
        ``folder/class/.../image``: as ``sklearn.datasets.load_files`` and Keras'
        ``image_dataset_from_directory`` have it.
    image_shape : tuple of int, default=(256, 256)
        Height and width, as for :class:`ImageFiles`.
    classes : sequence of str, optional
        Take these sub-folders only.
    extensions : sequence of str
        Extensions of the files to list, in upper or lower case. Other files, and names
        that begin with a dot, are ignored. ``("",)`` lists all files, for a ``reader``.
    follow_links : bool, default=False
        Whether to follow links to folders inside a class folder.
    return_names : bool, default=False
        Whether to return also the names of the files within the folder.
    shuffle : int, optional
        Seed for a random order. By default X is sorted by class. Tools that take the first
        rows, such as ``learning_curve``, then miss classes.
    **options
        For :class:`ImageFiles`; ``groups`` in the order of sorted names.
        ``on_error="skip"`` reads all files now, and leaves those that cannot be read out of
        X, y and names, with a warning.

    Returns
    -------
    X : ImageFiles
        Sorted by class and name, unless ``shuffle`` is given.
    y : ndarray of str, shape (n,)
        The names of the sub-folders.
    names : list of str
        If asked for: "class/image.png".

    Raises
    ------
    FileNotFoundError, NotADirectoryError
    ValueError
        If there is no class folder, or none contains an image.

    Examples
    --------
    >>> import cv2, tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from skimgcv import load_images
    >>> folder = tempfile.TemporaryDirectory()
    >>> for name in ("cat", "dog"):
    ...     Path(folder.name, name).mkdir()
    ...     _ = cv2.imwrite(f"{folder.name}/{name}/1.png", np.zeros((9, 9), np.uint8))
    >>> X, y, names = load_images(folder.name, (8, 8), return_names=True)
    >>> X.shape, y.tolist(), names
    ((2, 8, 8, 3), ['cat', 'dog'], ['cat/1.png', 'dog/1.png'])
    >>> folder.cleanup()
    """
    listed = list_images(folder, classes=classes, extensions=extensions, follow_links=follow_links)
    names = [f"{label}/{name}" for label, of_class in listed.items() for name in of_class]
    if not names:
        raise ValueError(
            f"{os.fspath(folder)!r} has no image in its sub-folders {list(listed)}; files are "
            f"taken by their extension: {', '.join(extensions)}"
        )
    order = _order(len(names), shuffle)
    names = [names[row] for row in order]
    labels = np.repeat(list(listed), [len(of_class) for of_class in listed.values()])[order]
    groups = check_groups(options.pop("groups", None), len(names))
    options["groups"] = groups if groups is None else groups[order]
    X = ImageFiles([Path(folder, name) for name in names], image_shape, **options)
    X, labels, kept = _readable(X, labels, np.array(names, dtype=object))
    return (X, labels, kept.tolist()) if return_names else (X, labels)


def _order(n: int, seed: Any) -> np.ndarray:
    if seed is None:
        return np.arange(n)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"shuffle must be a seed, an integer from 0 on, or None; it is {seed!r}")
    return stream(int(seed), "files").permutation(n)


def _readable(X: ImageFiles, *aligned: np.ndarray) -> tuple[Any, ...]:
    """Remove unreadable files from X and from the other columns, if X skips them.

    Otherwise they would be test images in some fold, and a prediction cannot leave out a row.
    """
    if X.on_error != "skip":
        return X, *aligned
    good = X.readable(progress=sys.stderr.isatty())
    if not len(good):
        raise ValueError(f"None of the {len(X)} files can be read; see X.verify().")
    return X[good].as_checked(), *(array[good] for array in aligned)


def list_images(
    folder: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    follow_links: bool = False,
) -> dict[str, list[str]]:
    """Return for each sub-folder the names of its images, sorted; see ``load_images``."""
    root = Path(folder)
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if classes is None:
        classes = found
    if not classes:
        raise ValueError(
            f"{str(root)!r} has no sub-folders; it needs one for each class, with its images"
        )
    lacking = [name for name in classes if name not in found]
    if lacking:
        raise ValueError(f"{str(root)!r} has no sub-folders {lacking}; it has {found}")
    endings = tuple(extension.lower() for extension in extensions)
    return {name: _images_below(root / name, endings, follow_links) for name in classes}


def _images_below(folder: Path, endings: tuple[str, ...], follow_links: bool) -> list[str]:
    names = []
    for parent, folders, files in os.walk(folder, followlinks=follow_links):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(parent).relative_to(folder)
        names += [
            (below / name).as_posix()
            for name in files
            if name.lower().endswith(endings) and not name.startswith(".")
        ]
    return sorted(names)


def load_image_table(
    table: Any,
    x_col: str = "filename",
    y_col: str = "class",
    columns: Sequence[str] = (),
    *,
    folder: str | os.PathLike[str] = "",
    image_shape: tuple[int, ...] = (256, 256),
    group_col: str | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    """Take the files that a data frame lists, with its other columns.

    Parameters
    ----------
    table : data frame
        From pandas, Polars, or any other package in which ``table[name]`` is a column.
    x_col : str, default="filename"
        The column of paths.
    y_col : str, default="class"
        The column of labels.
    columns : sequence of str, default=()
        Other columns to return, such as weights.
    folder : str or path-like, default=""
        The folder to which paths are relative.
    image_shape : tuple of int, default=(256, 256)
        Height and width, as for :class:`ImageFiles`.
    group_col : str, optional
        The column of the patient, smear or plant of each image. X carries these groups
        into every fold, and ``validation_split`` keeps them whole. Pass ``X.groups`` to the
        splitter of the folds.
    **options
        For :class:`ImageFiles`. ``on_error="skip"`` reads all files now, and leaves those
        that cannot be read out of X, y and columns, with a warning.

    Returns
    -------
    X : ImageFiles
    y : ndarray of shape (n,)
    *columns : ndarray of shape (n,)

    Raises
    ------
    KeyError
        If the table has no such column.
    TypeError
        If a path is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from skimgcv import load_image_table
    >>> table = pd.DataFrame({"file": ["a.png", "b.png"], "label": [1, 0], "patient": [7, 7]})
    >>> X, y = load_image_table(
    ...     table, "file", "label", group_col="patient", folder="cells")
    >>> X.shape, y, X.groups
    ((2, 256, 256, 3), array([1, 0]), array([7, 7]))
    """
    groups = [] if group_col is None else [group_col]
    lacking = [name for name in (x_col, y_col, *columns, *groups) if name not in table.columns]
    if lacking:
        raise KeyError(f"the table has no columns {lacking}; it has {list(table.columns)}")
    paths = []
    for row, path in enumerate(table[x_col]):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"column {x_col!r} must hold paths; in row {row} it has {path!r}")
        paths.append(Path(folder, path))
    if group_col is not None:
        options["groups"] = np.asarray(table[group_col])
    X = ImageFiles(paths, image_shape, **options)
    return _readable(X, *(np.asarray(table[name]) for name in (y_col, *columns)))
