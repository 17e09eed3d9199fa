"""A random stream for each image, independent of other images."""

from __future__ import annotations

from typing import Any

import numpy as np

from skimgcv._runtime.random_streams import sequence


class RowStreams:
    """The streams of some images in an epoch.

    ``of`` is the stream of one image. ``random`` and ``integers`` draw for several images, in
    place of a generator's methods, if an augmenter's ``draw`` needs only a number or a row of
    numbers for each image.

    Parameters
    ----------
    seed : int
        Non-negative; of any size.
    purpose : str
        Two purposes never share numbers.
    epoch : int
    digests : ndarray of uint64, shape (n, 2)
        Digest of each image's content.
    repeats : ndarray of int, shape (n,)
        The repeat of the image within the epoch, from 0 on.

    References
    ----------
    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3" (Philox).
    """

    def __init__(
        self, seed: int, purpose: str, epoch: int, digests: np.ndarray, repeats: np.ndarray
    ) -> None:
        self._key = sequence(seed, purpose, epoch).generate_state(2, np.uint64)
        self._philox = np.random.Philox(key=self._key)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state
        self._counters = np.zeros((len(digests), 4), np.uint64)
        # The first word counts the numbers drawn.
        self._counters[:, 1] = repeats
        self._counters[:, 2:] = digests
        self._begun = 0

    def __len__(self) -> int:
        return len(self._counters)

    def of(self, row: int) -> np.random.Generator:
        """Return the generator of one image, at its start. It is the same object in each call."""
        self._state["state"]["counter"] = self._counters[row]
        self._philox.state = self._state
        return self._generator

    def random(self, size: tuple[int, int]) -> np.ndarray:
        """Return ``of(i).random(k)`` for the next images in turn.

        Parameters
        ----------
        size : (n_images, k)

        Returns
        -------
        ndarray of float64, shape (n_images, k)
            In [0, 1).
        """
        # As NumPy makes a double of 64 bits.
        return (self._words(*size) >> np.uint64(11)) * 2.0**-53

    def integers(self, high: int, *, size: int, dtype: Any) -> np.ndarray:
        """Return ``of(i).integers(2**64)`` for the next images in turn."""
        if high != 2**64:
            raise ValueError(f"the numbers are of 64 bits: high must be 2**64, not {high}")
        return self._words(size, 1)[:, 0].astype(dtype)

    def _words(self, n_images: int, k: int) -> np.ndarray:
        """Return the first ``k`` words of 64 bits of each of the next images' streams."""
        counters = self._counters[self._next(n_images)]
        blocks = np.repeat(counters[:, np.newaxis], -(-k // 4), axis=1)
        # NumPy counts, and then makes four words.
        blocks[..., 0] += np.arange(1, blocks.shape[1] + 1, dtype=np.uint64)
        return _philox(blocks, self._key).reshape(n_images, 4 * blocks.shape[1])[:, :k]

    def _next(self, n_images: int) -> slice:
        if self._begun + n_images > len(self):
            raise ValueError(f"there are {len(self)} streams; {n_images} more were asked for")
        self._begun += n_images
        return slice(self._begun - n_images, self._begun)


_MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_KEY_STEPS = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], np.uint64)
_LOW, _HALF = np.uint64(2**32 - 1), np.uint64(32)


def _philox(counters: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return Philox4x64-10 of many counters: what NumPy computes for one at a time."""
    a, b, c, d = np.moveaxis(counters, -1, 0)
    for number in range(10):
        first, second = key + np.uint64(number) * _KEY_STEPS
        (a_high, a_low), (c_high, c_low) = map(_multiplied, (a, c), _MULTIPLIERS)
        a, b, c, d = c_high ^ b ^ first, c_low, a_high ^ d ^ second, a_low
    return np.stack([a, b, c, d], axis=-1)


def _multiplied(words: np.ndarray, by: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Return the high and the low 64 bits of a product."""
    high, low = words >> _HALF, words & _LOW
    by_high, by_low = by >> _HALF, by & _LOW
    crossed = by_low * high
    middle = (by_low * low >> _HALF) + (crossed & _LOW) + by_high * low
    return by_high * high + (crossed >> _HALF) + (middle >> _HALF), words * by
