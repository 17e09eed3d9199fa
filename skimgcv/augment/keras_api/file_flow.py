"""Batches of image files, as Keras' ``flow_from_directory`` and ``flow_from_dataframe`` return."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._files.folders import EXTENSIONS, list_images
from ..._files.image_files import ImageFiles
from ..._runtime.callers import user_stacklevel
from ...exceptions import SkimgcvWarning
from .._ranges import check_choice
from .flow import ImageFlow, check_same_classes, subset_rows

if TYPE_CHECKING:
    from .._protocol import FlowingAugmenter

_OF_FOLDERS = ("categorical", "binary", "sparse", "input", None)
_OF_TABLES = ("categorical", "binary", "sparse", "input", "raw", "multi_output", None)
_WITHOUT_CLASSES = ("input", "raw", "multi_output", None)


class FileFlow(ImageFlow):
    """An ``ImageFlow`` of files, with the attributes of Keras' iterators.

    Attributes
    ----------
    filenames, filepaths : list of str
        The paths as given, and as absolute paths.
    samples : int
    class_indices : dict of str to int
        If there are classes.
    classes, labels : ndarray or list
        Class numbers, or the values of ``y_col``.
    """

    def __init__(
        self,
        files: ImageFiles,
        y: Any,
        augmenter: FlowingAugmenter,
        *,
        names: Sequence[str],
        labels: Any,
        class_indices: dict[str, int],
        rows: np.ndarray,
        outputs: Callable[[np.ndarray, np.ndarray], Any] | None = None,
        **options: Any,
    ) -> None:
        self._outputs = outputs
        super().__init__(files, y, augmenter, rows=rows, **options)
        self.filenames = [names[row] for row in rows]
        self.filepaths = files[rows].paths
        self.samples = self.n
        self.class_indices = class_indices
        self.num_classes = len(class_indices)
        self.classes = self.labels = labels

    def _batch(self, epoch: Any, index: int) -> Any:
        parts = super()._batch(epoch, index)
        if self._outputs is None:
            return parts
        images, rows, *weights = parts
        return (images, self._outputs(images, rows), *weights)


def flow_from_directory(
    augmenter: FlowingAugmenter,
    directory: str | os.PathLike[str],
    target_size: tuple[int, int],
    *,
    classes: Sequence[str] | None,
    class_mode: str | None,
    subset: str | None,
    ignore_class_split: bool,
    follow_links: bool,
    files: dict[str, Any],
    **options: Any,
) -> FileFlow:
    """Flow from a folder of class folders; see ``ImageAugmenter.flow_from_directory``."""
    check_choice("class_mode", class_mode, _OF_FOLDERS)
    _check_augmenter(augmenter)
    listed = list_images(directory, classes=classes or None, follow_links=follow_links)
    names = [f"{label}/{name}" for label, of_class in listed.items() for name in of_class]
    sizes = [len(of_class) for of_class in listed.values()]
    codes = np.repeat(np.arange(len(sizes)), sizes)
    # A share of each class, since the rows are sorted by class.
    starts = np.cumsum([0, *sizes[:-1]])

    def part(subset: str | None) -> np.ndarray:
        share = augmenter.validation_split
        pairs = zip(starts, sizes, strict=True)
        return np.concatenate([s + np.arange(n)[subset_rows(n, share, subset)] for s, n in pairs])

    rows = part(subset)
    if subset and class_mode not in _WITHOUT_CLASSES and not ignore_class_split:
        known = np.array(list(listed))
        _check_parts([known[codes[part(s)]] for s in ("training", "validation")])
    y, outputs = _targets(class_mode, codes, len(listed))
    X = ImageFiles([Path(directory, name) for name in names], target_size, **files)
    return FileFlow(
        X,
        y,
        augmenter,
        names=names,
        labels=codes[rows],
        class_indices={label: code for code, label in enumerate(listed)},
        rows=rows,
        outputs=outputs,
        subset=subset,
        **options,
    )


def flow_from_dataframe(
    augmenter: FlowingAugmenter,
    dataframe: Any,
    directory: str | os.PathLike[str] | None,
    target_size: tuple[int, int],
    *,
    x_col: str,
    y_col: Any,
    weight_col: str | None,
    classes: Sequence[str] | None,
    class_mode: str | None,
    subset: str | None,
    ignore_class_split: bool,
    validate_filenames: bool,
    files: dict[str, Any],
    **options: Any,
) -> FileFlow:
    """Flow from the files that a table lists; see ``ImageAugmenter.flow_from_dataframe``."""
    check_choice("class_mode", class_mode, _OF_TABLES)
    _check_augmenter(augmenter)
    if class_mode not in _WITHOUT_CLASSES and not isinstance(y_col, str):
        raise ValueError(
            f"class_mode={class_mode!r} takes one column of labels; y_col names {list(y_col)}. "
            "For a list of labels a row make them one column of lists; for numbers pass "
            "class_mode='raw', or 'multi_output' for an array a column."
        )
    names = list(dataframe[x_col])
    usable = np.ones(len(names), dtype=bool)
    if validate_filenames:
        usable = _valid(names, directory or "", x_col)
    class_indices: dict[str, int] = {}
    sets: list[list[str]] = []
    if class_mode in _WITHOUT_CLASSES:
        labels, (y, outputs) = None, _raw_targets(class_mode, dataframe, y_col, len(names))
    else:
        sets = [_as_labels(label) for label in dataframe[y_col]]
        known = list(classes) if classes else sorted({label for given in sets for label in given})
        class_indices = {label: code for code, label in enumerate(known)}
        sets = [[label for label in given if label in class_indices] for given in sets]
        usable &= np.array([bool(given) for given in sets])
        labels, y = _encoded(class_mode, sets, class_indices)
        outputs = None
    kept = np.flatnonzero(usable)
    rows = kept[subset_rows(len(kept), augmenter.validation_split, subset)]
    if subset and sets and not ignore_class_split:
        both = (
            subset_rows(len(kept), augmenter.validation_split, s)
            for s in ("training", "validation")
        )
        _check_parts([[label for row in kept[own] for label in sets[row]] for own in both])
    X = ImageFiles([Path(directory or "", name) for name in names], target_size, **files)
    return FileFlow(
        X,
        y,
        augmenter,
        names=names,
        labels=None if labels is None else [labels[row] for row in rows],
        class_indices=class_indices,
        rows=rows,
        outputs=outputs,
        sample_weight=None if weight_col is None else np.asarray(dataframe[weight_col]),
        subset=subset,
        **options,
    )


def _check_parts(labels: list[Any]) -> None:
    check_same_classes(*(sorted({str(label) for label in part}) for part in labels))


def _check_augmenter(augmenter: FlowingAugmenter) -> None:
    if augmenter.data_format == "channels_first":
        raise ValueError(
            'files are read channels last; the augmenter has data_format="channels_first"'
        )


def _targets(class_mode: str | None, codes: np.ndarray, n_classes: int) -> tuple[Any, Any]:
    """Return y, and a function from a batch's images and y to its targets."""
    if class_mode == "binary" and n_classes != 2:
        raise ValueError(f"class_mode='binary' needs 2 classes; there are {n_classes}")
    if class_mode == "categorical":
        return np.eye(n_classes, dtype=np.float32)[codes], None
    if class_mode in ("binary", "sparse"):
        return codes.astype(np.float32), None
    return _raw_targets(class_mode, None, None, len(codes))


def _raw_targets(class_mode: str | None, table: Any, y_col: Any, n: int) -> tuple[Any, Any]:
    if class_mode is None:
        return None, None
    if class_mode == "input":
        return np.arange(n), lambda images, rows: images.copy()
    if class_mode == "multi_output":
        columns = [np.array(list(table[name])) for name in y_col]
        return np.arange(n), lambda images, rows: [column[rows] for column in columns]
    names = [y_col] if isinstance(y_col, str) else list(y_col)
    values = np.stack([np.asarray(table[name]) for name in names], axis=1)
    return (values[:, 0] if isinstance(y_col, str) else values), None


def _encoded(
    class_mode: str | None, sets: list[list[str]], class_indices: dict[str, int]
) -> tuple[list[Any], np.ndarray]:
    """Return class numbers (several for a row with several labels) and y."""
    codes = [[class_indices[label] for label in given] for given in sets]
    labels = [code[0] if len(code) == 1 else code for code in codes]
    if class_mode == "categorical":
        y = np.zeros((len(sets), len(class_indices)), np.float32)
        for row, code in enumerate(codes):
            y[row, code] = 1
        return labels, y
    single = np.array([code[0] if code else 0 for code in codes])
    return labels, _targets(class_mode, single, len(class_indices))[0]


def _as_labels(label: Any) -> list[str]:
    if isinstance(label, str):
        return [label]
    if isinstance(label, (list, tuple)):
        return list(label)
    raise TypeError(
        f"labels must be str, or a list of several; y_col has {label!r}. Turn numbers into str, "
        'or pass class_mode="raw".'
    )


def _valid(names: list[Any], directory: str | os.PathLike[str], x_col: str) -> np.ndarray:
    valid = np.array(
        [
            isinstance(name, (str, os.PathLike))
            and os.fspath(name).lower().endswith(EXTENSIONS)
            and Path(directory, name).is_file()
            for name in names
        ],
        dtype=bool,
    )
    if not valid.all():
        names[:] = [name if ok else "" for name, ok in zip(names, valid, strict=True)]
        warnings.warn(
            f"{(~valid).sum()} of {len(names)} names in the column {x_col!r} are not image files "
            f"in {os.fspath(directory) or 'the current folder'!r}; they are left out.",
            SkimgcvWarning,
            stacklevel=user_stacklevel(),
        )
    return valid
