"""What an epoch is: which rows in which order, each with its transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from skimgcv._runtime.random_streams import stream
from skimgcv.augment._protocol import Augmenter


@dataclass(frozen=True)
class Draw:
    """One augmenter's draws for the positions of an epoch that are its own.

    Attributes
    ----------
    augmenter : Augmenter
    table : ndarray
        All of its randomness: a row a transform.
    place : ndarray of int, shape (n,)
        For each position of the epoch its row of the table; -1 where another
        augmenter transforms it.
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
        Their transforms; empty in evaluation, which transforms nothing.
    """

    rows: np.ndarray
    draws: tuple[Draw, ...] = ()


@dataclass(frozen=True)
class EpochPlan:
    """Draws training epochs: each depends on the seed and its number, and on nothing else.

    Attributes
    ----------
    rows : ndarray of int
        The rows that train.
    y : ndarray of int
        Class numbers, with one for every row of X.
    image_shape : tuple of int
    augmenter : Augmenter
    class_augmenters : mapping of int to Augmenter
        By class number: these transform the rows of that class instead.
    sample : callable
        From the classes of ``rows`` and a generator to places in ``rows``: what
        an epoch draws; ``None`` for each row once.
    shuffle : bool
    seed : int
    """

    rows: np.ndarray
    y: np.ndarray
    image_shape: tuple[int, ...]
    augmenter: Augmenter
    class_augmenters: Mapping[int, Augmenter]
    sample: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None
    shuffle: bool
    seed: int

    def epoch(self, number: int) -> Epoch:
        """Draw epoch ``number``."""
        rows = self.rows
        if self.sample is not None:
            rows = rows[self.sample(self.y[rows], stream(self.seed, "sampling", number))]
        if self.shuffle:
            rows = stream(self.seed, "shuffle", number).permutation(rows)
        return Epoch(rows, self._draws(rows, number))

    def _draws(self, rows: np.ndarray, number: int) -> tuple[Draw, ...]:
        labels = self.y[rows]
        special = np.isin(labels, list(self.class_augmenters))
        draws = [self._draw(self.augmenter, ~special, number)]
        for label, augmenter in self.class_augmenters.items():
            draws.append(self._draw(augmenter, labels == label, number, label))
        return tuple(draws)

    def _draw(self, augmenter: Augmenter, is_own_row: np.ndarray, *key: int) -> Draw:
        rng = stream(self.seed, "augment", *key)
        table = augmenter.draw(rng, int(is_own_row.sum()), self.image_shape)
        return Draw(augmenter, table, np.where(is_own_row, np.cumsum(is_own_row) - 1, -1))
