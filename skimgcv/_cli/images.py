"""The images that the command line is to use: of a folder or a table, and readable."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.std import tqdm

from skimgcv import ImageFiles, load_image_table, load_images
from skimgcv._cli.table import Table
from skimgcv._cli.tasks import Task
from skimgcv._runtime.chunks import slices
from skimgcv.model_selection import duplicate_groups

_FILES_A_STEP = 256  # of the bar that shows how many are read


@dataclass(frozen=True)
class Images:
    """What is to be cross-validated.

    Attributes
    ----------
    X : ImageFiles
        With its groups, if there are any.
    y : ndarray of shape (n,), (n, n_labels) or (n, n_outputs)
        Classes, labels as 0 and 1, or numbers.
    target_names : list of str
        Of the classes, or of the columns of y.
    names : list of str
    left_out : list of str
        Sentences about files that cannot be read.
    duplicates : ndarray of shape (n,), or None
        Labels that copies of an image share, where these were looked for.
    doubts : list of str
        What makes the search for copies uncertain.
    """

    X: ImageFiles
    y: np.ndarray
    target_names: list[str]
    names: list[str]
    left_out: list[str]
    duplicates: np.ndarray | None = None
    doubts: list[str] = field(default_factory=list)


def listed_images(asked: argparse.Namespace, task: Task) -> Images:
    """List the files of a folder or a table, without reading them."""
    options: dict[str, Any] = {
        "image_shape": (asked.size, asked.size),
        "color_mode": asked.color_mode,
        "keep_aspect_ratio": asked.keep_aspect_ratio,
        "dtype": asked.dtype,
        "cache": "memory" if asked.cache is None else Path(asked.cache),
    }
    if asked.table is None:
        _check_folder(asked.folder, "FOLDER", "it needs a folder of images for each class")
        X, y, names = load_images(asked.folder, return_names=True, **options)
        return Images(X, y, np.unique(y).tolist(), names, [])
    table = Table(Path(asked.table))
    file_column, label_columns = asked.file_column or "file", asked.label_column or ["label"]
    table.check(file_column, "--file-column")
    if asked.group_column is not None:
        table.check(asked.group_column, "--group-column")
    y, target_names = task.read(table, label_columns)
    root = Path(asked.table).parent
    if asked.root is not None:
        _check_folder(asked.root, "--root", "paths of --table begin there")
        root = Path(asked.root)
    X, _ = load_image_table(
        table,
        file_column,
        label_columns[0],
        folder=root,
        group_col=asked.group_column,
        **options,
    )
    return Images(X, y, target_names, table[file_column], [])


def _check_folder(folder: str, name: str, needed: str) -> None:
    if not Path(folder).is_dir():
        what = "a file" if Path(folder).exists() else "not there"
        raise ValueError(f"{name} {folder!r} is {what}; {needed}")


def readable(images: Images) -> Images:
    """Read all images, and leave out those that give none."""
    X, bad = images.X, []
    with tqdm(total=len(X), desc="reading", unit="file", leave=False) as bar:
        for rows in slices(len(X), _FILES_A_STEP):
            part = X[rows]
            bad += part.errors()
            bar.update(len(part))
    if len(bad) == len(X):
        raise ValueError(
            f"none of the {len(X)} files can be read: {bad[0].path}: {bad[0].reason}; paths of "
            "--table begin in its folder, or in --root"
        )
    good = np.setdiff1d(np.arange(len(X)), [error.row for error in bad])
    return replace(
        images,
        X=X[good],
        y=images.y[good],
        names=[images.names[row] for row in good],
        left_out=[f"{error.path}: {error.reason}" for error in bad],
    )


def with_duplicates(images: Images, *, keep_together: bool) -> Images:
    """Look for copies of images; where asked, join these and the known groups to new groups."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = duplicate_groups(images.X, groups=images.X.groups if keep_together else None)
    return replace(
        images,
        X=images.X.with_groups(found) if keep_together else images.X,
        duplicates=found,
        doubts=[str(warning.message) for warning in caught],
    )
