"""Counter-based random streams: the numbers depend only on the key."""

from __future__ import annotations

import secrets
import zlib

import numpy as np


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return the generator of one purpose, independent of all others.

    Parameters
    ----------
    seed : int
        Non-negative; of any size.
    purpose : str
        Such as ``"augment"`` or ``"shuffle"``. Two purposes never share numbers.
    *counters : int
        For instance the epoch. Equal arguments give equal numbers, in any
        process and in any order of calls.

    References
    ----------
    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3" (Philox).

    Examples
    --------
    >>> bool(stream(0, "augment", 3).random() == stream(0, "augment", 3).random())
    True
    """
    return np.random.Generator(np.random.Philox(sequence(seed, purpose, *counters)))


def sequence(seed: int, purpose: str, *counters: int) -> np.random.SeedSequence:
    """Return the seeds of one purpose."""
    # crc32, not hash(): Python salts the hash of a string in each process.
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])


def fresh_seed() -> int:
    """Return a random seed from the operating system's entropy.

    It does not change the global generator of ``numpy.random``.

    Examples
    --------
    >>> fresh_seed() != fresh_seed()
    True
    """
    return secrets.randbits(64)
