"""validation_split -> row numbers: the training rows to hold out for early stopping."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skimgcv._data.stratification import share_out

_EPSILON = 1e-9  # 0.07 * 100 is 7.000000000000001, which means 7
_MOST_STARTS = 16


def hold_out(
    y: np.ndarray, share: float, rng: np.random.Generator, groups: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split the rows of one fit into training rows and held-out rows.

    Without groups the split is stratified: ``ceil(share * n)`` rows are held out,
    and the number of each class differs from its exact share by less than one row. Every class
    keeps a row in training, so a class of one row is never held out, and the hold-out set may be
    smaller. (scikit-learn's ``StratifiedShuffleSplit`` refuses such classes, which are common in
    folds.)

    With groups, no group is on both sides. A search finds shares that are close to exact: it
    starts from several random selections of whole groups, and moves or exchanges groups one by one
    as long as this lowers the sum, over classes, of (held rows - exact rows) squared over the
    class's rows. Here, too, every class keeps a row in training.

    If a row has several labels, the same is true for each label, and for the number of rows.
    Without groups, iterative stratification divides the rows.

    Parameters
    ----------
    y : ndarray of int, shape (n_samples,) or (n_samples, n_labels)
        Encoded classes; or a table of 0 and 1.
    share : float
        Share of the rows, strictly between 0 and 1.
    rng : numpy.random.Generator
        The only source of randomness.
    groups : array-like of shape (n_samples,), optional
        Rows with the same value stay together.

    Returns
    -------
    train_rows, held_rows : ndarray of intp
        Sorted, and not empty. Together they have each row once.

    Raises
    ------
    ValueError
        If `share` is out of range, if there are too few rows or groups for two sides, or if
        `groups` has another length.

    Examples
    --------
    >>> y = np.array([0] * 6 + [1] * 4)
    >>> train, held = hold_out(y, 0.5, np.random.default_rng(0))
    >>> np.bincount(y[held]).tolist()
    [3, 2]
    """
    _check_share(share)
    if groups is not None:
        held = _grouped(y, share, rng, groups)
    else:
        held = (_stratified if y.ndim == 1 else _by_label)(y, share, rng)
    return np.flatnonzero(~held), np.flatnonzero(held)


def _check_share(share: Any) -> None:
    # True and False count as 1 and 0, and neither is a share.
    if not isinstance(share, Real) or not 0 < float(share) < 1:
        raise ValueError(
            "validation_split must be a share strictly between 0 and 1 (or 0 for none); "
            f"got {share!r}"
        )


def _stratified(y: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    sizes = np.bincount(y)
    counts = _stratified_counts(sizes, share, rng)
    if not counts.any():
        raise ValueError(
            f"validation_split={share} holds nothing out: {len(y)} rows of "
            f"{np.count_nonzero(sizes)} classes, and each class keeps one in training; "
            "pass more rows, or validation_split=0"
        )
    held = np.zeros(len(y), dtype=bool)
    for code in np.flatnonzero(counts):
        held[rng.permutation(np.flatnonzero(y == code))[: counts[code]]] = True
    return held


def _by_label(table: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    held = share_out(table, np.ones(len(table)), [1 - share, share], rng) == 1
    for column in table.T.astype(bool):
        if column.any() and held[column].all():
            held[rng.choice(np.flatnonzero(column))] = False
    if not held.any() or held.all():
        raise ValueError(
            f"validation_split={share} leaves nothing on one side of {len(table)} rows, of which "
            "each label keeps one in training; pass more rows, or validation_split=0"
        )
    return held


def _stratified_counts(sizes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Distribute ``ceil(share * n)`` rows, largest remainders first, ties at random."""
    total = np.ceil(share * sizes.sum() - _EPSILON)
    exact = sizes * (total / sizes.sum())
    most = np.minimum(np.ceil(share * sizes - _EPSILON), np.maximum(sizes - 1, 0))
    counts = np.minimum(np.floor(exact + _EPSILON), most)
    tiebreak = rng.permutation(len(sizes))
    for code in np.lexsort((tiebreak, counts - exact)):
        if counts.sum() < total and counts[code] < most[code]:
            counts[code] += 1
    return counts.astype(np.intp)


def _grouped(y: np.ndarray, share: float, rng: np.random.Generator, groups: Any) -> np.ndarray:
    groups = check_array(groups, input_name="groups", ensure_2d=False, dtype=None)
    if groups.shape != y.shape[:1]:
        raise ValueError(
            f"groups must have one value a row, shape {y.shape[:1]}; its shape is {groups.shape}"
        )
    names, group_of_row = np.unique(groups, return_inverse=True)
    if y.ndim == 1:
        table = np.zeros((len(names), y.max() + 1))
        np.add.at(table, (group_of_row, y), 1)
    else:
        # Also count rows, since many may have no label.
        table = np.zeros((len(names), 1 + y.shape[1]))
        np.add.at(table, group_of_row, np.c_[np.ones(len(y)), y])
    table = table[:, table.any(axis=0)]
    movable = (table < table.sum(axis=0)).all(axis=1)
    if len(names) < 2 or not movable.any():
        raise ValueError(
            f"validation_split={share} with groups needs a group that can be held out while "
            f"each class keeps a row in training; of {len(names)} group(s) each has all the "
            "rows of some class: pass finer groups, or validation_split=0"
        )
    chosen = _choose_groups(table, share, movable, rng)
    return chosen[group_of_row]


def _choose_groups(
    table: np.ndarray, share: float, movable: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return whether each group is held out, for the best selection that was found.

    ``table`` counts rows by group and class; ``movable`` says which groups leave
    every class a row in training.
    """
    best, best_cost = movable, np.inf
    # With more groups each start ends closer to the shares, and takes longer.
    for _ in range(min(_MOST_STARTS, 1 + 5000 // len(table))):
        held = _random_start(table, share, rng.permutation(np.flatnonzero(movable)))
        while _improve(held, table, share, movable):
            pass
        cost = _cost(held, table, share)
        if cost < best_cost - _EPSILON:
            best, best_cost = held, cost
    return best


def _cost(held: np.ndarray, table: np.ndarray, share: float) -> float:
    sizes = table.sum(axis=0)
    return float((((held @ table) - share * sizes) ** 2 / sizes).sum())


def _random_start(table: np.ndarray, share: float, order: np.ndarray) -> np.ndarray:
    taken = np.cumsum(table[order], axis=0)
    keeps_classes = (taken < table.sum(axis=0)).all(axis=1)
    enough = keeps_classes & (taken.sum(axis=1) <= share * table.sum())
    held = np.zeros(len(table), dtype=bool)
    held[order[: max(1, np.count_nonzero(enough))]] = True
    return held


def _improve(held: np.ndarray, table: np.ndarray, share: float, movable: np.ndarray) -> bool:
    """Make the best move, or else the best exchange, in place; return whether there was one."""
    sizes = table.sum(axis=0)
    rows = held @ table
    signed = np.where(held, -1, 1)[:, np.newaxis] * table
    change = ((2 * (rows - share * sizes) * signed + signed**2) / sizes).sum(axis=1)

    allowed = movable & (rows + signed < sizes).all(axis=1)
    if np.count_nonzero(held) == 1:
        allowed &= ~held
    moves = np.where(allowed, change, np.inf)
    if moves.min() < -_EPSILON:
        held[moves.argmin()] ^= True
        return True

    into = _cheapest(change, movable & ~held)
    out = _cheapest(change, held)
    changes = change[into, np.newaxis] + change[out] + 2 * (signed[into] / sizes) @ signed[out].T
    after = rows + signed[into, np.newaxis] + signed[out]
    changes[~(after < sizes).all(axis=2)] = np.inf
    if not changes.size or changes.min() >= -_EPSILON:
        return False
    first, second = np.unravel_index(changes.argmin(), changes.shape)
    held[[into[first], out[second]]] ^= True
    return True


def _cheapest(change: np.ndarray, eligible: np.ndarray, most: int = 64) -> np.ndarray:
    # A table of all pairs of many groups would be large, and gain little.
    candidates = np.flatnonzero(eligible)
    return candidates[np.argsort(change[candidates], kind="stable")[:most]]
