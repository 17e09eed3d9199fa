"""The images that the command line is to use: of a folder or a table, and readable."""

from __future__ import annotations

import argparse
import csv
import io
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.std import tqdm

from skimgcv import ImageFiles, load_image_table, load_images
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
    y : ndarray of str, shape (n,)
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
    names: list[str]
    left_out: list[str]
    duplicates: np.ndarray | None = None
    doubts: list[str] = field(default_factory=list)


def listed_images(asked: argparse.Namespace) -> Images:
    """List the files of a folder or a table, without reading them."""
    options: dict[str, Any] = {
        "image_shape": (asked.size, asked.size),
        "color_mode": asked.color_mode,
        "keep_aspect_ratio": asked.keep_aspect_ratio,
        "dtype": asked.dtype,
        "cache": "memory" if asked.cache is None else Path(asked.cache),
    }
    if asked.table is None:
        X, y, names = load_images(asked.folder, return_names=True, **options)
        return Images(X, y, names, [])
    table = _Table(Path(asked.table))
    file_column, label_column = asked.file_column or "file", asked.label_column or "label"
    for column in filter(None, (file_column, label_column, asked.group_column)):
        table.check(column)
    root = Path(asked.table).parent if asked.root is None else Path(asked.root)
    X, y = load_image_table(
        table,
        file_column,
        label_column,
        folder=root,
        group_col=asked.group_column,
        **options,
    )
    return Images(X, y, table[file_column], [])


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
    return Images(
        X[good],
        images.y[good],
        [images.names[row] for row in good],
        [f"{error.path}: {error.reason}" for error in bad],
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


class _Table:
    """A CSV file, as ``load_image_table`` wants a data frame."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} needs to be a CSV file in UTF-8") from error
        first = text.partition("\n")[0]
        # Spreadsheets write semicolons where a comma is a decimal point.
        separator = max(",;\t", key=first.count)
        self._path = path
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        self.columns = list(reader.fieldnames or [])
        self._rows = list(reader)

    def __getitem__(self, column: str) -> list[str]:
        # A space that nobody sees would make another class.
        return [(row[column] or "").strip() for row in self._rows]

    def check(self, column: str) -> None:
        """Refuse a column that is not there, or has empty cells."""
        if column not in self.columns:
            raise ValueError(f"{self._path} has no column {column!r}; it has {self.columns}")
        for line, value in enumerate(self[column], 2):
            if not value:
                raise ValueError(f"{self._path} has no {column!r} in line {line}")
