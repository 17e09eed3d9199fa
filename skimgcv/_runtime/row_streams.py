"""A random stream for each image: what is drawn for it depends on no other image."""

from __future__ import annotations

from typing import Any

import numpy as np

from skimgcv._runtime.random_streams import sequence


class RowStreams:
    """The streams of some images in an epoch.

    ``of`` is the stream of one. ``random`` and ``integers`` draw for several: they stand in
    for a generator's, in an augmenter's ``draw`` that takes a number or a row of numbers an
    image and nothing else.

    Parameters
    ----------
    seed : int
        Non-negative; of any size.
    purpose : str
        What is drawn: two purposes never share numbers.
    epoch : int
    digests : ndarray of uint64, shape (n, 2)
        Of each image's content.
    repeats : ndarray of int, shape (n,)
        Which repeat of the image in the epoch this is, from 0 on.

    References
    ----------
    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3" (Philox).
    """

    def __init__(
        self, seed: int, purpose: str, epoch: int, digests: np.ndarray, repeats: np.ndarray
    ) -> None:
        key = sequence(seed, purpose, epoch).generate_state(2, np.uint64)
        self._philox = np.random.Philox(key=key)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state
        self._counters = np.zeros((len(digests), 4), np.uint64)
        # The first word counts what is drawn.
        self._counters[:, 1] = repeats
        self._counters[:, 2:] = digests
        self._begun = 0

    def __len__(self) -> int:
        return len(self._counters)

    def of(self, row: int) -> np.random.Generator:
        """Return the generator of one image, from its start; it is that of the last call."""
        self._state["state"]["counter"] = self._counters[row]
        self._philox.state = self._state
        return self._generator

    def random(self, size: tuple[int, int]) -> np.ndarray:
        """Return what ``of(i).random(k)`` gives, for the next images in turn.

        Parameters
        ----------
        size : (n_images, k)

        Returns
        -------
        ndarray of float64, shape (n_images, k)
            In [0, 1).
        """
        numbers = np.empty(size)
        for row, out in zip(self._next(len(numbers)), numbers, strict=True):
            self.of(row).random(out=out)
        return numbers

    def integers(self, high: int, *, size: int, dtype: Any) -> np.ndarray:
        """Return what ``of(i).integers(high)`` gives, for the next images in turn."""
        numbers = [self.of(row).integers(high, dtype=dtype) for row in self._next(size)]
        return np.array(numbers, dtype)

    def _next(self, n_images: int) -> range:
        if self._begun + n_images > len(self):
            raise ValueError(f"there are {len(self)} streams; {n_images} more were asked for")
        self._begun += n_images
        return range(self._begun - n_images, self._begun)
