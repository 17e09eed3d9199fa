"""Pairs of points that are near each other, without comparing all pairs."""

from __future__ import annotations

import math
from typing import Any

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from skimgcv._runtime.chunks import slices

# For 20,000 blood cells, the nearest 16 then contain as many copies as a comparison of all pairs
# finds.
_CELLS_VISITED = 24


def near_pairs(
    points: np.ndarray, *, n_neighbours: int, radius: float, n_threads: int, bar: Any
) -> np.ndarray:
    """Return pairs (m, 2) of each point with its nearest others, the lower index first.

    About sqrt(n) of the points are centres. Each point belongs to its nearest centre, and is
    compared with the points of its few dozen nearest centres: n sqrt(n) distances in total. With
    this many dimensions, a k-d tree would compare nearly all points.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    n_neighbours : int
        The largest number for each point.
    radius : float
        The largest distance.
    n_threads : int
        The pairs do not depend on it.
    bar : progress bar
    """
    cells = _Cells(points)
    search = joblib.delayed(_nearest)
    nearest = np.full((len(points), n_neighbours), -1, dtype=np.intp)
    squared = np.full(nearest.shape, np.inf, dtype=points.dtype)
    # Each thread multiplies separately, so the number of threads does not change bits.
    with threadpool_limits(1, user_api="blas"):
        found = joblib.Parallel(n_threads, prefer="threads", return_as="generator")(
            search(points, cells.members[cell], cells.visitors[cell], n_neighbours)
            for cell in range(len(cells.members))
        )
        for cell, (others, distances) in enumerate(found):
            visitors = cells.visitors[cell]
            both = np.concatenate([squared[visitors], distances], axis=1)
            best = np.argpartition(both, n_neighbours - 1, axis=1)[:, :n_neighbours]
            squared[visitors] = np.take_along_axis(both, best, axis=1)
            both = np.concatenate([nearest[visitors], others], axis=1)
            nearest[visitors] = np.take_along_axis(both, best, axis=1)
            bar.update(len(cells.members[cell]))
    row, column = np.nonzero(squared <= radius**2)
    pairs = np.c_[row, nearest[row, column]]
    return np.unique(np.sort(pairs, axis=1), axis=0)


class _Cells:
    """Return the points of a cell, and the points that search it.

    The centres are points, evenly spaced among the rows.
    """

    def __init__(self, points: np.ndarray) -> None:
        n = len(points)
        centres = points[np.linspace(0, n - 1, math.ceil(math.sqrt(n))).round().astype(np.intp)]
        visited = min(_CELLS_VISITED, len(centres))
        closest = np.empty((n, visited), dtype=np.intp)
        for rows in slices(n, 4096):
            squared = _squared(points[rows], centres)
            chosen = np.argpartition(squared, visited - 1, axis=1)[:, :visited]
            order = np.take_along_axis(squared, chosen, axis=1).argsort(axis=1, kind="stable")
            closest[rows] = np.take_along_axis(chosen, order, axis=1)
        self.members = _rows_by_value(closest[:, :1], len(centres))
        self.visitors = _rows_by_value(closest, len(centres))


def _rows_by_value(values: np.ndarray, n_values: int) -> list[np.ndarray]:
    """Return the rows of ``values`` (n, k) that contain 0, 1, ...."""
    flat = values.ravel()
    order = np.argsort(flat, kind="stable")
    ends = np.searchsorted(flat[order], np.arange(1, n_values))
    return np.split(order // values.shape[1], ends)


def _nearest(
    points: np.ndarray, members: np.ndarray, visitors: np.ndarray, n_neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the members nearest to each visitor, and their squared distances."""
    squared = _squared(points[visitors], points[members])
    squared[visitors[:, None] == members] = np.inf
    if len(members) <= n_neighbours:
        return np.broadcast_to(members, squared.shape), squared
    kept = np.argpartition(squared, n_neighbours - 1, axis=1)[:, :n_neighbours]
    return members[kept], np.take_along_axis(squared, kept, axis=1)


def _squared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared distances (len(first), len(second)), by one product of matrices."""
    lengths = [np.einsum("nd,nd->n", part, part) for part in (first, second)]
    return np.maximum(lengths[0][:, None] + lengths[1] - 2 * (first @ second.T), 0)
