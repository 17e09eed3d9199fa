"""Epochs: rows in an order, each with its transform."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from skimgcv._batches.augmenters import is_random
from skimgcv._data.rows import Rows
from skimgcv._runtime.random_streams import stream
from skimgcv._runtime.row_streams import RowStreams
from skimgcv.augment._protocol import Augmenter, draw_each, is_by_rows, mixing


@dataclass(frozen=True)
class Draw:
    """The draws of one augmenter, for its positions of an epoch.

    Attributes
    ----------
    augmenter : Augmenter
    table : ndarray
        All of its random numbers, with a row for each transform.
    place : ndarray of int, shape (n,)
        The row of the table for each position of the epoch; -1 if another augmenter transforms it.
    """

    augmenter: Augmenter
    table: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class Epoch:
    """Rows in the order in which the model sees them.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Row numbers of X.
    draws : tuple of Draw
        Their transforms. Empty in evaluation.
    """

    rows: np.ndarray
    draws: tuple[Draw, ...] = ()


@dataclass(frozen=True)
class EpochPlan:
    """Draws training epochs. Each depends only on the seed and its number.

    The transform of an image depends on these two, on the image itself, and on its repeat in the
    epoch. So it is the same in each fold, and does not depend on the order or on other images.

    Parameters
    ----------
    images : Rows
    rows : ndarray of int
        The training rows.
    y : ndarray of int
        Class numbers, with one for every row of X.
    augmenter : Augmenter
    class_augmenters : mapping of int to Augmenter
        They transform the rows of the class with this number instead.
    sample : callable
        A function of the classes of ``rows`` and a generator that returns the positions in
        ``rows`` for one epoch. ``None`` for each row once.
    shuffle : bool
    seed : int
    views : int, optional
        Number of versions of each image, in turn. None for a new version in each epoch.
    """

    images: Rows
    rows: np.ndarray
    y: np.ndarray
    augmenter: Augmenter
    class_augmenters: Mapping[int, Augmenter]
    sample: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None
    shuffle: bool
    seed: int
    views: int | None = None

    def epoch(self, number: int) -> Epoch:
        """Draw epoch ``number``."""
        rows = self.rows
        if self.sample is not None:
            rows = rows[self.sample(self.y[rows], stream(self.seed, "sampling", number))]
        if self.shuffle:
            rows = stream(self.seed, "shuffle", number).permutation(rows)
        return Epoch(rows, self._draws(rows, number % self.views if self.views else number))

    def _draws(self, rows: np.ndarray, number: int) -> tuple[Draw, ...]:
        augmenters = (self.augmenter, *self.class_augmenters.values())
        # Digests need a pass over all images.
        if not any(is_random(own, self.images.shape[1:]) for own in augmenters):
            return ()
        mixer = mixing(self.augmenter)
        if mixer is not None and not is_by_rows(mixer):
            # Its table has positions of partners, which depend on the other images.
            rng = stream(self.seed, "augment", number)
            table = mixer.draw(rng, len(rows), self.images.shape[1:])
            return (Draw(mixer, table, np.arange(len(rows))),)
        labels = self.y[rows]
        is_special = np.zeros(len(rows), bool)
        if self.class_augmenters:
            is_special = np.isin(labels, list(self.class_augmenters))
        repeats = _repeats(self._contents[rows])
        draws = [self._draw(self.augmenter, ~is_special, rows, repeats, number)]
        for label, augmenter in self.class_augmenters.items():
            draws.append(self._draw(augmenter, labels == label, rows, repeats, number))
        return tuple(draws)

    @functools.cached_property
    def _contents(self) -> np.ndarray:
        """A number for each training row, the same for equal images."""
        contents = np.zeros(len(self.images), np.intp)
        contents[self.rows] = equal_contents(self.images.digests(self.rows))
        return contents

    def _draw(
        self,
        augmenter: Augmenter,
        is_own_row: np.ndarray,
        rows: np.ndarray,
        repeats: np.ndarray,
        number: int,
    ) -> Draw:
        digests = self.images.digests(rows[is_own_row])
        streams = RowStreams(self.seed, "augment", number, digests, repeats[is_own_row])
        table = draw_each(augmenter, streams, self.images.shape[1:])
        return Draw(augmenter, table, np.where(is_own_row, np.cumsum(is_own_row) - 1, -1))


def transformed(images: Rows, rows: np.ndarray, augmenter: Augmenter, seed: int) -> Epoch:
    """Return an epoch of held-out rows in their order, each with its own transform."""
    if not is_random(augmenter, images.shape[1:]):
        return Epoch(rows)
    digests = images.digests(rows)
    streams = RowStreams(seed, "validation", 0, digests, _repeats(equal_contents(digests)))
    table = draw_each(augmenter, streams, images.shape[1:])
    return Epoch(rows, (Draw(augmenter, table, np.arange(len(rows))),))


def equal_contents(digests: np.ndarray) -> np.ndarray:
    """Return a number for each digest, the same for equal ones."""
    order = np.lexsort(digests.T)
    is_new = np.r_[False, (digests[order[1:]] != digests[order[:-1]]).any(axis=1)]
    numbers = np.empty(len(digests), np.intp)
    numbers[order] = np.cumsum(is_new[: len(digests)])
    return numbers


def _repeats(contents: np.ndarray) -> np.ndarray:
    """Count for each position how often its content occurred before."""
    order = np.argsort(contents, kind="stable")
    _, starts, counts = np.unique(contents[order], return_index=True, return_counts=True)
    repeats = np.empty(len(contents), np.intp)
    repeats[order] = np.arange(len(contents)) - np.repeat(starts, counts)
    return repeats
