"""Batches of one augmenter, epoch after epoch, as Keras' ``flow`` returns."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import keras
import numpy as np

from ..._runtime.paging import Pages
from ..._runtime.random_streams import fresh_seed, stream
from .._mixing import mix_targets
from .._ranges import check_choice

if TYPE_CHECKING:
    from .._protocol import FlowingAugmenter


class ImageFlow(keras.utils.PyDataset):
    """Transformed and standardised batches of images in memory, or in a memory map.

    ``flow[i]`` is batch i of the current epoch, and ``on_epoch_end`` begins the next one. As an
    iterator it is endless, epoch after epoch. Batches are ``images``, ``(images, y)`` or
    ``(images, y, sample_weight)``.

    Parameters
    ----------
    x, y, batch_size, shuffle, sample_weight, seed, save_to_dir, save_prefix, \
save_format, ignore_class_split, subset
        As for :meth:`ImageAugmenter.flow`.
    augmenter : ImageAugmenter
        Fitted, if its deterministic steps need statistics.
    rows : ndarray of int, optional
        The rows of the subset, if they are not the first or the last ones.

    Attributes
    ----------
    n : int
        Rows of an epoch.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        augmenter: FlowingAugmenter,
        *,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
        rows: np.ndarray | slice | None = None,
    ) -> None:
        super().__init__()
        images, others = _split_inputs(x)
        if rows is None:
            share = augmenter.validation_split
            rows = subset_rows(len(images), share, subset)
            if y is not None and subset is not None and not ignore_class_split:
                both = (subset_rows(len(images), share, s) for s in ("training", "validation"))
                check_same_classes(*(np.unique(np.asarray(y)[r], axis=0).tolist() for r in both))
        if len(images.shape) != 4:
            raise ValueError(
                "`x` needs images of the shape (n, height, width, channels), got "
                f"{tuple(images.shape)}; grey images have an axis of one channel: x[..., None]"
            )
        self._images = images[rows]
        self.n = len(self._images)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = fresh_seed() if seed is None else seed
        self._pages = Pages(self._images)
        self._others = [_same_length("`x`", other, images)[rows] for other in others]
        self._y = None if y is None else _same_length("`y`", y, images)[rows]
        self._weights = None
        if sample_weight is not None:
            self._weights = _same_length("`sample_weight`", sample_weight, images)[rows]
        self._augmenter = augmenter
        self._random = subset != "validation"
        if self._mixes and (self._y is None or self._y.ndim != 2):
            raise ValueError(
                "`mixup_alpha` and `cutmix_alpha` mix labels: they need one-hot `y` of shape "
                f"(n, classes), got {'none' if y is None else self._y.shape}; "  # type: ignore[union-attr]
                "keras.utils.to_categorical makes it"
            )
        self._saving = (save_to_dir, save_prefix, save_format)
        self._lock = threading.Lock()
        self._next_batch = 0
        self._begin(0)

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}: needs 0 to {len(self) - 1}")
        return self._batch(self._epoch, index)

    def __iter__(self) -> ImageFlow:
        return self

    def __next__(self) -> Any:
        with self._lock:
            if self._next_batch == len(self):
                self._begin(self._number + 1)
                self._next_batch = 0
            epoch, index = self._epoch, self._next_batch
            self._next_batch += 1
        # Outside of the lock, so that threads can make batches in parallel.
        return self._batch(epoch, index)

    def on_epoch_end(self) -> None:
        """Begin the next epoch, with another order and other transforms."""
        self._begin(self._number + 1)

    def reset(self) -> None:
        """Let the iterator continue at the first batch."""
        self._next_batch = 0

    @property
    def _mixes(self) -> bool:
        return self._random and self._augmenter.mixes

    def _begin(self, number: int) -> None:
        order, table = np.arange(self.n), None
        if self.shuffle:
            order = stream(self.seed, "shuffle", number).permutation(self.n)
        if self._random:
            rng = stream(self.seed, "augment", number)
            table = self._augmenter.draw(rng, self.n, self._images.shape[1:])
        self._number = number
        self._epoch = (number, order, table)

    def _batch(self, epoch: tuple[int, np.ndarray, np.ndarray | None], index: int) -> Any:
        number, order, table = epoch
        at = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, self.n))
        rows = order[at]
        images = self._prepared(order, table, at)
        labels = self._labels(rows)
        if self._mixes and table is not None and labels:
            partners = table["partner"][at]
            images, share = self._augmenter.mix(
                images, self._prepared(order, table, partners), table[at]
            )
            labels = mix_targets(share, labels, self._labels(order[partners]))
        self._save(images, rows, number)
        inputs = [images, *(other[rows] for other in self._others)] if self._others else images
        return (inputs, *labels) if labels else inputs

    def _labels(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        if self._y is None:
            return ()
        return tuple(a[rows] for a in (self._y, self._weights) if a is not None)

    def _prepared(self, order: np.ndarray, table: np.ndarray | None, at: np.ndarray) -> np.ndarray:
        images = np.asarray(self._images[order[at]])
        self._pages.have_read(images.nbytes)
        return self._augmenter.prepare(images, None if table is None else table[at])

    def _save(self, images: np.ndarray, rows: np.ndarray, number: int) -> None:
        folder, prefix, extension = self._saving
        if folder is None:
            return
        for image, row in zip(images, rows.tolist(), strict=True):
            if self._augmenter.data_format == "channels_first":
                image = np.moveaxis(image, 0, 2)
            image = image - image.min()
            grey_levels = np.rint(image * (255 / max(float(image.max()), 1e-9))).astype(np.uint8)
            # OpenCV's files have blue first.
            order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2], slice(None))
            _, file = cv2.imencode(f".{extension}", grey_levels[:, :, order])
            Path(folder, f"{prefix}_{row}_{number}.{extension}").write_bytes(file.tobytes())


def _split_inputs(x: Any) -> tuple[Any, list[Any]]:
    others: list[Any] = []
    if isinstance(x, (tuple, list)):
        if len(x) != 2:
            raise ValueError(
                "`x` needs an array of images, or the pair (images, [other arrays]), "
                f"got a {type(x).__name__} of length {len(x)}"
            )
        x, second = x
        others = list(second) if isinstance(second, list) else [second]
    return x if hasattr(x, "shape") else np.asarray(x), others


def _same_length(name: str, values: Any, images: Any) -> np.ndarray:
    values = np.asarray(values)
    if len(values) != len(images):
        raise ValueError(
            f"{name} needs as many rows as there are images: {len(images)}, got {len(values)}"
        )
    return values


def subset_rows(n: int, share: float, subset: str | None) -> slice:
    """Return the rows of a subset. The last ``share`` of the rows is for validation."""
    check_choice("subset", subset, (None, "training", "validation"))
    if subset is None:
        return slice(0, n)
    if not share:
        raise ValueError(
            f"`subset`={subset!r} needs `validation_split` in the augmenter, it is {share!r}"
        )
    border = n - int(n * share)
    return slice(0, border) if subset == "training" else slice(border, n)


def check_same_classes(training: list[Any], validation: list[Any]) -> None:
    """Refuse subsets if one lacks a class of the other.

    Raises
    ------
    ValueError
    """
    if training != validation:
        raise ValueError(
            "the training and the validation subset need the same classes, got "
            f"{training} and {validation}; shuffle sorted rows first, give each class more rows, "
            "or pass ignore_class_split=True"
        )
