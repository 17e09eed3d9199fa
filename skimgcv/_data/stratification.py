"""Rows of several labels, divided so that each part has its share of each label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def share_out(
    table: np.ndarray,
    sizes: np.ndarray,
    shares: Sequence[float],
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Assign each item to a part, by iterative stratification.

    The label with the fewest remaining items comes first, since it is the hardest to divide. Each
    of its items goes to the part that lacks most of this label. Among equal parts, it goes to the
    one that lacks most rows.

    Parameters
    ----------
    table : ndarray of shape (n_items, n_labels)
        Number of rows of an item that have a label. An item is a row, or a group of rows.
    sizes : ndarray of shape (n_items,)
        Number of rows of an item.
    shares : sequence of float
        Share of the rows for each part. They sum to 1.
    rng : numpy.random.Generator, optional
        Draws the order of the items, and among equal parts. Without it items keep their order, and
        the first of equal parts is used.

    Returns
    -------
    ndarray of intp, shape (n_items,)

    References
    ----------
    Sechidis, Tsoumakas & Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD
    2011, https://doi.org/10.1007/978-3-642-23808-6_10

    Examples
    --------
    >>> table = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 1], [0, 0]])
    >>> share_out(table, np.ones(6), [0.5, 0.5]).tolist()
    [0, 1, 1, 0, 0, 1]
    """
    table = np.asarray(table, dtype=float)
    lacking = np.outer(shares, np.r_[sizes.sum(), table.sum(axis=0)])
    part_of = np.full(len(table), -1, dtype=np.intp)
    order = np.arange(len(table)) if rng is None else rng.permutation(len(table))
    # A large group at the end would not fit into any part.
    order = order[np.argsort(-sizes[order], kind="stable")]
    left = order
    while len(left):
        counts = np.count_nonzero(table[left], axis=0)
        label = int(np.where(counts > 0, counts, np.inf).argmin()) if counts.any() else None
        its_own = left if label is None else left[table[left, label] > 0]
        columns = [0] if label is None else [label + 1, 0]
        for item in its_own.tolist():
            part = _neediest(lacking[:, columns], rng)
            part_of[item] = part
            lacking[part, 0] -= sizes[item]
            lacking[part, 1:] -= table[item]
        left = left[part_of[left] < 0]
    return part_of


def _neediest(lacking: np.ndarray, rng: np.random.Generator | None) -> int:
    parts = np.arange(len(lacking))
    for column in lacking.T:
        # Sums of shares differ in their last bits.
        parts = parts[column[parts] >= column[parts].max() - 1e-9]
    return int(parts[0] if rng is None or len(parts) == 1 else rng.choice(parts))
